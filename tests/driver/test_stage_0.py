"""Stage 0 as the program that a supervisor starts again and again, on every interpreter."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import stage0

from ks_simulator.provision import STAGE_0
from tools.micropython import ROOT

BOOT = ROOT / "firmware" / "boot.py"
RESTART, DORMANT, CRASH, NO_SLOT = 75, 0, 1, 78
LIMIT_S = 60

SAYS_WHERE = (
    'def main(root, slot, stage0):\n    print("runs", root, slot, NAME)\n    return OUTCOME\n'
)
CRASHES = 'def main(root, slot, stage0):\n    print("runs")\n    raise ValueError("planted")\n'


def application(name: str, outcome: str | None) -> str:
    return SAYS_WHERE.replace("NAME", repr(name)).replace("OUTCOME", repr(outcome))


class Terminal:
    """A folder with slots, and the interpreter that lives in it."""

    def __init__(self, folder: Path, interpreter: list[str]) -> None:
        self.folder = folder
        self._interpreter = interpreter

    def install(self, slot: str, main: str) -> str:
        """Fill a slot with one module and main.py; gives the hash of its manifest."""
        files = {"main.py": "import helper\n" + main, "helper.py": "x = 1\n"}
        target = self.folder / f"slot_{slot}"
        target.mkdir()
        rows = []
        for path, text in files.items():
            (target / path).write_text(text)
            digest = hashlib.sha256(text.encode()).hexdigest()
            rows.append(f"  {path},{digest},{len(text)}")
        head = f"KIND: application\nFILE[{len(rows)}]{{PATH,SHA256,SIZE}}:"
        manifest = "\n".join([head, *rows]).encode()
        (target / "manifest.toon").write_bytes(manifest)
        return hashlib.sha256(manifest).hexdigest()

    @property
    def is_cpython(self) -> bool:
        return self._interpreter[0] == sys.executable

    def recovery(self, main: str) -> None:
        """Write a recovery as the factory does."""
        (self.folder / "recovery").mkdir()
        (self.folder / "recovery" / "main.py").write_text(main)

    def record(self, **record: str) -> None:
        path = self.folder / stage0.RECORD
        path.parent.mkdir(parents=True, exist_ok=True)
        data = "".join(f"{key}: {value}\n" for key, value in sorted(record.items())).encode()
        path.write_bytes(data + stage0.trailer(data))

    def start(self) -> tuple[int, str]:
        """One life: (exit status, what was said)."""
        done = subprocess.run(
            [*self._interpreter, BOOT, self.folder],
            capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(params=["cpython", "amd64", "i386"])
def terminal(
    request: pytest.FixtureRequest, tmp_path: Path, micropython: Callable[[str], Path]
) -> Terminal:
    if request.param == "cpython":
        return Terminal(tmp_path, [sys.executable, "-W", "error"])
    return Terminal(tmp_path, [str(micropython(request.param)), "-X", "heapsize=128k"])


def test_the_slot_of_the_record_runs_with_its_own_modules(terminal: Terminal) -> None:
    terminal.install("a", application("old", "restart"))
    terminal.record(SLOT="b", MANIFEST=terminal.install("b", application("new", None)))
    status, said = terminal.start()
    assert "runs . b new" in said
    assert status == DORMANT


def test_a_restart_and_a_crash_are_told_apart_by_the_exit_status(terminal: Terminal) -> None:
    terminal.install("a", application("app", "restart"))
    assert terminal.start()[0] == RESTART
    (terminal.folder / "slot_a").rename(terminal.folder / "gone")
    terminal.install("a", CRASHES)
    status, said = terminal.start()
    assert status == CRASH
    assert "planted" in said


def test_no_slot_is_a_status_and_a_reason(terminal: Terminal) -> None:
    terminal.install("a", application("app", None))
    (terminal.folder / "slot_a" / "helper.py").write_text("x = 2\n")
    status, said = terminal.start()
    assert status == NO_SLOT
    assert "slot a: helper.py is not what the manifest says" in said
    assert "runs" not in said


def test_a_release_that_crashes_in_its_trial_is_rolled_back(terminal: Terminal) -> None:
    good = terminal.install("a", application("good", None))
    bad = terminal.install("b", CRASHES)
    terminal.record(SLOT="b", MANIFEST=bad, TRIAL="true", PREVIOUS="a", PREVIOUS_MANIFEST=good)
    lives = [terminal.start() for _ in range(5)]
    assert [status for status, _ in lives] == [CRASH, CRASH, CRASH, DORMANT, DORMANT]
    assert "runs . a good" in lives[3][1]
    record = stage0.parse((terminal.folder / stage0.RECORD).read_bytes().rpartition(b"# ")[0])[0]
    said = record.pop("CRASH")
    assert said.startswith("ValueError('planted'")
    assert record == {"SLOT": "a", "MANIFEST": good, "ROLLED_BACK": bad, "REASON": "crash"}


@pytest.mark.parametrize("broken", ["import absent\n", "x = (\n", "import sys\nsys.exit(0)\n"])
def test_a_release_that_cannot_be_imported_or_leaves_has_crashed(
    terminal: Terminal, broken: str
) -> None:
    good = terminal.install("a", application("good", None))
    bad = terminal.install("b", broken + application("bad", None))
    terminal.record(SLOT="b", MANIFEST=bad, TRIAL="true", PREVIOUS="a", PREVIOUS_MANIFEST=good)
    assert [terminal.start()[0] for _ in range(4)] == [CRASH, CRASH, CRASH, DORMANT]


HUNGRY = """
def main(root, slot, stage0):
    kept = []
    while True:
        kept.append(bytearray(40))
"""


def test_a_release_that_takes_all_the_memory_has_crashed_too(terminal: Terminal) -> None:
    if terminal.is_cpython:
        pytest.skip("it would take all of this computer's")
    good = terminal.install("a", application("good", None))
    bad = terminal.install("b", HUNGRY)
    terminal.record(SLOT="b", MANIFEST=bad, TRIAL="true", PREVIOUS="a", PREVIOUS_MANIFEST=good)
    assert [terminal.start()[0] for _ in range(4)] == [CRASH, CRASH, CRASH, DORMANT]


def test_when_neither_slot_is_good_recovery_lives_instead(terminal: Terminal) -> None:
    terminal.recovery(application("recovery", "restart"))
    terminal.install("a", application("app", None))
    (terminal.folder / "slot_a" / "helper.py").write_text("x = 2\n")
    status, said = terminal.start()
    assert status == RESTART
    assert "runs .  recovery" in said


def test_a_recovery_that_fails_ends_with_a_status_that_nobody_starts_again(
    terminal: Terminal,
) -> None:
    terminal.recovery(CRASHES)
    status, said = terminal.start()
    assert status == NO_SLOT
    assert "planted" in said


def test_a_slot_holds_nothing_new_after_it_ran(terminal: Terminal) -> None:
    terminal.install("a", application("app", None))
    assert terminal.start()[0] == DORMANT
    names = sorted(path.name for path in (terminal.folder / "slot_a").rglob("*"))
    assert names == ["helper.py", "main.py", "manifest.toon"]


def test_what_no_update_ever_mends_is_short_enough_to_be_read_whole() -> None:
    lines = [len((BOOT.parent / name).read_text().splitlines()) for name in STAGE_0]
    assert sum(lines) <= 200

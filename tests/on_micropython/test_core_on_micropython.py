"""The core's tests once more, on the interpreter that terminals have: 64 and 32 bit.

The 32-bit one runs with the heap of a plain ESP32, 128 KiB. A test file that needs more says so,
and why, in a comment of the form `# heap: 512k because ...`.
"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.micropython import ARCHITECTURES, ROOT

CORE = ROOT / "tests" / "core"
FILES = sorted(CORE.glob("test_*.py"))
DEFAULT_HEAP = "128k"
HEAP_COMMENT = re.compile(r"^# heap: (\d+[km]) because \S.+$", re.MULTILINE)
LIMIT_S = 300


def heap_of(file: Path, architecture: str) -> str:
    """The heap to give: objects take twice the room on 64 bit."""
    found = HEAP_COMMENT.search(file.read_text(encoding="utf-8"))
    size = found.group(1) if found else DEFAULT_HEAP
    if architecture == "i386":
        return size
    return f"{2 * int(size[:-1])}{size[-1]}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_core_file_passes_on_micropython(
    architecture: str, file: Path, micropython: Callable[[str], Path]
) -> None:
    program = micropython(architecture)
    heap = heap_of(file, architecture)
    done = subprocess.run(
        [program, "-X", f"heapsize={heap}", CORE / "run.py", file],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    said = f"heap {heap}\n{done.stdout}{done.stderr}"
    last = (done.stdout.strip().splitlines() or [""])[-1]
    outcome = re.fullmatch(r"core: (\d+) passed, (\d+) failed, (\d+) skipped", last)
    assert outcome, said
    assert done.returncode == 0, said
    assert int(outcome.group(1)) > 0, said
    assert int(outcome.group(2)) == 0, said


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_heap_comment_has_the_form_that_is_understood(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert ("# heap:" in text) == bool(HEAP_COMMENT.search(text))


def test_every_core_test_file_lies_where_both_interpreters_look() -> None:
    everywhere = set(CORE.rglob("test_*.py")) | set(CORE.rglob("*_test.py"))
    assert everywhere == set(FILES)
    assert FILES


def test_a_failing_core_test_fails_on_micropython(
    tmp_path: Path, micropython: Callable[[str], Path]
) -> None:
    program = micropython("amd64")
    for name in ("run.py", "support.py"):
        (tmp_path / name).write_bytes((CORE / name).read_bytes())
    (tmp_path / "test_planted.py").write_text("def test_planted():\n    assert 1 == 2\n")
    done = subprocess.run(
        [program, tmp_path / "run.py", tmp_path / "test_planted.py"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 1
    assert "AssertionError" in done.stdout
    assert done.stdout.endswith("core: 0 passed, 1 failed, 0 skipped\n")

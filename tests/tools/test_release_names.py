"""`ks release build --like` and `ks release trace`: short names that stay, and can be read."""

import io
import json
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ks_simulator.application import folder_files
from ks_simulator.naming import TABLES
from ks_tools import release_names
from ks_tools.cli import run
from ks_tools.console import ToolError
from ks_tools.workspace import Workspace
from tools.micropython import interpreter, works

FILES = {
    "main.py": "from app.shop import open_shop\nprint(open_shop(3))\n",
    "app/__init__.py": "",
    "app/till.py": """
class Till:
    def __init__(self):
        self.coins_inside = []
        self._key = "brass"

    def put_coin(self, coin_value):
        if coin_value < 0:
            raise ValueError("false coin")
        self.coins_inside.append(coin_value)
        return total_of(self.coins_inside)

def total_of(coins):
    return sum(coins)
""",
    "app/shop.py": """
from .till import Till

def open_shop(count):
    till = Till()
    for coin_value in range(count):
        till.put_coin(coin_value)
    from . import street
    return till.put_coin(1), street.seen_from_outside(till), till._key
""",
    "app/street.py": """
def seen_from_outside(shop_till):
    return len(shop_till.coins_inside), first_of(shop_till)

def first_of(shop_till):
    return shop_till.coins_inside[0]
""",
}
SAID = "(4, (4, 0), 'brass')"
NEW_THING = """
def a_new_function(data):
    a_new_name = data
    return a_new_name

class Till:
    a_new_attribute = a_new_function(1)
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767312000")
    for path, text in FILES.items():
        target = tmp_path / "source" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path / "source"


def build(out: str, *options: str) -> int:
    command = ["release", "build", "1.2.0", "--from", "source", "--out", out, "--bytecode"]
    return run([*command, *options])


def test_the_map_of_names_lies_beside_the_release_and_is_the_same_each_time(
    source: Path, tmp_path: Path
) -> None:
    assert build("one") == build("two") == 0
    assert not (tmp_path / "one" / "one.names.json").exists()
    maps = [(tmp_path / f"{name}.names.json").read_bytes() for name in ("one", "two")]
    assert maps[0] == maps[1]
    assert "till.total_of" in str(json.loads(maps[0])["names"]["globals"])
    assert build("three", "--like", "one") == 0
    assert folder_files(tmp_path / "three") == folder_files(tmp_path / "one")
    assert (tmp_path / "three.names.json").read_bytes() == maps[0]


def test_a_release_that_is_no_bytecode_has_no_map(source: Path, tmp_path: Path) -> None:
    assert run(["release", "build", "1.2.0", "--from", "source", "--out", "out"]) == 0
    assert not list(tmp_path.glob("*.names.json"))


def test_one_new_name_changes_the_one_file_that_has_it(source: Path, tmp_path: Path) -> None:
    build("old")
    text = (source / "app/till.py").read_text().replace("\nclass Till:", NEW_THING)
    (source / "app/till.py").write_text(text)
    assert build("new", "--like", "old") == 0
    old, new = folder_files(tmp_path / "old"), folder_files(tmp_path / "new")
    changed = {path for path in new if new[path] != old.get(path)} - {"manifest.toon"}
    assert changed == {"app/shop.mpy"}  # till is a part of it


@pytest.mark.parametrize("machine", ["amd64", "i386"])
def test_a_program_with_kept_names_says_the_same(machine: str, source: Path) -> None:
    program = interpreter(machine)
    if not works(program):
        pytest.skip(f"no MicroPython for {machine} here: make micropython says why")
    build("old")
    text = (source / "app/till.py").read_text().replace("\nclass Till:", NEW_THING)
    (source / "app/till.py").write_text(text)
    build("new", "--like", "old")
    for folder in ("old", "new"):
        done = subprocess.run(
            [str(program), "main.py"], cwd=folder, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.stdout.strip() == SAID, done.stderr


def test_the_bundle_of_a_release_finds_the_map_by_its_own_name(
    source: Path, tmp_path: Path
) -> None:
    Workspace(tmp_path / ".ks", tmp_path / ".ks-offline").make_keys()
    build("app")
    run(["release", "sign", "app"])
    run(["release", "bundle", "app", "--out", "app.bundle"])
    assert release_names.of_release(Path("app.bundle")) == release_names.of_release(Path("app"))
    assert release_names.of_release(Path("app.names.json")).fw1 == "app-1.2.0"


def test_the_map_of_another_build_is_not_taken(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build("old")
    build("other", "--counter", "2")
    (tmp_path / "other.names.json").replace(tmp_path / "old.names.json")
    assert build("new", "--like", "old") == 1
    assert "and not of this build of old" in capsys.readouterr().err
    assert build("new", "--like", "other") == 1
    assert "other.names.json is missing" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_names_are_kept_in_bytecode_alone(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build("old")
    command = ["release", "build", "1.2.0", "--from", "source", "--out", "new", "--like", "old"]
    assert run(command) == 1
    assert "--like needs --bytecode" in capsys.readouterr().err


def broken(**changes: object) -> bytes:
    tables: dict[str, object] = {table: {} for table in TABLES}
    content = {"form": "ks-names-1", "fw1": "app", "manifest": "00", "names": tables, "code": {}}
    return json.dumps({**content, **changes}).encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "form ks-names-1"),
        (broken(form="ks-names-9"), "form ks-names-1"),
        (broken(more=1), "other members"),
        (broken(fw1=5), "fw1 is no text"),
        (broken(manifest="0" * 301), "manifest is no text"),
        (broken(names=[]), "names has no tables"),
        (broken(names={}), "other tables"),
        (broken(code={"agent": ["encode"]}), "agent in code is no table"),
        (broken(code={"agent": {"encode": "toon.py"}}), "without a place"),
        (broken(code={"agent": {"encode": [1]}}), "without a place"),
        (broken(code={"agent": {"e" * 301: []}}), "longer than"),
        (b" " * (release_names.MAX_BYTES + 1), "more than 4194304 bytes"),
    ],
)
def test_what_is_no_map_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "x.names.json"
    path.write_bytes(content)
    with pytest.raises(ToolError, match=why):
        release_names.read(path)


@pytest.mark.parametrize("name", ["", "1a", "a b", "a.b", "a" * 65, 7, None])
def test_a_name_that_nothing_can_have_is_refused(tmp_path: Path, name: object) -> None:
    tables: dict[str, object] = {table: {} for table in TABLES}
    path = tmp_path / "x.names.json"
    path.write_bytes(broken(names={**tables, "globals": {"ks_agent.toon.encode": name}}))
    with pytest.raises(ToolError, match=r"ks_agent\.toon\.encode in globals has no name"):
        release_names.read(path)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.dictionaries(
    st.sampled_from(("form", "fw1", "manifest", "names", "code", "globals")), inner
) | st.lists(inner)))  # fmt: skip
def test_any_json_is_a_map_or_refused(content: object) -> None:
    with pytest.raises(ValueError, match="it does not begin with the form"):
        release_names._parsed(content)


# Crash reports.


@pytest.mark.parametrize("machine", ["amd64", "i386"])
def test_a_crash_of_a_terminal_is_told_in_the_words_of_the_sources(
    machine: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = interpreter(machine)
    if not works(program):
        pytest.skip(f"no MicroPython for {machine} here: make micropython says why")
    text = (source / "app/shop.py").read_text().replace("till.put_coin(1)", "till.put_coin(-1)")
    (source / "app/shop.py").write_text(text)
    build("out")
    done = subprocess.run(
        [str(program), "main.py"], cwd="out", capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert "put_coin" not in done.stderr
    (tmp_path / "crash.log").write_text(done.stderr)
    capsys.readouterr()
    assert run(["release", "trace", "--names", "out.names.json", "crash.log"]) == 0
    told = capsys.readouterr().out
    assert 'File "main.py", line 2, in <module>' in told
    assert 'File "app/shop.py", line 4, in open_shop' in told
    assert 'File "app/till.py", line 7, in Till.put_coin' in told
    assert told.splitlines()[-1] == "ValueError: "


def test_a_trace_is_read_from_standard_input_in_a_logs_quotes_too(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build("out")
    names = json.loads(Path("out.names.json").read_bytes())["names"]
    new = names["globals"]["app.street.first_of"]
    coins = names["attributes"]["coins_inside"]
    lines = [
        f'TRACE: "File \\"street\\", line 1, in {new}\\n"',
        f"AttributeError: 'Till' object has no attribute '{coins}'",
        f"NameError: name '{new}' isn't defined",
        'File "unknown", line 1, in nothing',
        "\xff anything else",
    ]
    given = io.TextIOWrapper(io.BytesIO("\n".join(lines).encode("latin-1")))
    monkeypatch.setattr("sys.stdin", given)
    capsys.readouterr()
    assert run(["release", "trace", "--names", "out"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == 'TRACE: "File \\"app/street.py\\", line 5, in first_of\\n"'
    assert told[1].endswith(f"'{coins}' (coins_inside)")
    assert re.search(r"\(.*app\.street\.first_of.*\) isn't defined", told[2])
    assert told[3:] == [lines[3], "\ufffd anything else"]


def test_a_trace_that_is_not_there_is_told_in_one_line(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build("out")
    assert run(["release", "trace", "--names", "out.names.json", "crash.log"]) == 1
    assert run(["release", "trace", "--names", "no.names.json", "crash.log"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "ks: crash.log: No such file or directory",
        "ks: no.names.json: No such file or directory",
    ]

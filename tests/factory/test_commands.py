"""`ks factory` without a board: batch folders, and what is done with their records."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ks_simulator.keys import RoleKeys, encode_trust
from ks_tools.board_file import find_board
from ks_tools.cli import run
from ks_tools.console import ToolError
from ks_tools.factory.batch import read_batch
from ks_tools.factory.opening import opened
from ks_tools.factory.run import Verdict, View
from ks_tools.factory.steps import DONE, REWORK
from ks_tools.factory.store import Store
from ks_tools.workspace import Workspace

from .line_support import World, make_image

pytestmark = pytest.mark.usefixtures("no_waiting_for_readers")
NEW = (
    "--board", "esp32_generic", "--image", "image", "--first", "1", "--last", "9",
    "--server", "http://192.168.1.10:8080", "--offline", "--no-scan",
)  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with an image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".ks").mkdir()
    (tmp_path / ".ks" / "trust.toon").write_bytes(encode_trust(RoleKeys.make().trusted()))
    make_image(tmp_path / "image", find_board("esp32_generic"))
    return tmp_path


@contextmanager
def worked(name: str = "batch", change: tuple[str, str] = ("", "")) -> Iterator[World]:
    """A batch of `ks factory new`, batch.toml changed, and its line."""
    if not Path(name).exists():
        assert run(["factory", "new", name, *NEW]) == 0
    path = Path(name) / "batch.toml"
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    batch = read_batch(Path(name))
    with Store(batch.folder) as store:
        yield World(batch, store)


def test_a_reject_is_begun_anew_when_a_person_says_so() -> None:
    with worked() as world:
        unit = world.unit()
        unit.readings["memory"] = {"FREE": "1"}
        assert world.plug(unit) is Verdict.FAIL
        del unit.readings["memory"]
        assert run(["factory", "rework", unit.mac, "--batch", "batch"]) == 0
        assert world.record(unit).state == REWORK
        assert world.plug(unit) is Verdict.PASS
        assert world.record(unit).state == DONE


def test_several_are_reworked_at_once_and_a_stranger_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with worked() as world:
        for mac in ("26:0a:c4:00:00:01", "26:0a:c4:00:00:02"):
            world.plug(world.unit(mac))
        assert run(["factory", "rework", "KS-000001", "KS-000009", "--batch", "batch"]) == 1
        assert "no unit KS-000009" in capsys.readouterr().err
        assert {unit.state for unit in world.store.units()} == {DONE}, "all of them or none"
        assert run(["factory", "rework", "KS-000001", "KS-000002", "--batch", "batch"]) == 0
        assert {unit.state for unit in world.store.units()} == {REWORK}


def test_a_label_is_printed_again_by_its_serial_number(tmp_path: Path) -> None:
    printer = json.dumps(["cp", "{png}", str(tmp_path / "paper")])
    with worked(
        change=('# print = ["lp", "-d", "labels", "{png}"]', f"print = {printer}")
    ) as world:
        world.plug(world.unit())
        printed = (tmp_path / "paper").read_bytes()
        (tmp_path / "paper").unlink()
        (tmp_path / "batch" / "labels" / "KS-000001.png").unlink()
        assert run(["factory", "label", "KS-000001", "--batch", "batch"]) == 0
        assert (tmp_path / "paper").read_bytes() == printed


def test_status_tells_where_every_unit_is(capsys: pytest.CaptureFixture[str]) -> None:
    with worked() as world:
        world.plug(world.unit())
        bad = world.unit("26:0a:c4:00:00:02")
        bad.readings["memory"] = {"FREE": "1"}
        world.plug(bad)
        capsys.readouterr()
        assert run(["factory", "status", "--batch", "batch", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert [unit["state"] for unit in told["units"]] == ["done", "reject"]
        assert told["serials_left"] == 8
        assert run(["factory", "status", "--batch", "batch"]) == 0
        assert "KS-000001" in capsys.readouterr().out


def test_a_report_looks_back_no_further_than_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with worked() as world:
        world.plug(world.unit())
        assert run(["factory", "report", "--batch", "batch", "--hours", "8"]) == 0
        assert json.loads((tmp_path / "batch" / "report.json").read_text())["done"] == 1
        assert "<svg" in (tmp_path / "batch" / "report.html").read_text()
        with world.store.transaction() as database:
            for table, column in (("unit", "done_ms"), ("unit", "changed_ms")):
                database.execute(f"UPDATE {table} SET {column} = {column} - 36000000")
            database.execute("UPDATE attempt SET begun_ms = begun_ms - 36000000")
            database.execute("UPDATE attempt SET ended_ms = ended_ms - 36000000")
        capsys.readouterr()
        assert run(["factory", "report", "--batch", "batch", "--hours", "8", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["done"] == 0


def test_two_stations_are_merged_and_listed(tmp_path: Path) -> None:
    with worked() as world:
        world.plug(world.unit())
    with worked("other", ("first = 1\n", "first = 5\n")) as world:
        world.plug(world.unit("26:0a:c4:00:00:02"))
    assert run(["factory", "merge", "other", "--batch", "batch"]) == 0
    assert run(["factory", "inventory", "--batch", "batch", "--output", "units.csv"]) == 0
    rows = (tmp_path / "units.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["serial", "KS-000001", "KS-000005"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('key = "none"\n', ""), "key: Input should be 'device' or 'injected'"),
        (("first = 1\n", "first = 10\n"), "serials.last is below serials.first"),
        (("last = 9\n", "last = 1234567\n"), "serials.last has more than 6 digits"),
        (('"{serial}"', '"ks"'), "device_id names neither {serial} nor {mac}"),
        (('"{serial}"', '"{serial}{x}"'), "only {serial} and {mac} are known"),
        (("tokens = true", "tokens = 1"), "server.tokens: Input should be a valid boolean"),
        (("skip = []", "skip = []\nskp = []"), "test.skp: Extra inputs are not permitted"),
        (("[serials]", "[serials"), "not TOML"),
    ],
)
def test_a_batch_that_cannot_work_says_which_line_is_wrong(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    assert run(["factory", "new", "batch", *NEW]) == 0
    path = tmp_path / "batch" / "batch.toml"
    text = path.read_text()
    old, new = change if change[0] in text else ('station = "A"', f'station = "A"\n{change[0]}')
    path.write_text(text.replace(old, new))
    with pytest.raises(ToolError) as raised:
        read_batch(tmp_path / "batch")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('station = "A"', 'station = "A"\nkey = "injected"'), "--allow-injection"),
        (('board = "esp32_generic"', 'board = "ks_clock"'), "is for esp32_generic, and the batch"),
        (('admit = "offline"', 'admit = "online"'), "no admin token"),
    ],
)
def test_a_line_does_not_begin_with_what_cannot_work(
    tmp_path: Path, change: tuple[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADMIN_TOKEN", raising=False)
    workspace = Workspace(tmp_path / ".ks", tmp_path / ".ks-offline")
    with worked(change=change) as world:
        pass
    with pytest.raises(ToolError, match=said), opened(world.batch, View(), workspace):
        pass


def test_a_folder_that_is_there_is_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["factory", "new", "batch", *NEW]) == 0
    assert run(["factory", "new", "batch", *NEW]) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [([], "which ports?"), (["--ports", "a,a"], "a port is named twice")],
)
def test_a_run_needs_ports_of_their_own(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["factory", "new", "batch", *NEW]) == 0
    assert run(["factory", "run", "--batch", "batch", *options]) == 1
    assert said in capsys.readouterr().err


def on_a_terminal(*command: str) -> tuple[int, str]:
    """A command in a window: its status, and what stood there."""
    window, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 300, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [sys.executable, "-m", "ks_tools", *command],
        stdin=end, stdout=end, stderr=end, env=environment,
    ) as process:  # fmt: skip
        os.close(end)
        shown = b""
        with suppress(OSError):  # that is how a window closes
            while data := os.read(window, 65536):
                shown += data
    os.close(window)
    return process.returncode, shown.decode("utf-8", "replace")


def test_in_a_window_the_line_is_a_table_with_verdicts_in_colour() -> None:
    assert run(["factory", "new", "batch", *NEW]) == 0
    status, shown = on_a_terminal("factory", "run", "--batch", "batch", "--ports", "usb0,usb1")
    assert status == 1 and "0 of 2 done" in shown
    assert "9 serial numbers left" in shown
    assert shown.count("\x1b[1;30;43m") >= 2 and "WAIT 2" in shown
    assert "doesn't exist" in shown and "Traceback" not in shown

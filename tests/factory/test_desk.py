"""One board at a developer's desk: what flash.sh calls, at units in memory."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ks_tools.board_file import find_board
from ks_tools.cli import run
from ks_tools.console import ToolError
from ks_tools.factory import desk, opening
from ks_tools.factory.batch import Batch
from ks_tools.factory.desk import Wishes, flash
from ks_tools.factory.errors import Interrupted, StationFailed
from ks_tools.factory.run import Line, View
from ks_tools.factory.steps import BY_NAME, NAMES
from ks_tools.factory.store import Store, Unit
from ks_tools.image_folder import CHIP, read_folder
from ks_tools.workspace import Workspace
from tools.micropython import ROOT

from .fake_unit import FakeUnit
from .line_support import PORT, FakePeople, make_image

pytestmark = pytest.mark.usefixtures("no_waiting_for_readers")
WISHES = Wishes(
    board="esp32_generic",
    image=None,
    micropython=None,
    server="http://192.168.1.10:8080",
    wifi="Office",
    device_id="ks-{mac}",
    keep=False,
    erase_identity=False,
    yes=False,
)


class Asked(FakePeople):
    """A person with one answer; None: nobody is there."""

    def __init__(self, answer: bool | None) -> None:
        super().__init__()
        self.questions: list[str] = []
        self._answer = answer

    def confirm(self, port: str, kind: str, text: str) -> bool:
        self.questions.append(text)
        if self._answer is None:
            raise StationFailed("nobody is here to answer")
        return self._answer


class Desk:
    """A workspace, and the board at its port."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder / ".ks", folder / ".ks-offline")
        self.workspace.make_keys()
        self.image = make_image(folder / "image", find_board("esp32_generic"))
        self.unit = FakeUnit(self.image)
        self.people = Asked(None)

    @contextmanager
    def opened(self, batch: Batch, view: View, workspace: Workspace) -> Iterator[Line]:
        with opening.opened(batch, view, workspace) as line:
            unit = self.unit
            yield replace(line, make_flasher=unit.flasher, open_link=unit.link, people=self.people)

    def flash(self, **wishes: object) -> bool:
        wished = replace(WISHES, image=self.image.folder, **wishes)  # type: ignore[arg-type]
        return flash(PORT, wished, self.workspace)

    @property
    def folder(self) -> Path:
        return self.workspace.data / "desk"

    def record(self) -> Unit:
        with Store(self.folder) as store:
            (unit,) = store.units()
        return unit

    def backups(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.folder / "backups").glob("*/*")]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.delenv("ADMIN_TOKEN", raising=False)
    there = Desk(tmp_path)
    monkeypatch.setattr(desk, "opened", there.opened)
    return there


def test_a_blank_board_becomes_a_terminal_and_every_step_says_what_it_does(
    made: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made.flash()
    said = capsys.readouterr().out
    for name in NAMES:
        assert f"{name}: {BY_NAME[name].does}" in said
    assert "PASS" in said
    assert made.unit.sealed == "ks-260ac4000001" == made.record().d1


def test_a_board_that_is_done_is_left_alone_and_its_person_told_of_the_options(
    made: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    made.flash()
    seed = made.unit.seed
    assert made.flash()
    said = capsys.readouterr().out
    assert "--erase-identity" in said and "--keep" in said
    assert made.unit.seed == seed and made.unit.made == 1


@pytest.mark.parametrize("what", ["key", "identity", "journal"])
def test_a_provisioned_unit_is_refused(
    made: Desk, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = made.unit
    unit.is_flashed = True
    if what == "key":
        unit.seed = b"s" * 32
    elif what == "identity":
        unit.sealed = "ks-9"
    else:
        unit.journal["00000001"] = b"punches"
    before = (unit.seed, unit.sealed, dict(unit.journal))
    assert not made.flash(yes=True)
    said = capsys.readouterr().out
    assert what in said and "--erase-identity" in said
    assert (unit.seed, unit.sealed, unit.journal) == before and unit.is_flashed


def worn(made: Desk) -> FakeUnit:
    """A terminal of somebody's with punches."""
    made.unit.is_flashed = True
    made.unit.sealed = "ks-9"
    made.unit.journal["00000001"] = b"punches"
    return made.unit


def test_its_journal_is_offered_to_be_saved_before_its_identity_is_erased(made: Desk) -> None:
    unit = worn(made)
    made.people = Asked(True)
    assert made.flash(erase_identity=True)
    assert made.people.questions == [
        "the board holds the identity of ks-9 and a journal of 1 segments; save its journal first?"
    ]
    assert made.backups() == [b"punches"]
    assert unit.sealed == "ks-260ac4000001" and unit.journal == {}


def test_who_does_not_want_the_journal_loses_it(made: Desk) -> None:
    worn(made)
    made.people = Asked(False)
    assert made.flash(erase_identity=True)
    assert made.backups() == []


def test_nothing_is_erased_where_nobody_answers(made: Desk) -> None:
    unit = worn(made)
    assert not made.flash(erase_identity=True)
    assert unit.journal and unit.sealed == "ks-9"


def test_yes_saves_without_a_question(made: Desk) -> None:
    worn(made)
    assert made.flash(erase_identity=True, yes=True)
    assert made.people.questions == [] and made.backups() == [b"punches"]


def test_erasing_a_terminal_of_the_desk_gives_it_a_new_key_under_its_old_id(made: Desk) -> None:
    made.flash()
    before, seed = made.record(), made.unit.seed
    made.unit.journal["00000001"] = b"punches"
    assert made.flash(erase_identity=True, yes=True)
    after = made.record()
    assert (after.serial, after.d1) == (before.serial, before.d1)
    assert after.public_key != before.public_key and made.unit.seed != seed
    assert made.backups() == [b"punches"]


def test_what_was_interrupted_goes_on(made: Desk) -> None:
    made.unit.faults["prove"] = Interrupted("the cable")
    assert not made.flash()
    assert made.flash()
    assert made.unit.made == 1 and made.record().state == "done"


def test_without_a_token_for_the_server_a_file_is_written_for_it(
    made: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made.flash()
    assert "whitelist.jsonl is to be imported at the server" in capsys.readouterr().err
    assert "ks-260ac4000001" in (made.folder / "whitelist.jsonl").read_text()


def test_a_real_board_is_not_sent_to_itself(made: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = made.image.folder / "image.json"
    facts.write_text(facts.read_text().replace("software-chip", CHIP))
    assert read_folder(made.image.folder).built_for == CHIP
    for host in ("localhost", "127.0.0.1", "[::1]"):
        with pytest.raises(ToolError, match="is the board itself"):
            made.flash(server=f"http://{host}:8080")
    assert not made.unit.is_flashed


def test_where_there_is_no_image_the_page_of_the_download_is_named(made: Desk) -> None:
    with pytest.raises(ToolError, match=r"which MicroPython\? Download .*https://.*--micropython"):
        flash(PORT, WISHES, made.workspace)


def test_keeping_and_erasing_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["factory", "flash", PORT, "--keep", "--erase-identity"]) == 1
    assert "--keep and --erase-identity: which?" in capsys.readouterr().err


def test_the_script_says_how_it_is_called() -> None:
    done = subprocess.run([ROOT / "flash.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: ./flash.sh PORT [BOARD]" in done.stderr

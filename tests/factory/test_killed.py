"""The station itself dies: what is on its disk then, and on the unit, is enough to go on."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ks_simulator.keys import public_text
from ks_tools.console import ToolError
from ks_tools.factory.opening import locked
from ks_tools.factory.run import Verdict
from ks_tools.factory.steps import DONE, NAMES
from ks_tools.factory.store import FILE

from .fake_unit import FakeUnit
from .line_support import World, a_line

pytestmark = pytest.mark.usefixtures("no_waiting_for_readers")


class Killed(BaseException):
    """Nobody handles a kill -9."""


class Witnessed(FakeUnit):
    """At its `turn`-th operation, before or after it, the station's disk is kept as it is then."""

    def __init__(self, world: World, kept: Path, turn: int, is_after: bool) -> None:
        super().__init__(world.image)
        self._folder = world.batch.folder
        self._kept = kept
        self._turn = turn
        self._is_after = is_after

    def perform(self, name: str, work: Callable[[], Any], lost: type[Exception]) -> Any:
        self._turn -= 1
        if self._turn == 0 and not self._is_after:
            self._die()
        result = super().perform(name, work, lost)
        if self._turn == 0:
            self._die()
        return result

    def _die(self) -> None:
        for path in self._folder.glob(f"{FILE}*"):
            shutil.copy(path, self._kept)
        raise Killed


def go_on(folder: Path, unit: FakeUnit, died: World) -> None:
    """From the kept disk, with the same unit and the same server."""
    with a_line(folder) as world:
        world.office = died.office
        world.line = replace(world.line, office=died.office)
        for _ in range(3):  # firmware that did not answer once is written again
            if world.plug(unit) is Verdict.PASS:
                break
        (record,) = world.store.units()
        assert (record.state, record.serial) == (DONE, "KS-0001"), world.view.verdicts
        assert unit.seed is not None
        assert record.public_key == public_text(unit.seed) == died.office.keys["KS-0001"]
        assert unit.sealed == "KS-0001"
        assert unit.words["OTRT"] in died.office.tokens


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_station_that_is_killed_at_any_operation_goes_on(tmp_path: Path, is_after: bool) -> None:
    turn = 0
    while True:
        turn += 1
        kept = tmp_path / f"kept-{turn}"
        kept.mkdir()
        with a_line(tmp_path / f"died-{turn}") as died:
            unit = Witnessed(died, kept, turn, is_after)
            try:
                assert died.plug(unit) is Verdict.PASS
                break
            except Killed:
                pass
        go_on(kept, unit, died)
    assert turn > len(NAMES)


def test_two_programs_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(ToolError, match="is in use by another `ks factory`"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass

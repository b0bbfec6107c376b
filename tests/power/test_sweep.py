"""The harness itself: it cuts everywhere, tells what was told, and is the same for a seed."""

from collections.abc import Sequence
from typing import Any

import pytest

from ks_simulator.littlefs import LittleFsPort
from ks_simulator.nor import Erase, NorFlash, Program
from tests.power.sweep import (
    AFTER,
    ANYWHERE,
    BEFORE,
    IN_ORDER,
    CutFailed,
    Note,
    cuts,
    cuts_of_recoveries,
    flashes,
    record,
)
from tests.power.worlds import formatted


def write(fs: LittleFsPort, path: str, data: bytes) -> None:
    with fs.open(path, "wb") as file:
        file.write(data)


def two_files(fs: LittleFsPort, note: Note) -> None:
    for name in ("one", "two"):
        write(fs, name, bytes(3000))
        note(name)


def test_each_operation_is_cut_before_in_two_ways_within_and_after() -> None:
    recording = record(two_files, formatted())
    found = [cut for cut, _ in flashes(recording, 0)]
    count = len(recording.operations)
    assert count > 40
    for how in (BEFORE, IN_ORDER, ANYWHERE):
        assert [cut.operation for cut in found if cut.how == how][:count] == list(range(count))
    assert found[-1].operation == count
    assert [cut.operation + 1 for cut in found if cut.how == AFTER] == [
        done for done, _ in recording.notes
    ]
    assert {type(operation) for operation in recording.operations} == {Erase, Program}


def test_what_a_cut_leaves_is_the_same_for_a_seed_and_another_for_another() -> None:
    recording = record(two_files, formatted())

    def images(seed: int) -> list[bytes]:
        return [bytes(flash.memory) for _, flash in flashes(recording, seed)]

    assert images(1) == images(1)
    assert images(1) != images(2)


def test_the_last_state_is_what_the_scenario_left() -> None:
    flash = formatted()
    recording = record(two_files, flash)
    *_, (_, last) = flashes(recording, 0)
    assert last.memory == flash.memory


def test_only_what_was_told_before_the_cut_counts() -> None:
    recording = record(two_files, formatted())
    told = {(cut.operation, cut.how): recording.told(cut) for cut, _ in flashes(recording, 0)}
    first = recording.notes[0][0]
    assert told[(first - 1, AFTER)] == []
    assert told[(first, BEFORE)] == ["one"]
    assert told[(first, ANYWHERE)] == ["one"]
    assert told[(len(recording.operations), BEFORE)] == ["one", "two"]


def test_what_was_told_is_there_after_each_cut() -> None:
    def recover(fs: LittleFsPort, told: Sequence[Any], note: Note) -> None:
        for name in told:
            assert fs.stat(name) == 3000

    assert cuts(two_files, recover, formatted()) > 120


def test_a_promise_made_too_early_is_found_and_its_place_named() -> None:
    def run(fs: LittleFsPort, note: Note) -> None:
        note("one")
        write(fs, "one", bytes(3000))

    def recover(fs: LittleFsPort, told: Sequence[Any], note: Note) -> None:
        for name in told:
            assert fs.stat(name) == 3000

    with pytest.raises(CutFailed, match=r"operation=0, how='before'.*seed 5.*told"):
        cuts(run, recover, formatted(), 5)


def test_what_is_wrong_without_any_cut_is_said_to_be_so() -> None:
    def recover(fs: LittleFsPort, told: Sequence[Any], note: Note) -> None:
        assert fs.listdir("") == []

    with pytest.raises(CutFailed, match="no cut at all"):
        cuts(two_files, recover, formatted())


def test_a_recovery_is_cut_as_well_and_keeps_what_it_promised_itself() -> None:
    def recover(fs: LittleFsPort, told: Sequence[Any], note: Note) -> None:
        for name in told:
            fs.stat(name)
        write(fs, "recovered", bytes(500))
        note("recovered")

    assert cuts_of_recoveries(two_files, recover, formatted(), 3, 10) > 50

    def recover_once(fs: LittleFsPort, told: Sequence[Any], note: Note) -> None:
        assert "begun" not in fs.listdir("")
        fs.mkdir("begun")
        fs.rmdir("begun")

    assert cuts(two_files, recover_once, formatted()) > 50
    with pytest.raises(CutFailed, match="then Cut"):
        cuts_of_recoveries(two_files, recover_once, formatted(), 3, 10)

    def promise_early(fs: LittleFsPort, told: Sequence[Any], note: Note) -> None:
        for name in told:
            fs.stat(name)
        note("recovered")
        write(fs, "recovered", bytes(500))

    with pytest.raises(CutFailed, match="then Cut"):
        cuts_of_recoveries(two_files, promise_early, formatted(), 3, 10)


def test_nothing_but_the_flash_outlives_a_cut() -> None:
    seen: list[NorFlash] = []

    def recover(fs: LittleFsPort, told: Sequence[Any], note: Note) -> None:
        assert fs.flash not in seen
        seen.append(fs.flash)

    count = cuts(two_files, recover, formatted())
    assert len(seen) == count + 1  # and once without a cut

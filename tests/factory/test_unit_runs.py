"""One unit from blank to done: every step recorded, every interruption gone on from."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ks_simulator.keys import public_text
from ks_tools.device_link import DeviceRefused, DeviceSilent
from ks_tools.factory.errors import Differs, Interrupted, StationFailed
from ks_tools.factory.run import UnitRun, Verdict
from ks_tools.factory.steps import DONE, NAMES, REJECT, REWORK

from .line_support import PORT, World, a_line

pytestmark = pytest.mark.usefixtures("no_waiting_for_readers")
OTHER = "26:0a:c4:00:00:02"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_line(tmp_path / "batch") as made:
        yield made


def is_whole(world: World, unit: object) -> bool:
    """Whether record, chip and server agree on a finished unit."""
    record = world.record(unit)  # type: ignore[arg-type]
    seed = unit.seed  # type: ignore[attr-defined]
    return (
        record.state == DONE
        and record.public_key == public_text(seed) == world.office.keys[str(record.d1)]
        and unit.sealed == record.d1  # type: ignore[attr-defined]
        and unit.words["OTRT"] in world.office.tokens  # type: ignore[attr-defined]
    )


def test_a_blank_board_passes_every_step_in_order(world: World) -> None:
    unit = world.unit()
    assert world.plug(unit) is Verdict.PASS
    done = [row["step"] for row in world.store.attempts() if row["outcome"] == "done"]
    assert done == list(NAMES)
    assert is_whole(world, unit)
    assert world.record(unit).serial == "KS-0001"


def test_each_record_says_who_where_and_when(world: World) -> None:
    world.plug(world.unit())
    for row in world.store.attempts():
        assert (row["station"], row["operator"], row["port"]) == ("A", "Ada", PORT)
        assert row["begun_ms"] <= row["ended_ms"]


def test_readings_and_limits_of_the_tests_are_recorded(world: World) -> None:
    world.plug(world.unit())
    (tested,) = [row["detail"] for row in world.store.attempts() if row["step"] == "tested"]
    assert tested["wifi"] == {"rssi_dbm": -50, "least_dbm": -75}
    assert tested["memory"] == {"free_bytes": 90000, "least_bytes": 40000}


def operations(folder: Path) -> int:
    with a_line(folder) as made:
        unit = made.unit()
        made.plug(unit)
        return unit.operations


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_power_cut_at_any_operation_is_gone_on_from(tmp_path: Path, after: bool) -> None:
    count = operations(tmp_path / "whole")
    assert count > 15
    for cut in range(1, count + 1):
        with a_line(tmp_path / f"cut-{cut}") as world:
            unit = world.unit()
            unit.cut, unit.is_cut_after = cut, after
            assert world.plug(unit) is Verdict.WAIT, cut
            for _ in range(3):  # firmware that did not answer once is written again
                if world.plug(unit) is Verdict.PASS:
                    break
            assert is_whole(world, unit), (cut, world.view.verdicts)
            assert world.record(unit).serial == "KS-0001"
            assert len({row["serial"] for row in serials(world)}) == 1


def serials(world: World) -> list[dict[str, str]]:
    with world.store.transaction() as database:
        return [dict(row) for row in database.execute("SELECT * FROM serial")]


def stops_after(step: str) -> Callable[[str], None]:
    def stop(name: str) -> None:
        if name == step:
            raise Interrupted("interrupted")

    return stop


@pytest.mark.parametrize("step", NAMES)
def test_a_program_that_ends_after_any_step_is_gone_on_from(world: World, step: str) -> None:
    unit = world.unit()
    assert world.plug(unit, after_step=stops_after(step)) is Verdict.WAIT
    world.plug(unit)
    assert is_whole(world, unit)
    assert world.record(unit).serial == "KS-0001"


def test_what_a_killed_program_had_begun_is_interrupted_afterwards(world: World) -> None:
    unit = world.unit()
    unit.faults["write"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        world.plug(unit)
    with world.store.transaction() as database:  # as if not even this had been written
        database.execute("UPDATE attempt SET outcome = 'begun' WHERE step = 'flashed'")
    world.plug(unit)
    outcomes = [row["outcome"] for row in world.store.attempts() if row["step"] == "flashed"]
    assert outcomes == ["interrupted", "done"]


def test_a_unit_that_is_done_is_left_alone(world: World) -> None:
    unit = world.unit()
    world.plug(unit)
    before = world.record(unit)
    assert world.plug(unit) is Verdict.ALREADY
    assert world.record(unit) == before


def test_every_board_gets_a_serial_number_of_its_own(world: World) -> None:
    first, second = world.unit(), world.unit(OTHER)
    world.plug(first), world.plug(second)
    assert [world.record(unit).serial for unit in (first, second)] == ["KS-0001", "KS-0002"]


def test_a_station_refuses_when_its_serial_numbers_are_used_up(tmp_path: Path) -> None:
    with a_line(tmp_path / "b", serials={"first": 7, "last": 7, "digits": 4}) as world:
        assert world.plug(world.unit()) is Verdict.PASS
        unit = world.unit(OTHER)
        assert world.plug(unit) is Verdict.WAIT
        assert "KS-0007 to KS-0007 are used up" in world.said
        assert world.record(unit).state == "open"


def test_a_board_without_a_serial_number_uses_none_up(world: World) -> None:
    bad = world.unit()
    bad.readings["memory"] = {"FREE": "100"}
    assert world.plug(bad) is Verdict.FAIL
    good = world.unit(OTHER)
    world.plug(good)
    assert (world.record(bad).serial, world.record(good).serial) == (None, "KS-0001")


# -- rejects and rework ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reading", "said"),
    [
        ("memory", {"FREE": "39999"}, "39999 bytes free, and 40000 are needed"),
        ("memory", {"FREE": "lots"}, "tells no FREE"),
        ("clock", {"PAUSE": "50", "MS": "5000"}, "clock: 5000 ms for 50 ms"),
        ("clock", {"PAUSE": "50", "MS": "0"}, "clock: 0 ms for 50 ms"),
        ("wifi", {"": "-90"}, "-90 dBm, and -75 dBm are needed"),
    ],
)
def test_a_reading_outside_its_limit_is_a_reject(
    world: World, name: str, reading: dict[str, str], said: str
) -> None:
    unit = world.unit()
    unit.readings[name] = reading
    assert world.plug(unit) is Verdict.FAIL
    assert said in world.said
    assert world.record(unit).state == REJECT
    assert said in world.record(unit).reason
    del unit.readings[name]
    assert world.plug(unit) is Verdict.WAIT, "a reject is not taken on again by itself"
    assert "ks factory rework" in world.said


def test_what_the_terminal_refuses_is_a_reject(world: World) -> None:
    unit = world.unit()
    unit.faults["flash"] = DeviceRefused("TEST_FAILED", "the flash gives back something else")
    assert world.plug(unit) is Verdict.FAIL
    assert world.record(unit).reason == "TEST_FAILED: the flash gives back something else"


@pytest.mark.parametrize("by", ["write", "verify"])
def test_a_flash_that_differs_is_written_anew_once_and_then_a_reject(world: World, by: str) -> None:
    unit = world.unit()
    unit.faults[by] = Differs("the flash does not hold what was written")
    assert world.plug(unit) is Verdict.WAIT
    assert world.record(unit).step == "identified"
    unit.faults["verify"] = Differs("the flash does not hold what was written")
    assert world.plug(unit) is Verdict.FAIL
    assert world.record(unit).reason.startswith("written twice: the flash does not hold")


def test_a_flash_that_differs_once_was_written_badly(world: World) -> None:
    unit = world.unit()
    unit.faults["verify"] = Differs("the flash does not hold what was written")
    world.plug(unit)
    assert world.plug(unit) is Verdict.PASS
    assert is_whole(world, unit)


def test_firmware_that_is_silent_is_written_anew_once_and_then_a_reject(world: World) -> None:
    unit = world.unit()
    unit.faults["hello"] = DeviceSilent("no answer to hello")
    assert world.plug(unit) is Verdict.WAIT
    assert world.record(unit).step == "identified"
    unit.faults["hello"] = DeviceSilent("no answer to hello")
    assert world.plug(unit) is Verdict.FAIL
    assert world.record(unit).reason == "written twice, and it does not start: see its log"


def test_burnt_fuses_are_a_reject(world: World) -> None:
    unit = world.unit()
    unit.fuses["FLASH_CRYPT_CNT"] = "0x01"
    assert world.plug(unit) is Verdict.FAIL
    assert "FLASH_CRYPT_CNT" in world.said
    assert not unit.is_flashed


def test_a_reworked_unit_has_a_new_key_under_its_old_number(world: World) -> None:
    unit = world.unit()
    world.plug(unit)
    before, old_key = world.record(unit), unit.seed
    world.store.rework(before)
    assert world.record(unit).state == REWORK
    assert world.plug(unit) is Verdict.PASS
    after = world.record(unit)
    assert (after.serial, after.d1, after.generation) == (before.serial, before.d1, 1)
    assert unit.seed != old_key
    assert is_whole(world, unit)
    assert after.setup_password == before.setup_password, "the label on it stays true"


def test_the_punches_of_a_reworked_unit_are_saved_first(world: World) -> None:
    unit = world.unit()
    world.plug(unit)
    unit.journal["00000001"] = b"punches"
    world.store.rework(world.record(unit))
    assert world.plug(unit) is Verdict.PASS
    (saved,) = (world.batch.folder / "backups").iterdir()
    assert saved.name.startswith("KS-0001-")
    assert (saved / "00000001").read_bytes() == b"punches"
    assert (saved / "00000001").stat().st_mode & 0o077 == 0
    assert unit.journal == {}


def test_the_punches_since_an_interrupted_rework_are_saved_too(world: World) -> None:
    unit = world.unit()
    world.plug(unit)
    unit.journal["00000001"] = b"punches"
    world.store.rework(world.record(unit))
    assert world.plug(unit, after_step=stops_after("identified")) is Verdict.WAIT
    unit.journal["00000002"] = b"more"
    assert world.plug(unit) is Verdict.PASS
    names = {path.name for path in (world.batch.folder / "backups").glob("*/*")}
    assert names == {"00000001", "00000002"}


def test_a_board_that_became_somebodys_since_it_was_identified_is_left_alone(world: World) -> None:
    unit = world.unit()
    world.plug(unit, after_step=stops_after("identified"))
    unit.is_flashed, unit.sealed = True, "ks-9"
    assert world.plug(unit) is Verdict.WAIT
    assert "identity of ks-9" in world.said and unit.sealed == "ks-9"


# -- whose board it is ----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["key", "factory", "journal"])
def test_a_board_that_belongs_to_somebody_is_left_alone(world: World, what: str) -> None:
    unit = world.unit()
    unit.is_flashed = True
    if what == "key":
        unit.seed = b"s" * 32
    elif what == "factory":
        unit.sealed = "ks-9"
    else:
        unit.journal["00000001"] = b"punches"
    assert world.plug(unit) is Verdict.WAIT
    expected = {"key": "a key", "factory": "identity of ks-9", "journal": "journal of 1 segment"}
    assert expected[what] in world.said
    assert unit.is_flashed and world.record(unit).step == "detected"
    assert world.plug(unit, may_erase_identity=True) is Verdict.PASS


def test_a_board_that_is_changed_in_the_middle_is_noticed(world: World) -> None:
    unit, other = world.unit(), world.unit(OTHER)
    other.is_flashed = True
    line = replace(world.line, make_flasher=unit.flasher, open_link=other.link)
    assert UnitRun(line, PORT).run() is Verdict.WAIT
    assert f"another board is at {PORT} now: {OTHER}" in world.said


def test_a_unit_whose_flash_was_erased_meanwhile_makes_a_new_key(world: World) -> None:
    unit = world.unit()
    unit.faults["prove"] = Interrupted("gone")
    world.plug(unit)
    unit.seed = None
    assert world.plug(unit) is Verdict.PASS
    assert unit.made == 2
    assert is_whole(world, unit)


def test_a_real_board_refuses_an_image_of_the_software_chip(world: World) -> None:
    unit = world.unit("24:0a:c4:00:00:01")
    assert world.plug(unit) is Verdict.WAIT
    assert "is for the software chip" in world.said
    assert world.store.units() == []


def test_a_server_that_does_not_answer_keeps_the_unit_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = world.unit()

    def fails(_: object) -> dict[str, object]:
        raise StationFailed("the server does not answer (LINK)")

    with monkeypatch.context() as patch:
        patch.setattr(world.office, "admit", fails)
        assert world.plug(unit) is Verdict.WAIT
    assert world.record(unit).step == "written"
    assert world.plug(unit) is Verdict.PASS

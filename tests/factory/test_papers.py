"""Labels, whitelist, inventory, report, merging: what leaves the line on paper and in files."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from ks_tools.console import ToolError
from ks_tools.factory.errors import Interrupted
from ks_tools.factory.inventory import COLUMNS, write_inventory
from ks_tools.factory.label import is_label_of, write_label
from ks_tools.factory.merge import Merged, merge
from ks_tools.factory.office import FILE, OfflineOffice
from ks_tools.factory.report import as_html, make_report
from ks_tools.factory.run import Verdict
from ks_tools.factory.store import Store

from . import pictures
from .line_support import World, a_line

pytestmark = pytest.mark.usefixtures("no_waiting_for_readers")
OTHER = "26:0a:c4:00:00:02"


# -- labels ---------------------------------------------------------------------------------------


def test_a_label_reads_back_as_what_it_says(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        unit = world.unit()
        world.plug(unit)
        record = world.record(unit)
        scanned = pictures.scan(tmp_path / "b" / "labels" / "KS-0001.png")
        assert scanned == "KS1|KS-0001|KS-0001"
        assert is_label_of(scanned + "\n", record)
        text = (tmp_path / "b" / "labels" / "KS-0001.txt").read_text()
        assert record.setup_password and record.setup_password in text
        assert record.setup_password not in scanned


def test_labels_are_for_nobody_else_to_read(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        world.plug(world.unit())
        for path in (tmp_path / "b" / "labels").iterdir():
            assert path.stat().st_mode & 0o077 == 0


def test_a_reprint_is_the_same_label(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        unit = world.unit()
        world.plug(unit)
        png, text = write_label(world.record(unit), tmp_path / "again")
        for path in (png, text):
            assert path.read_bytes() == (tmp_path / "b" / "labels" / path.name).read_bytes()


def test_a_wrong_label_is_asked_for_again(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        world.people.scans = ["KS1|KS-0002|KS-0002", "KS1|KS-0001|KS-0001"]
        assert world.plug(world.unit()) is Verdict.PASS
        (row,) = [row for row in world.store.attempts() if row["step"] == "labelled"]
        assert row["detail"]["scans"] == 2


def test_a_unit_without_its_own_label_is_not_done(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        world.people.scans = ["KS1|KS-0002|KS-0002"] * 3
        unit = world.unit()
        assert world.plug(unit) is Verdict.WAIT
        assert world.record(unit).step == "sealed"
        assert world.plug(unit) is Verdict.PASS


def test_printer_and_scanner_may_be_programs(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    label = {
        "print": ["cp", "{text}", str(printed)],
        "scan": [sys.executable, pictures.__file__, "{png}"],
    }
    with a_line(tmp_path / "b", label=label) as world:
        assert world.plug(world.unit()) is Verdict.PASS
        assert "KS-0001" in printed.read_text()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["false"], "false fails: exit status 1"),
        (["no-such-printer"], "no-such-printer cannot be run"),
        (["cp", "{paper}"], "only {png}, {text}, {serial} are known"),
    ],
)
def test_a_printer_that_fails_keeps_the_unit_waiting(
    tmp_path: Path, command: list[str], said: str
) -> None:
    with a_line(tmp_path / "b", label={"print": command}) as world:
        assert world.plug(world.unit()) is Verdict.WAIT
        assert said in world.said


# -- the whitelist's file -------------------------------------------------------------------------


def plug_offline(world: World, mac: str = "26:0a:c4:00:00:01") -> None:
    unit = world.unit(mac)
    assert world.plug(unit, office=OfflineOffice(world.batch, world.store)) is Verdict.PASS


def test_the_file_for_the_server_has_every_unit_and_no_token(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        plug_offline(world)
        plug_offline(world, OTHER)
        lines = [json.loads(line) for line in (tmp_path / "b" / FILE).read_text().splitlines()]
        units = world.store.units()
        assert [line["d1"] for line in lines] == ["KS-0001", "KS-0002"]
        assert [line["public_key"] for line in lines] == [unit.public_key for unit in units]
        assert [line["otrt_hash"] for line in lines] == [unit.otrt_hash for unit in units]
        assert all("re_enrol" not in line for line in lines)


def test_a_reworked_unit_is_marked_for_re_enrolment(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        plug_offline(world)
        world.store.rework(world.store.find("KS-0001"))
        plug_offline(world)
        (line,) = [json.loads(line) for line in (tmp_path / "b" / FILE).read_text().splitlines()]
        assert line["re_enrol"] is True
        assert line["public_key"] == world.store.find("KS-0001").public_key


# -- secrets --------------------------------------------------------------------------------------


def test_no_secret_is_in_a_log_the_inventory_or_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KS_WIFI_PASSWORD", "hunter2hunter2")
    with a_line(tmp_path / "b") as world:
        unit = world.unit()
        unit.faults["write network"] = OSError("echo: hunter2hunter2")
        with pytest.raises(OSError, match="echo"):
            world.plug(unit)
        world.plug(unit)
        record = world.record(unit)
        inventory = io.StringIO()
        write_inventory(world.store, inventory)
        report = make_report(world.store)
        shown = inventory.getvalue() + json.dumps(report) + as_html(report, "x")
        shown += (tmp_path / "b" / "logs" / "260ac4000001.log").read_text()
        shown += json.dumps(world.store.attempts())
        assert record.setup_password
        for secret in ("hunter2hunter2", record.setup_password, unit.words["OTRT"]):
            assert secret not in shown
            assert secret != ""


def test_an_injected_private_key_is_never_on_disk(tmp_path: Path) -> None:
    with a_line(tmp_path / "b", key="injected") as world:
        unit = world.unit()
        assert world.plug(unit) is Verdict.PASS
        seed = unit.seed
        assert seed is not None
        import base64

        for path in (tmp_path / "b").rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                for form in (seed, seed.hex().encode(), base64.b64encode(seed)):
                    assert form not in data, path


# -- inventory and report -------------------------------------------------------------------------


def test_the_inventory_has_a_row_for_each_unit(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        good, bad = world.unit(), world.unit(OTHER)
        world.plug(good)
        bad.readings["memory"] = {"FREE": "1"}
        world.plug(bad)
        file = io.StringIO()
        assert write_inventory(world.store, file) == 2
        rows = list(csv.DictReader(io.StringIO(file.getvalue())))
        assert set(rows[0]) == set(COLUMNS)
        assert rows[0]["serial"] == "KS-0001" and rows[0]["image_sha256"] == world.image.sha256
        assert rows[1]["state"] == "reject" and "1 bytes free" in rows[1]["reason"]


def test_a_spreadsheet_runs_nothing_that_a_chip_has_said(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        unit = world.unit()
        world.plug(unit)
        world.store.note(world.record(unit), reason="=HYPERLINK(1)")
        file = io.StringIO()
        write_inventory(world.store, file)
        assert ",'=HYPERLINK(1)," in file.getvalue()


def test_the_report_counts_what_happened(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        good, bad, retried = world.unit(), world.unit(OTHER), world.unit("26:0a:c4:00:00:03")
        world.plug(good)
        bad.readings["memory"] = {"FREE": "1"}
        world.plug(bad)
        retried.cut = 9
        while world.plug(retried) is not Verdict.PASS:
            pass
        report = make_report(world.store)
        assert (report["done"], report["rejects"], report["in_work"]) == (2, 1, 0)
        assert (report["yield"], report["first_pass_yield"]) == (0.6667, 0.3333)
        steps = {row["step"]: row for row in report["steps"]}
        assert steps["tested"]["failed"] == 1
        assert sum(row["interrupted"] for row in report["steps"]) == 1
        assert report["stations"] == {"A": 2}
        assert report["rejected"][0]["mac"] == OTHER


def test_retries_at_lower_rates_and_of_steps_are_counted(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        unit = world.unit()
        unit.slower["write"] = 2
        unit.faults["verify"] = Interrupted("the cable")
        world.plug(unit)
        world.plug(unit)
        details = {row["step"]: row["detail"] for row in world.store.attempts()}
        assert details["flashed"]["retries"] == 2
        assert "retries" not in details["verified"]
        file = io.StringIO()
        write_inventory(world.store, file)
        (row,) = csv.DictReader(io.StringIO(file.getvalue()))
        assert int(row["retries"]) == make_report(world.store)["retries"] == 3
        assert make_report(world.store)["first_pass_yield"] == 0


def test_a_report_of_nothing_is_a_report(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        report = make_report(world.store)
        assert report["yield"] is None
        assert "<svg" in as_html(report, "nothing")


def test_the_page_takes_nothing_from_elsewhere_and_runs_nothing(tmp_path: Path) -> None:
    with a_line(tmp_path / "b") as world:
        unit = world.unit()
        unit.readings["memory"] = {"FREE": "1"}
        world.plug(unit)
        world.store.note(world.record(unit), reason="<script>alert(1)</script>")
        page = as_html(make_report(world.store), "<b>")
        assert "<script" not in page and "&lt;script&gt;" in page and "<b>" not in page
        assert "http" not in page and "src=" not in page


# -- several stations -----------------------------------------------------------------------------


def serials(first: int) -> dict[str, int]:
    return {"first": first, "last": first + 9, "digits": 4}


def test_the_records_of_two_stations_become_one(tmp_path: Path) -> None:
    with a_line(tmp_path / "b", station="B", serials=serials(100)) as second:
        second.plug(second.unit(OTHER))
    with a_line(tmp_path / "a", serials=serials(1)) as first:
        first.plug(first.unit())
        merged = merge(first.store, tmp_path / "b")
        assert (merged.added, merged.changed, merged.unchanged) == (1, 0, 0)
        assert [unit.serial for unit in first.store.units()] == ["KS-0001", "KS-0100"]
        assert first.store.find("KS-0100").station == "B"
        assert {row["station"] for row in first.store.attempts()} == {"A", "B"}


def test_merging_again_changes_nothing(tmp_path: Path) -> None:
    with a_line(tmp_path / "b", station="B", serials=serials(100)) as second:
        second.plug(second.unit(OTHER))
    with a_line(tmp_path / "a", serials=serials(1)) as first:
        merge(first.store, tmp_path / "b")
        before = first.store.units(), first.store.attempts()
        merged = merge(first.store, tmp_path / "b")
        assert (merged.added, merged.changed, merged.unchanged) == (0, 0, 1)
        assert (first.store.units(), first.store.attempts()) == before


def test_a_unit_that_went_on_at_another_station_is_taken_as_it_is_there(tmp_path: Path) -> None:
    with a_line(tmp_path / "a", serials=serials(1)) as first:
        unit = first.unit()
        unit.cut = 12
        first.plug(unit)
        (tmp_path / "b").mkdir()
        with Store(tmp_path / "b") as there:
            merge(there, tmp_path / "a")
            assert there.units() == first.store.units()
        first.plug(unit), first.plug(unit)
        with Store(tmp_path / "b") as there:
            assert merge(there, tmp_path / "a").changed == 1
            assert there.find(unit.mac) == first.record(unit)


def test_stations_with_the_same_serial_numbers_are_refused_whole(tmp_path: Path) -> None:
    with a_line(tmp_path / "b", serials=serials(1)) as second:
        second.plug(second.unit(OTHER))
        second.plug(second.unit("26:0a:c4:00:00:03"))
    with a_line(tmp_path / "a", serials=serials(1)) as first:
        first.plug(first.unit())
        before = first.store.units()
        with pytest.raises(ToolError, match="serial number KS-0001 is that of"):
            merge(first.store, tmp_path / "b")
        assert first.store.units() == before


def test_a_board_that_got_a_number_at_each_of_two_stations_is_a_conflict(tmp_path: Path) -> None:
    with a_line(tmp_path / "b", serials=serials(100)) as second:
        second.plug(second.unit())
    with a_line(tmp_path / "a", serials=serials(1)) as first:
        first.plug(first.unit())
        with pytest.raises(ToolError, match="is KS-0001 here, and KS-0100 there"):
            merge(first.store, tmp_path / "b")


def test_a_station_that_has_not_begun_has_nothing_to_merge(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "batch.toml").write_text("")
    with a_line(tmp_path / "a") as first:
        first.plug(first.unit())
        assert merge(first.store, tmp_path / "b") == Merged()


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("not a database, but longer than a header of one would be" * 9)
    with a_line(tmp_path / "a") as first:
        for path in (tmp_path / "x", tmp_path / "nowhere", tmp_path / "a"):
            with pytest.raises(ToolError):
                merge(first.store, path)

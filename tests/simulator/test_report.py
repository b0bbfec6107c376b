"""Reports: JSON and JUnit XML that others can read."""

import json
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from ks_simulator.report import Check, Report

GOOD = Check("it registers", True, group="dev_1", seconds=0.25)
BAD = Check("it heartbeats", False, "none in 30 s", group="dev_1")
REPORT = Report("fleet", [GOOD, BAD], {"devices": 2, "heartbeats_per_second": 1.5}, 12.3456)


def test_json_holds_every_check_and_figure() -> None:
    document = json.loads(REPORT.as_json())
    assert document["ok"] is False
    assert document["seconds"] == 12.346
    assert document["figures"]["devices"] == 2
    assert [check["name"] for check in document["checks"]] == ["it registers", "it heartbeats"]
    assert document["checks"][1]["detail"] == "none in 30 s"


def test_junit_counts_and_names_the_failures() -> None:
    suite = ElementTree.fromstring(REPORT.as_junit()).find("testsuite")
    assert suite is not None
    assert suite.attrib["tests"] == "2"
    assert suite.attrib["failures"] == "1"
    cases = suite.findall("testcase")
    assert cases[0].find("failure") is None
    failure = cases[1].find("failure")
    assert failure is not None
    assert failure.text == "none in 30 s"
    assert cases[1].attrib["classname"] == "fleet.dev_1"


@given(st.text(), st.text())
def test_any_text_gives_well_formed_xml(name: str, detail: str) -> None:
    report = Report(name, [Check(name, False, detail)], {name: detail})
    suite = ElementTree.fromstring(report.as_junit()).find("testsuite")
    assert suite is not None
    assert suite.attrib["failures"] == "1"


def test_a_report_without_checks_is_not_ok() -> None:
    assert not Report("empty", []).ok
    assert Report("good", [GOOD]).ok


def test_the_name_of_the_file_chooses_the_format(tmp_path: Path) -> None:
    REPORT.write(tmp_path / "sub" / "report.xml")
    REPORT.write(tmp_path / "report.json")
    assert (tmp_path / "sub" / "report.xml").read_bytes().startswith(b"<?xml")
    assert json.loads((tmp_path / "report.json").read_text())["name"] == "fleet"

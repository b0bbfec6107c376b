"""Reading CSV files of employees: every mistake has its line and code, and nothing is raised."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ks_server import people_csv

HEADER = "external_id,name,cards,site,active_from,active_to\n"


def mistakes(text: str | bytes) -> list[tuple[int, str, str]]:
    data = text if isinstance(text, bytes) else text.encode("utf-8")
    return [(one.line, one.column, one.code) for one in people_csv.parse(data).errors]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_file_of_any_office_program_is_read(mark: bytes, delimiter: str, ending: str) -> None:
    cells = [
        ["Name", "EXTERNAL_ID", "cards", "active_from", "active_to", "site"],
        ['"Müller, Ann;a"', "p-1", "12E45678| 0001 |", "2026-02-28", "2028-02-29", "hq"],
        ["", "", "", "", "", ""],
        ["Bo", "p.2", "", "", "", ""],
    ]
    text = ending.join(delimiter.join(row) for row in cells)
    parsed = people_csv.parse(mark + text.encode("utf-8"))
    assert parsed.errors == []
    assert parsed.lines == 2
    assert parsed.columns == frozenset(people_csv.COLUMNS)
    ann, bo = parsed.people
    assert (ann.name, ann.cards, ann.site) == ("Müller, Ann;a", ("12E45678", "0001"), "hq")
    assert (ann.active_from, ann.active_to) == (date(2026, 2, 28), date(2028, 2, 29))
    assert (bo.line, bo.external_id, bo.cards, bo.site) == (4, "p.2", (), None)


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        ("p 1,Ann,,,,", "external_id", "BAD_EXTERNAL_ID"),
        (",Ann,,,,", "external_id", "BAD_EXTERNAL_ID"),
        ("p-0,Ann,,,,", "external_id", "EXTERNAL_ID_TWICE"),
        ("p-1,,,,,", "name", "BAD_NAME"),
        (f"p-1,{'x' * 201},,,,", "name", "BAD_NAME"),
        ("p-1,A\x07,,,,", "name", "BAD_NAME"),
        (f"p-1,Ann,{'ü' * 33},,,", "cards", "BAD_CARD"),
        ("p-1,Ann,c0,,,", "cards", "CARD_TWICE"),
        ("p-1,Ann,c1|c1,,,", "cards", "CARD_TWICE"),
        (f"p-1,Ann,{'|'.join(map(str, range(21)))},,,", "cards", "TOO_MANY_CARDS"),
        ("p-1,Ann,,,2027-02-29,", "active_from", "BAD_DATE"),
        ("p-1,Ann,,,1.2.2026,", "active_from", "BAD_DATE"),
        ("p-1,Ann,,,,20260201", "active_to", "BAD_DATE"),
        ("p-1,Ann,,,,0001-01-01", "active_to", "BAD_DATE"),
        ("p-1,Ann,,,2026-02-02,2026-02-01", "active_to", "BAD_PERIOD"),
        ("p-1,Ann,,,", "", "WRONG_COLUMNS"),
        ("p-1,Ann,,,,,", "", "WRONG_COLUMNS"),
    ],
)
def test_a_mistake_names_its_line_and_leaves_the_others_good(
    row: str, column: str, code: str
) -> None:
    text = HEADER + f"p-0,Zoe,c0,,,\n{row}\np-9,Yan,c9,,,\n"
    assert mistakes(text) == [(3, column, code)]
    assert [one.external_id for one in people_csv.parse(text.encode()).people] == ["p-0", "p-9"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", (1, "", "NO_HEADER")),
        (b"name\nAnn\n", (1, "", "NO_HEADER")),
        (b"external_id,salary\n", (1, "", "UNKNOWN_COLUMN")),
        (b"external_id,name,name\n", (1, "name", "COLUMN_TWICE")),
        (b"external_id\np-1\n\xff\n", (3, "", "NOT_UTF8")),
        (b'external_id,name\np-1,"Ann\n', (2, "", "BAD_CSV")),
        (b'external_id,name\np-1,"A"nn\n', (2, "", "BAD_CSV")),
        (b"external_id,name\np-1," + b"x" * 200_000, (2, "", "BAD_CSV")),
    ],
)
def test_what_is_no_such_file_says_so(text: bytes, expected: tuple[int, str, str]) -> None:
    assert mistakes(text) == [expected]


def test_a_line_is_counted_where_it_begins_even_after_a_cell_of_many_lines() -> None:
    assert mistakes('external_id,name\np-1,"A\nB"\n\np 2,C\n') == [
        (2, "name", "BAD_NAME"),
        (5, "external_id", "BAD_EXTERNAL_ID"),
    ]


def test_a_file_has_an_end() -> None:
    lines = "\n".join(f"p-{number}" for number in range(people_csv.MAX_LINES + 2))
    assert mistakes("external_id\n" + lines) == [(people_csv.MAX_LINES + 2, "", "TOO_MANY_LINES")]


def test_nothing_of_a_person_is_in_an_error_or_a_repr() -> None:
    parsed = people_csv.parse(b"external_id,name,cards\nsecretid,Secretname,secretcard\n")
    assert parsed.people
    wrong = people_csv.parse(b"external_id,name\nsecret id,Secret\n")
    shown = repr(parsed) + repr(wrong) + wrong.errors[0].message
    assert "secret" not in shown.lower()


@given(st.binary() | st.text().map(lambda text: (HEADER + text).encode("utf-8", "replace")))
def test_any_bytes_give_people_or_errors(data: bytes) -> None:
    parsed = people_csv.parse(data)
    assert all(one.code in people_csv.MESSAGES and one.line >= 1 for one in parsed.errors)
    assert parsed.errors or parsed.columns

"""Event lines are read back as the board wrote them."""

from hypothesis import given
from hypothesis import strategies as st

from ks_driver.host import HostBoard
from ks_simulator.events import Event, parse_event

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(WORDS, st.dictionaries(WORDS, st.text(st.characters(exclude_categories=["Cs"]))))
def test_what_the_board_prints_is_what_the_supervisor_hears(
    name: str, detail: dict[str, str]
) -> None:
    detail = {key.replace("=", "_"): value for key, value in detail.items()}
    lines: list[str] = []
    HostBoard(lines.append).show(name, detail)
    assert parse_event(lines[0]) == Event(name, detail)


def test_any_other_line_is_no_event() -> None:
    assert parse_event("Traceback (most recent call last):") is None
    assert parse_event("EVENTUAL x=1") is None


@given(st.text())
def test_no_line_breaks_the_reader(line: str) -> None:
    parse_event("EVENT " + line)

"""Who punched last is a dict, and the rules by it are what they say, for any punches."""

from __future__ import annotations

import hashlib
from typing import Any

from fake_ports import CRYPTO
from fakes import ready
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_agent.persons import ENTRY_BYTES, MOST, Persons
from ks_agent.punch import DIRECTIONS
from ks_agent.store import Store
from tests.property.test_punch_property import MORE

DAY_MS = 86_400_000
Entry = tuple[int, int, int]


class OneByte:
    """A hash whose first bytes are all alike: every person's place is the same one."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        return b"\0\0" + self._hash.digest()[2:]


punches = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**17),
        st.integers(0, 5),
    ),
    max_size=300,
)


@settings(max_examples=60 * MORE, deadline=None)
@given(punches=punches, crowd=st.integers(0, 900), crowded=st.booleans())
def test_nobody_is_taken_for_anybody_else_and_the_latest_is_remembered(
    punches: list[tuple[int, int, int, int]], crowd: int, crowded: bool
) -> None:
    persons: Any = Persons(OneByte if crowded else CRYPTO.sha256)
    last: dict[str, Entry] = {}
    for number in range(crowd):
        persons.remember(f"P{number}", 1, 2, 3)
        last[f"P{number}"] = (1, 2, 3)
        assert persons.find(f"P{number}") == (1, 2, 3)
    for number, up_s, day, direction in punches:
        person = f"P{number}"
        assert persons.find(person) in (None, last.get(person))
        persons.remember(person, up_s, day, direction)
        last[person] = (up_s, day & 0xFFFF, direction)
        assert persons.find(person) == last[person]
    remembered = [person for person in last if persons.find(person) is not None]
    assert all(persons.find(person) == last[person] for person in remembered)
    assert len(persons._table) <= MOST * ENTRY_BYTES
    if not crowded and len(last) <= 200:
        # a place is taken from somebody only where many are
        assert len(remembered) >= len(last) - 2


def test_persons_that_fit_are_all_remembered() -> None:
    persons: Any = Persons(CRYPTO.sha256)
    for number in range(150):
        persons.remember(f"P{number}", number, 1, 0)
    assert all(persons.find(f"P{number}") == (number, 1, 0) for number in range(150))


class Rules:
    """What the rules say, in plain words, for one boot."""

    def __init__(self, config: dict[str, str], start_ms: int) -> None:
        self.window_s = int(config.get("DUPLICATE_S", "60"))
        self.direction = config.get("DIRECTION", "TOGGLE")
        self.start_ms = start_ms
        self.last: dict[str, tuple[int, int, str]] = {}

    def outcome(self, person: str, key: str, up_ms: int, time_ms: int) -> tuple[str, str]:
        day = (time_ms - self.start_ms) // DAY_MS
        last = self.last.get(person)
        if last is not None and up_ms // 1000 - last[0] // 1000 < self.window_s:
            return "duplicate", ""
        direction = self.direction
        if direction == "KEY":
            if key not in DIRECTIONS:
                return "no_key", ""
            direction = key
        elif direction == "TOGGLE":
            inside = last is not None and last[1] == day and last[2] in ("IN", *DIRECTIONS[2::2])
            direction = "OUT" if inside else "IN"
        self.last[person] = (up_ms, day, direction)
        return "accepted", direction


configs = st.fixed_dictionaries(
    {},
    optional={
        "DUPLICATE_S": st.sampled_from(["0", "1", "5", "60", "86400"]),
        "DIRECTION": st.sampled_from(["TOGGLE", "KEY", *DIRECTIONS]),
        "DAY_START": st.sampled_from(["00:00", "04:30", "23:59"]),
    },
)
taken = st.lists(
    st.tuples(
        st.sampled_from("ABCDEF"),
        st.sampled_from(["", "LUNCH", *DIRECTIONS]),
        st.sampled_from([1, 400, 999, 1_000, 4_999, 59_000, 60_000, 3_600_000, 30_000_000]),
    ),
    max_size=40,
)


@settings(max_examples=60 * MORE, deadline=None)
@given(config=configs, taken=taken)
def test_the_rules_are_what_they_say(
    config: dict[str, str], taken: list[tuple[str, str, int]]
) -> None:
    terminal: Any = ready()
    fields = dict(Store(terminal.fs).read("data/state/config.toon"))
    Store(terminal.fs).write("data/state/config.toon", fields | config)
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    hours, _, minutes = config.get("DAY_START", "00:00").partition(":")
    rules = Rules(config, (int(hours) * 60 + int(minutes)) * 60_000)
    for person, key, passed_ms in taken:
        terminal.clock.ticks += passed_ms
        time_ms = terminal.agent.clock.now_ms()
        expected = rules.outcome(person, key, terminal.clock.ticks, time_ms)
        assert terminal.agent.punches.take(person, "RFID", key) == expected[0]
        if expected[1]:
            event, detail = terminal.board.shown[-1]
            assert (event, detail["A2"]) == ("punch", expected[1])

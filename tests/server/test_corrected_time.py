"""Corrected times against a model: a true timeline, and what a drifting terminal tells of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ks_agent import timetext
from ks_server import punch_time
from ks_server.punch_time import Around, Reference, of_request, synced, unsynced

YEAR_2099_MS = 4_070_908_800_000
HOUR_MS = 3_600_000


@dataclass
class Terminal:
    """A terminal as it is: each boot begins at a true time, and UP runs too fast or slow."""

    starts_ms: list[int]
    ppm: int

    def up_ms(self, boot: int, true_ms: int) -> int:
        real_ms = true_ms - self.starts_ms[boot]
        return real_ms + real_ms * self.ppm // 1_000_000

    def reference(self, boot: int, true_ms: int, error_ms: int) -> Reference:
        """A synchronisation at that moment, whose clock was wrong by `error_ms`."""
        up_ms = self.up_ms(boot, true_ms)
        return Reference(boot, up_ms, true_ms + error_ms, punch_time.SYNC_MS, punch_time.RECORD)


errors = st.integers(-punch_time.SYNC_MS, punch_time.SYNC_MS)


@st.composite
def timelines(draw: st.DrawFn) -> tuple[Terminal, list[tuple[int, int]]]:
    """A terminal of three boots, and for each boot (first, last moment) while it was on."""
    moment = draw(st.integers(20_000, YEAR_2099_MS))
    starts, spans = [], []
    for _ in range(3):
        starts.append(moment)
        length = draw(st.integers(0, 400 * 24 * HOUR_MS))
        spans.append((moment, moment + length))
        moment += length + draw(st.integers(0, 400 * 24 * HOUR_MS))
    return Terminal(starts, draw(st.integers(-99, 99))), spans


def within(span: tuple[int, int], share: float) -> int:
    return span[0] + int((span[1] - span[0]) * share)


shares = st.floats(0, 1)


@given(timelines(), st.lists(st.tuples(shares, errors), min_size=1, max_size=4), shares)
def test_by_references_of_its_boot_the_truth_is_within_the_uncertainty(
    timeline: tuple[Terminal, list[tuple[int, int]]],
    moments: list[tuple[float, int]],
    share: float,
) -> None:
    terminal, spans = timeline
    true_ms = within(spans[1], share)
    same = [terminal.reference(1, within(spans[1], where), error_ms) for where, error_ms in moments]
    moment = unsynced(terminal.up_ms(1, true_ms), 0, Around(tuple(same)), true_ms)
    assert moment.uncertainty_ms is not None
    assert abs(moment.time_ms - true_ms) <= moment.uncertainty_ms + 2
    assert moment.source == punch_time.RECORD


@given(timelines(), shares, shares, shares, errors, errors, st.booleans())
def test_between_two_other_boots_the_truth_is_within_the_uncertainty(
    timeline: tuple[Terminal, list[tuple[int, int]]],
    before: float, share: float, after: float, error_1: int, error_2: int, is_later_known: bool,
) -> None:  # fmt: skip
    terminal, spans = timeline
    true_ms = within(spans[1], share)
    later_ms = within(spans[2], after)
    around = Around(
        earlier=terminal.reference(0, within(spans[0], before), error_1),
        later=terminal.reference(2, later_ms, error_2) if is_later_known else None,
    )
    moment = unsynced(terminal.up_ms(1, true_ms), 0, around, later_ms)
    assert moment.source == punch_time.BETWEEN
    assert moment.uncertainty_ms is not None
    assert abs(moment.time_ms - true_ms) <= moment.uncertainty_ms + 2


@given(timelines(), shares, shares, errors, st.integers(0, 5_000))
def test_a_synchronised_clock_is_believed_no_more_than_it_deserves(
    timeline: tuple[Terminal, list[tuple[int, int]]],
    share: float, upload: float, error_ms: int, latency_ms: int,
) -> None:  # fmt: skip
    terminal, spans = timeline
    first, last = sorted((within(spans[1], share), within(spans[1], upload)))
    # the clock was set when the boot began, and ran with the terminal's crystal from then on
    raw_ms = spans[1][0] + error_ms + terminal.up_ms(1, first)
    ts_ms = spans[1][0] + error_ms + terminal.up_ms(1, last)
    request = of_request(1, terminal.up_ms(1, last), ts_ms, last + latency_ms)
    for known in (request, request._replace(boot=2), None):
        moment = synced(1, terminal.up_ms(1, first), raw_ms, known)
        assert (moment.time_ms, moment.source) == (raw_ms, punch_time.CLOCK)
        assert moment.uncertainty_ms is not None
        assert abs(raw_ms - first) <= moment.uncertainty_ms + 2


@given(st.integers(0, YEAR_2099_MS), st.integers(-(10**12), 10**12), st.integers(0, 10**12))
def test_a_clock_that_was_set_by_years_meanwhile_is_seen_to_have_been_wrong(
    true_ms: int, jump_ms: int, up_ms: int
) -> None:
    request = of_request(1, up_ms + 1_000, true_ms + 1_000, true_ms + 1_000)
    moment = synced(1, up_ms, true_ms + jump_ms, request)
    by_up_ms = punch_time.SYNC_MS + punch_time.drift_ms(up_ms)
    by_jump_ms = abs(jump_ms) + punch_time.SYNC_MS + 1
    if abs(jump_ms) > by_up_ms + punch_time.SYNC_MS + 1:
        assert moment.uncertainty_ms == by_jump_ms
    else:
        assert moment.uncertainty_ms == min(by_up_ms, by_jump_ms)


def test_nothing_known_leaves_the_time_as_it_was_told_and_claims_nothing() -> None:
    later = Reference(5, 1_000, 2_000_000, 5_000, punch_time.RECORD)
    for around in (Around(), Around(later=later)):
        assert unsynced(7, 1_000, around, 9_000_000) == (1_000, None, punch_time.RAW)


def test_of_several_references_the_one_that_says_most_is_taken() -> None:
    near = Reference(1, 10_000, 1_000_000, 60_000, punch_time.REFERENCE)
    far = Reference(1, 10_000_000, 10_990_000, 5_000, punch_time.RECORD)
    moment = unsynced(9_000, 0, Around((near, far)), 0)
    assert moment == (999_000, 5_000 + 1_000, punch_time.RECORD)


@pytest.mark.parametrize(
    ("text", "up_ms", "reference_up_ms", "expected"),
    [
        ("2028-02-29T00:00:00.000Z", 0, 60_000, "2028-02-28T23:59:00.000Z"),
        ("2028-02-28T23:59:59.000Z", 61_000, 60_000, "2028-02-29T00:00:00.000Z"),
        ("2100-02-28T23:59:59.000Z", 61_000, 60_000, "2100-03-01T00:00:00.000Z"),
        ("1970-01-01T00:00:10.000Z", 0, 60_000, "1970-01-01T00:00:00.000Z"),
        ("2099-12-31T23:59:59.999Z", 60_001, 60_000, "2100-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", 10**15 - 1, 0, "9999-12-31T23:59:59.999Z"),
    ],
)  # fmt: skip
def test_leap_days_and_the_ends_of_time_are_calculated_right(
    text: str, up_ms: int, reference_up_ms: int, expected: str
) -> None:
    same = Reference(1, reference_up_ms, timetext.parse_ms(text), 5_000, punch_time.RECORD)
    moment = unsynced(up_ms, 0, Around((same,)), 0)
    assert timetext.format_ms(moment.time_ms) == expected


@given(st.integers(-200_000, 200_000), st.integers(0, 5_000))
def test_a_request_is_as_sure_as_its_way_to_the_server_allows(
    error_ms: int, latency_ms: int
) -> None:
    sent_ms = 1_000_000_000
    request = of_request(1, 0, sent_ms + error_ms, sent_ms + latency_ms)
    assert abs(error_ms) <= request.uncertainty_ms
    assert request.uncertainty_ms <= abs(error_ms) + punch_time.SYNC_MS


def test_drift_is_never_rounded_down() -> None:
    assert [punch_time.drift_ms(span) for span in (0, 1, -1, 10_000, 10_001)] == [0, 1, 1, 1, 2]

"""Local days: each instant has one, whatever clocks and zones do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ks_server.days import UnknownZone, day_range, local_day, local_time, zone

HOUR_MS = 3_600_000
LAST_MS = 4_102_444_800_000  # 2100

zones = st.sampled_from(sorted(available_timezones() - {"localtime"}))
moments = st.integers(0, LAST_MS)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@given(moments, zones)
def test_each_instant_is_in_the_range_of_its_local_day(moment: int, name: str) -> None:
    there = zone(name)
    first, end = day_range(local_day(moment, there), there)
    assert first <= moment < end


@given(moments, zones)
def test_days_follow_each_other_without_hole_or_overlap(moment: int, name: str) -> None:
    there = zone(name)
    day = local_day(moment, there)
    assert day_range(day, there)[1] == day_range(day + timedelta(days=1), there)[0]


@given(moments, zones)
def test_away_from_midnight_the_day_is_what_the_clock_shows(moment: int, name: str) -> None:
    shown = local_time(moment, zone(name))
    if 2 <= shown.hour < 22:
        assert local_day(moment, zone(name)) == shown.date()


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23), ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Europe/Berlin", date(2028, 2, 29), 24), ("UTC", date(2000, 2, 29), 24),
        ("America/Sao_Paulo", date(2018, 11, 4), 23), ("America/Sao_Paulo", date(2018, 2, 17), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5), ("Africa/Cairo", date(2024, 4, 26), 23),
        ("Asia/Kathmandu", date(2026, 1, 1), 24), ("Pacific/Apia", date(2011, 12, 30), 0),
        ("Pacific/Apia", date(2011, 12, 31), 24), ("America/St_Johns", date(2006, 10, 28), 25),
    ],
)  # fmt: skip
def test_a_day_is_as_long_as_its_zone_makes_it(name: str, day: date, hours: float) -> None:
    first, end = day_range(day, zone(name))
    assert end - first == hours * HOUR_MS


def test_a_day_whose_midnight_is_skipped_begins_when_the_clocks_have_jumped() -> None:
    there = zone("America/Sao_Paulo")
    first, _ = day_range(date(2018, 11, 4), there)
    assert local_time(first, there).isoformat() == "2018-11-04T01:00:00-02:00"
    assert local_day(first - 1, there) == date(2018, 11, 3)


def test_a_leap_day_holds_what_happens_on_it() -> None:
    there = zone("Asia/Tokyo")
    assert local_day(ms("2028-02-28T15:00:00+00:00"), there) == date(2028, 2, 29)
    assert local_day(ms("2028-02-29T15:00:00+00:00"), there) == date(2028, 3, 1)
    assert local_day(ms("2100-02-28T16:00:00+00:00"), there) == date(2100, 3, 1)


def test_1970_and_2099_have_days_too() -> None:
    assert local_day(0, zone("America/New_York")) == date(1969, 12, 31)
    last = datetime(2099, 12, 31, 23, 59, tzinfo=UTC)
    assert local_day(int(last.timestamp() * 1000), zone("Pacific/Auckland")) == date(2100, 1, 1)


@pytest.mark.parametrize("name", ["", "Mars/Base", "../../etc/passwd", "/etc/passwd", "a\x00b"])
def test_an_unknown_zone_is_said_to_be_one(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone(name)

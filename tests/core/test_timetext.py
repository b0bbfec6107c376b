"""Times on the wire as integers (docs/protocol.md, section 1)."""

from support import raises

from ks_agent import timetext
from ks_agent.errors import Malformed

LAST = 253402300799999  # 9999-12-31T23:59:59.999Z

KNOWN = (
    (0, "1970-01-01T00:00:00.000Z"),
    (1, "1970-01-01T00:00:00.001Z"),
    (951782400000, "2000-02-29T00:00:00.000Z"),
    (1709251199999, "2024-02-29T23:59:59.999Z"),
    (1709251200000, "2024-03-01T00:00:00.000Z"),
    (1735689599999, "2024-12-31T23:59:59.999Z"),
    (1760000123456, "2025-10-09T08:55:23.456Z"),
    (2147483648000, "2038-01-19T03:14:08.000Z"),
    (4107542400000, "2100-03-01T00:00:00.000Z"),
    (LAST, "9999-12-31T23:59:59.999Z"),
)


def test_known_times_are_written_and_read():
    for unix_ms, text in KNOWN:
        assert timetext.format_ms(unix_ms) == text
        assert timetext.parse_ms(text) == unix_ms


def test_each_day_of_four_centuries_follows_the_one_before():
    day_ms = 86400000
    for day in range(0, 146097, 37):
        text = timetext.format_ms(day * day_ms + 1)
        assert timetext.parse_ms(text) == day * day_ms + 1, text


def test_fractions_have_none_to_six_digits_and_count_to_the_millisecond():
    for fraction, ms in (
        ("", 0),
        (".0", 0),
        (".1", 100),
        (".12", 120),
        (".123", 123),
        (".1239", 123),
        (".12399", 123),
        (".999999", 999),
        (".000999", 0),
    ):
        assert timetext.parse_ms("1970-01-01T00:00:01" + fraction + "Z") == 1000 + ms


def test_days_and_times_that_do_not_exist_are_refused():
    for text in (
        "1969-12-31T23:59:59Z",
        "2025-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-13-10T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-12-32T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T10:60:00Z",
        "2026-11-20T10:00:60Z",
    ):
        raises(Malformed, timetext.parse_ms, text)


def test_other_spellings_are_refused():
    for text in (
        "",
        "Z",
        "2026-11-20",
        "2026-11-20T10:00:00",
        "2026-11-20T10:00:00z",
        "2026-11-20t10:00:00Z",
        "2026-11-20 10:00:00Z",
        "2026-11-20T10:00:00+00:00",
        "2026-11-20T10:00:00.Z",
        "2026-11-20T10:00:00.0000000Z",
        "2026-11-20T10:00:00,000Z",
        "2026-11-20T10:00:00.-10Z",
        "2026-11-20T10:00:00.1 0Z",
        "2026-11-20T10:00:0 .000Z",
        "2026-11-20T10:00:00 000Z",
        "+026-11-20T10:00:00Z",
        "2026-1_-20T10:00:00Z",
        "20261-1-20T10:00:00Z",
        "\u0662026-11-20T10:00:00Z",
        " 2026-11-20T10:00:00Z",
        "2026-11-20T10:00:00Z ",
        "2026-11-20T10:00:00Z\n",
    ):
        raises(Malformed, timetext.parse_ms, text)


def test_any_single_wrong_character_is_refused():
    good = "2026-11-20T10:00:00.000Z"
    for index in range(len(good)):
        for character in "x-:. Z/":
            if character != good[index]:
                bad = good[:index] + character + good[index + 1 :]
                raises(Malformed, timetext.parse_ms, bad)

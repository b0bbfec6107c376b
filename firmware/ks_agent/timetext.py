"""Times on the wire, `2026-11-20T10:00:00.000Z`, as integers: ms since 1970-01-01 UTC.

Integers only: the ESP32's floats are single precision and its epoch is 2000.
"""

from .errors import Malformed

# The last moment that can be written: the end of year 9999.
LAST_MS = 253402300799999

_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def _is_leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_before_year(year):
    past = year - 1
    return past * 365 + past // 4 - past // 100 + past // 400


_EPOCH_DAYS = _days_before_year(1970)


def _days_before_month(year, month):
    return _DAYS_BEFORE[month - 1] + (1 if month > 2 and _is_leap(year) else 0)


def _month_days(year, month):
    if month == 12:
        return 31
    return _days_before_month(year, month + 1) - _days_before_month(year, month)


def format_ms(unix_ms):
    """`unix_ms` from 0 to the end of year 9999, written with milliseconds."""
    seconds, ms = divmod(unix_ms, 1000)
    days, seconds = divmod(seconds, 86400)
    days += _EPOCH_DAYS
    year = days * 400 // 146097 + 1
    while _days_before_year(year) > days:
        year -= 1
    while _days_before_year(year + 1) <= days:
        year += 1
    days -= _days_before_year(year)
    month = 12
    while _days_before_month(year, month) > days:
        month -= 1
    days -= _days_before_month(year, month)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    date = "%04d-%02d-%02dT" % (year, month, days + 1)
    return date + "%02d:%02d:%02d.%03dZ" % (hours, minutes, seconds, ms)


def parse_ms(text):
    """ms since 1970; further fraction digits (up to 6) are cut off. Raises Malformed."""
    if not 20 <= len(text) <= 27 or text[-1:] != "Z":
        raise Malformed("not a UTC time")
    if text[4] + text[7] + text[10] + text[13] + text[16] != "--T::":
        raise Malformed("not a UTC time")
    digits = text[:4] + text[5:7] + text[8:10] + text[11:13] + text[14:16] + text[17:19]
    if digits.strip("0123456789"):
        raise Malformed("not a UTC time")
    fraction = text[19:-1]
    if fraction and (fraction[:1] != "." or len(fraction) < 2 or fraction[1:].strip("0123456789")):
        raise Malformed("bad fraction of a second")
    year, month, day = int(text[0:4]), int(text[5:7]), int(text[8:10])
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
    if year < 1970 or not 1 <= month <= 12 or day < 1:
        raise Malformed("no such day")
    if day > 28 and day > _month_days(year, month):
        raise Malformed("no such day")
    if hour > 23 or minute > 59 or second > 59:
        raise Malformed("no such time of day")
    days = _days_before_year(year) - _EPOCH_DAYS + _days_before_month(year, month) + day - 1
    ms = int((fraction[1:] + "000")[:3])
    return ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000 + ms

"""The chip's own clock: mbedTLS judges certificates by it, and it runs on through a reset.

Set and read as a date, so that it does not matter from which year the port counts its seconds
(2000 on the ESP32, 1970 on the unix port), and there is no float to lose seconds in.
"""

import machine

from ks_agent.errors import Malformed
from ks_agent.timetext import format_ms, parse_ms

# What is in its memory, which outlasts every reset but not the power: what ran, or what is next.
MARK, MODE = b"KS1 ", b"KS2 "


def set_rtc(unix_ms):
    text = format_ms(unix_ms)
    year, month, day = int(text[0:4]), int(text[5:7]), int(text[8:10])
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
    machine.RTC().datetime((year, month, day, 0, hour, minute, second, int(text[20:23]) * 1000))


def rtc_ms():
    """Milliseconds since 1970; 0 for a clock that was never set, or shows what is no time."""
    year, month, day, _, hour, minute, second, microsecond = machine.RTC().datetime()
    try:
        text = "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ"
        found = (year, month, day, hour, minute, second, microsecond // 1000)
        return parse_ms(text % found) if year > 2000 else 0
    except Malformed:
        return 0

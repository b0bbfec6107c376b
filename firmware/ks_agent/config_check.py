"""What a configuration must be like; apart from it because it is checked only when it changes."""

from .errors import Malformed
from .log import LEVELS
from .punch import DIRECTIONS

_CHOICES = {
    "LOG_LEVEL": LEVELS,
    "DIRECTION": DIRECTIONS + ("TOGGLE", "KEY"),
    "UNKNOWN": ("RECORD", "REFUSE"),
}
# Smallest and largest: s, s, KiB. A journal needs a few segments to work with.
_NUMBERS = {
    "DUPLICATE_S": (0, 86400),
    "UPLOAD_DELAY_S": (0, 3600),
    "JOURNAL_KIB": (16, 1048576),
}


def check(fields):
    """Raises Malformed for a configuration that could never work."""
    for name in ("SERVER", "TIME_SERVER"):
        server = fields.get(name)
        if server is None:
            continue
        scheme, found, host = server.partition("://")
        bad = [code for code in server.encode() if code <= 32 or code > 126]
        if not found or scheme not in ("http", "https") or not host or bad or host[-1:] == "/":
            raise Malformed(name + " is not http://host[:port] or https://host[:port]")
    for name, allowed in _CHOICES.items():
        if fields.get(name, allowed[0]) not in allowed:
            raise Malformed("no such " + name)
    for name, (least, most) in _NUMBERS.items():
        text = fields.get(name, str(least))
        if text.strip("0123456789") or not 1 <= len(text) <= 7 or not least <= int(text) <= most:
            raise Malformed("%s is not from %d to %d" % (name, least, most))
    _check_day_start(fields.get("DAY_START", "00:00"))


def _check_day_start(text):
    digits = text[:2] + text[3:]
    if len(text) != 5 or text[2] != ":" or digits.strip("0123456789"):
        raise Malformed("DAY_START is not HH:MM")
    if int(text[:2]) > 23 or int(text[3:]) > 59:
        raise Malformed("DAY_START is no time of day")

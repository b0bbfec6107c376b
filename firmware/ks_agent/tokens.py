"""The protocol's tokens: kinds, patterns, limits, and the commands' payloads.

What a terminal needs of PROTOCOL sections 1, 4 and 5; the operations themselves are in schema,
which no terminal loads.
"""

from . import timetext
from .errors import Malformed, MissingToken

KIB = 1024
ANSWER_MAX_BYTES = 8 * KIB
ANSWER_MAX_COMMANDS = 8
BATCH_MAX_PUNCHES = 20
MESSAGE_MAX_TOKENS = 128
VALUE_MAX_BYTES = 4 * KIB
TIMESTAMP_WINDOW_MS = 300 * 1000

BASE_PATH = "/api/devices/"
# The operations that are a GET; all others are a POST.
GET = ("commands", "firmware/download", "time", "allow-list")

_KIND_OF = {
    "HB2": "integer",
    "HB7": "integer",
    "FW5": "integer",
    "ACK3": "integer",
    "SEQ": "integer",
    "SEQ_MIN": "integer",
    "BOOT": "integer",
    "UP": "integer",
    "ACK_SEQ": "integer",
    "RTO": "integer",
    "RTY": "integer",
    "PENDING_CMDS": "integer",
    "COUNTER": "integer",
    "SIZE": "integer",
    "TRIES": "integer",
    "J1": "integer",
    "J2": "integer",
    "AL2": "integer",
    "AL3": "integer",
    "HB3": "decimal",
    "HB4": "decimal",
    "FW_AVAILABLE": "flag",
    "TS": "time",
    "HB5": "time",
    "LOG4": "time",
    "A3": "time",
    "CMD5": "time",
    "BUILT": "time",
    "EXPIRES": "time",
}

_DIGITS = "0123456789"
_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" + _DIGITS
_HEX = _DIGITS + "abcdef"
_ID = (_ALNUM + "._-", 1, 64)
_PATTERNS = {
    "D1": _ID,
    "FW1": _ID,
    "CMD1": _ID,
    "NONCE": (_ALNUM + "_-", 16, 64),
    "KID": (_HEX, 8, 8),
    "RQ": (_HEX, 32, 32),
    "JID": (_HEX, 16, 16),
    "FW4": (_HEX, 64, 64),
    "AL4": (_HEX, 16, 4096),
    "C1": (_HEX, 16, 16),
}


def kind_of(key, list_name=None):
    """`text`, `integer`, `decimal`, `flag` or `time`; tokens that nobody declared are text."""
    return _KIND_OF.get(key, "text")


COMMAND_REQUIRED = ("CMD1", "CMD2", "TS")
COMMAND_SIGNED = ("CMD1", "CMD2", "CMD3", "CMD4", "CMD5", "TS")

# Every token of the protocol is a text in each message, or a list in each.
LIST_NAMES = ("LINK", "CMD", "EVENT", "LOG", "RESULT")
TEXTS = (
    " A1 A2 A3 ACK1 ACK2 ACK3 ACK4 ACK_SEQ AL1 AL2 AL3 AL4 AL5 BOOT C1 CLK CMD1 CMD2 CMD3 CMD4"
    " CMD5 CMD_IDS D1 D2 D3 D4 D5 E1 ERR1 ERR2 ERR3 FW1 FW2 FW3 FW4 FW5 FW_AVAILABLE FW_SIG HB1"
    " HB2 HB3 HB4 HB5 HB6 HB7 IMG1 J1 J2 JID KEY KID LOG1 LOG2 LOG3 LOG4 LOG5 M1 METHOD NONCE O1"
    " O2 OP OTRT PENDING_CMDS PK1 PREV RQ RTO RTY S1 SEQ SEQ_MIN SIG SIG1 SIG_ADMIN_A SIG_ADMIN_B"
    " SIG_NEW SIG_SERV TS UP "
)


def is_integer(text):
    digits = text[1:] if text.startswith("-") else text
    if not 1 <= len(digits) <= 15 or digits.strip(_DIGITS):
        return False
    return digits[:1] != "0" or digits == "0"


def is_decimal(text):
    whole, point, fraction = text.partition(".")
    if point and (not 1 <= len(fraction) <= 17 or fraction.strip(_DIGITS)):
        return False
    return is_integer(whole)


def check_value(key, text):
    """Raises Malformed when a token's text is not of its declared kind or pattern."""
    kind = _KIND_OF.get(key)
    if kind is None:
        pattern = _PATTERNS.get(key)
        if pattern is not None:
            allowed, shortest, longest = pattern
            if not shortest <= len(text) <= longest or text.strip(allowed):
                raise Malformed("bad " + key)
    elif kind == "integer":
        if not is_integer(text):
            raise Malformed(key + " is not an integer")
    elif kind == "decimal":
        if not is_decimal(text):
            raise Malformed(key + " is not a decimal")
    elif kind == "flag":
        if text not in ("true", "false"):
            raise Malformed(key + " is neither true nor false")
    else:
        timetext.parse_ms(text)


def check_values(message):
    """Raises Malformed for a text of the wrong kind or pattern, and for a list in a text's place.

    Tokens that nobody declared may be anything.
    """
    for key, value in message.items():
        if isinstance(value, str):
            if key in LIST_NAMES:
                raise Malformed(key + " is a list")
            check_value(key, value)
            continue
        if " %s " % key in TEXTS:
            raise Malformed(key + " is not a list")
        for row in value:
            for field, text in row.items():
                # A punch is judged by itself, later: one bad punch must not hold up a journal.
                if key in LIST_NAMES and (key != "EVENT" or field == "SEQ"):
                    check_value(field, text)


_ANSWER_REQUIRED = {
    "events": ("S1", "ACK_SEQ"),
    "allow-list": ("S1", "AL1"),
    "commands": (),
    "time": (),
}


def answer_required(op):
    """The tokens that an answer to `op` must have when it says yes."""
    return _ANSWER_REQUIRED.get(op, ("S1",))


def check_answer(op, message):
    """Raises Malformed or MissingToken; one with ERR1 may leave out what its operation requires."""
    check_values(message)
    if "ERR1" in message:
        return
    missing = [key for key in answer_required(op) if key not in message]
    if missing:
        raise MissingToken(missing)

"""The messages of the protocol as tables: which tokens, of which kind, in which operation.

One truth for device and server (PROTOCOL sections 1, 4 and 5).
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

COMMON = ("D1", "TS", "NONCE", "SIG1", "KID", "OP")
ALWAYS_REQUIRED = ("D1", "TS", "NONCE", "SIG1")

_KINDS = {
    "integer": "HB2 HB7 FW5 ACK3 SEQ SEQ_MIN BOOT UP ACK_SEQ RTO RTY PENDING_CMDS COUNTER SIZE "
    "TRIES",
    "decimal": "HB3 HB4",
    "flag": "FW_AVAILABLE",
    "time": "TS HB5 LOG4 A3 CMD5 BUILT EXPIRES",
}
_KIND_OF = {}
for _kind, _keys in _KINDS.items():
    for _key in _keys.split():
        _KIND_OF[_key] = _kind

_DIGITS = "0123456789"
_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" + _DIGITS
_PATTERNS = {
    "D1": (_ALNUM + "._-", 1, 64),
    "FW1": (_ALNUM + "._-", 1, 64),
    "CMD1": (_ALNUM + "._-", 1, 64),
    "NONCE": (_ALNUM + "_-", 16, 64),
    "KID": (_DIGITS + "abcdef", 8, 8),
    "RQ": (_DIGITS + "abcdef", 32, 32),
    "JID": (_DIGITS + "abcdef", 16, 16),
    "FW4": (_DIGITS + "abcdef", 64, 64),
}

STATUS = {
    "MALFORMED": 400,
    "MISSING_TOKEN": 400,
    "TIMESTAMP_INVALID": 400,
    "UNAUTHORIZED": 401,
    "SIG_INVALID": 403,
    "NONCE_REUSE": 403,
    "REVOKED": 403,
    "DEVICE_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "DEVICE_ALREADY_REGISTERED": 409,
    "TOO_LARGE": 413,
    "RATE_LIMIT": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}


def kind_of(key, list_name=None):
    """`text`, `integer`, `decimal`, `flag` or `time`; tokens that nobody declared are text."""
    return _KIND_OF.get(key, "text")


class Request:
    """The declared form of one operation's request."""

    def __init__(
        self, op, method, required="", optional="", lists=None, needs_op=False, large=False
    ):
        self.op = op
        self.method = method
        self.path = "/api/devices/" + op
        self.required = tuple(required.split())
        self.optional = tuple(optional.split())
        self.lists = lists or {}
        self.needs_op = needs_op
        self.max_body_bytes = (64 if large else 16) * KIB
        self.max_rows = 256 if large else 32
        self.max_tokens = 256 * 12 if large else MESSAGE_MAX_TOKENS

    def knows(self, key):
        return key in COMMON or key in self.required or key in self.optional or key in self.lists


class Answer:
    """The declared form of an operation's answer; ANSWER_COMMON comes on top."""

    def __init__(self, required="", optional="", lists=None):
        self.required = tuple(required.split())
        self.optional = tuple(optional.split())
        self.lists = lists or {}


EVENT_FIELDS = ("A1", "E1", "A2", "A3", "SEQ", "PREV", "BOOT", "UP", "CLK", "METHOD")
LOG_FIELDS = ("LOG2", "LOG3", "LOG4")
COMMAND_REQUIRED = ("CMD1", "CMD2", "TS")
COMMAND_SIGNED = ("CMD1", "CMD2", "CMD3", "CMD4", "CMD5", "TS")

_TABLE = (
    Request("register", "POST", "D2", "D3 PK1 D4 D5 M1 OTRT"),
    Request("heartbeat", "POST", "HB1 HB2", "HB3 HB4 HB5 HB6 HB7 FW2"),
    Request("commands", "GET"),
    Request("command-ack", "POST", "CMD1 ACK1", "ACK2 ACK3 ACK4"),
    Request("firmware/check", "POST", "FW2"),
    Request("firmware/download", "GET", "FW1"),
    Request("firmware/ack", "POST", "FW1 FW2 ACK1", "ACK2 ACK3 LOG1"),
    Request(
        "logs", "POST", "LOG1 LOG2", "LOG3 LOG4 LOG5 CMD1 FW1", {"LOG": LOG_FIELDS}, large=True
    ),
    Request("events", "POST", "JID EVENT", "SEQ_MIN", {"EVENT": EVENT_FIELDS}, True, True),
    Request("rotate-key", "POST", "D3 SIG_NEW", "", None, True),
    Request("time", "GET", "", "", None, True),
)
REQUESTS = {}
for _request in _TABLE:
    REQUESTS[_request.op] = _request

# What any answer may hold: the binding, the catch-up of server keys, and a refusal.
ANSWER_COMMON = ("D1", "NONCE", "TS", "OP", "RQ", "SIG_SERV", "ERR1", "ERR2", "ERR3", "RTY")
LINK_FIELDS = ("SEQ", "KEY", "SIG")
COMMAND_FIELDS = COMMAND_SIGNED + ("SIG_SERV", "SIG_ADMIN_A", "SIG_ADMIN_B")

ANSWERS = {
    "register": Answer("S1", "O1 O2 RTO"),
    "heartbeat": Answer("S1", "RTO PENDING_CMDS CMD_IDS FW_AVAILABLE FW2"),
    "commands": Answer("", "S1", {"CMD": COMMAND_FIELDS}),
    "command-ack": Answer("S1"),
    "firmware/check": Answer("S1", "FW1 FW2 FW3 FW4 FW5 FW_SIG O1 O2 RTO"),
    "firmware/ack": Answer("S1"),
    "logs": Answer("S1", "LOG1"),
    "events": Answer("S1 ACK_SEQ", "", {"RESULT": ("A1", "S1", "ERR1")}),
    "rotate-key": Answer("S1"),
    "time": Answer(),
}

# Every token of the protocol is a text in each message, or a list in each.
LISTS = {"LINK": LINK_FIELDS}
_TEXTS = set(COMMON + ANSWER_COMMON + COMMAND_FIELDS + EVENT_FIELDS + LOG_FIELDS)
for _form in tuple(REQUESTS.values()) + tuple(ANSWERS.values()):
    LISTS.update(_form.lists)
    _TEXTS.update(_form.required + _form.optional)
_TEXTS.difference_update(LISTS)


class Command:
    """A command's payload fields, and what it takes to be believed."""

    def __init__(self, required="", optional="", two_admins=False, max_days=None):
        self.required = tuple(required.split())
        self.optional = tuple(optional.split())
        self.two_admins = two_admins
        self.max_days = max_days


CONFIG_FIELDS = "SERVER TIME_SERVER WIFI_SSID WIFI_PASSWORD LOG_LEVEL CA SITE"
COMMANDS = {
    "RESTART": Command(),
    "FETCH_LOGS": Command("", "LEVEL SINCE"),
    "APPLY_CONFIG": Command("", CONFIG_FIELDS),
    "WIPE": Command("", "FORCE", True, 30),
    "REVOKE": Command("", "", True, 30),
    "ROTATE_DEVICE_KEY": Command(),
    "TRUST_KEY": Command("ROLE KEY", "RELEASE_SIG"),
    "DISTRUST_KEY": Command("ROLE KEY", "", True),
    "HALT_UPDATES": Command(),
    "RESUME_UPDATES": Command(),
    "IDENTIFY": Command(),
}
FOR_REVOKED = ("WIPE", "REVOKE")


def is_integer(text):
    digits = text[1:] if text.startswith("-") else text
    if not 1 <= len(digits) <= 15 or digits.strip(_DIGITS):
        return False
    return digits[0] != "0" or digits == "0"


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
            if key in LISTS:
                raise Malformed(key + " is a list")
            check_value(key, value)
            continue
        if key in _TEXTS:
            raise Malformed(key + " is not a list")
        if key not in LISTS:
            continue
        for row in value:
            for field, text in row.items():
                check_value(field, text)


def _belongs_elsewhere(request, key):
    if request.knows(key):
        return False
    for other in _TABLE:
        if other.knows(key):
            return True
    return False


def check_request(op, message):
    """Raises Malformed for what the message says wrongly, then MissingToken for what it lacks."""
    request = REQUESTS[op]
    check_values(message)
    # What tells any request from any answer, whoever signed it.
    if "RQ" in message:
        raise Malformed("RQ belongs to an answer")
    named = message.get("OP")
    if named is None:
        for key in message:
            if _belongs_elsewhere(request, key):
                raise Malformed(key + " belongs to another operation")
    elif named != op:
        raise Malformed("OP names another operation")
    missing = []
    for key in ALWAYS_REQUIRED + request.required:
        if key not in message:
            missing.append(key)
    if request.needs_op and named is None:
        missing.append("OP")
    if op == "register" and "D3" not in message and "PK1" not in message:
        missing.append("D3")
    if missing:
        raise MissingToken(missing)


def check_answer(op, message):
    """The same for an answer; one with ERR1 may leave out what its operation requires."""
    check_values(message)
    if "ERR1" in message:
        return
    missing = [key for key in ANSWERS[op].required if key not in message]
    if missing:
        raise MissingToken(missing)


def check_payload(name, payload):
    """A command's payload: Malformed for a field its command does not have, or a list."""
    command = COMMANDS[name]
    missing = [key for key in command.required if key not in payload]
    if missing:
        raise MissingToken(missing)
    for key, value in payload.items():
        if not isinstance(value, str):
            raise Malformed(key + " is a list")
        if key not in command.required and key not in command.optional:
            raise Malformed(name + " has no " + key)

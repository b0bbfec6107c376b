"""The operations of the protocol as tables: which tokens each takes, and what it answers.

One truth for the server, the simulator and the documentation (PROTOCOL sections 2, 4 and 5); what
device and server share is in tokens.
"""

from .command_forms import (  # noqa: F401
    COMMAND_NAMES,
    CONFIG_FIELDS,
    Command,
    check_payload,
    command,
)
from .errors import Malformed, MissingToken
from .message import SIGNATURE_KEYS

# Re-exported: who reads the operations finds all of the contract here.
from .tokens import (  # noqa: F401
    ANSWER_MAX_BYTES,
    ANSWER_MAX_COMMANDS,
    BASE_PATH,
    BATCH_MAX_PUNCHES,
    COMMAND_REQUIRED,
    COMMAND_SIGNED,
    GET,
    KIB,
    LIST_NAMES,
    MESSAGE_MAX_TOKENS,
    TEXTS,
    TIMESTAMP_WINDOW_MS,
    VALUE_MAX_BYTES,
    answer_required,
    check_answer,
    check_value,
    check_values,
    is_decimal,
    is_integer,
    kind_of,
)

EVENT_FIELDS = ("A1", "E1", "A2", "A3", "SEQ", "PREV", "BOOT", "UP", "CLK", "METHOD")
LOG_FIELDS = ("LOG2", "LOG3", "LOG4")
LINK_FIELDS = ("SEQ", "KEY", "SIG")
COMMAND_FIELDS = COMMAND_SIGNED + ("SIG_SERV", "SIG_ADMIN_A", "SIG_ADMIN_B")

RESULT_FIELDS = ("A1", "S1", "ERR1")
FOR_REVOKED = ("WIPE", "REVOKE")
LISTS = {
    "LINK": LINK_FIELDS,
    "CMD": COMMAND_FIELDS,
    "EVENT": EVENT_FIELDS,
    "LOG": LOG_FIELDS,
    "RESULT": RESULT_FIELDS,
}
COMMANDS = {name: command(name) for name in COMMAND_NAMES}

COMMON = ("D1", "TS", "NONCE", "SIG1", "KID", "OP")
ALWAYS_REQUIRED = ("D1", "TS", "NONCE", "SIG1")

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


class Request:
    """The declared form of one operation's request."""

    def __init__(
        self, op, method, required="", optional="", lists=None, needs_op=False, large=False
    ):
        self.op = op
        self.method = method
        self.path = BASE_PATH + op
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

    def __init__(self, op, optional="", lists=None):
        self.required = answer_required(op)
        self.optional = tuple(optional.split())
        self.lists = lists or {}


_TABLE = (
    Request("register", "POST", "D2", "D3 PK1 D4 D5 M1 OTRT"),
    Request(
        "heartbeat", "POST", "HB1 HB2", "HB3 HB4 HB5 HB6 HB7 FW2 IMG1 JID SEQ SEQ_MIN J1 J2 AL1"
    ),
    Request("commands", "GET"),
    Request("command-ack", "POST", "CMD1 ACK1", "ACK2 ACK3 ACK4 JID SEQ"),
    Request("firmware/check", "POST", "FW2", "IMG1"),
    Request("firmware/download", "GET", "FW1"),
    Request("firmware/ack", "POST", "FW1 FW2 ACK1", "ACK2 ACK3 LOG1"),
    Request(
        "logs", "POST", "LOG1 LOG2", "LOG3 LOG4 LOG5 CMD1 FW1", {"LOG": LOG_FIELDS}, large=True
    ),
    Request(
        "events", "POST", "JID EVENT", "SEQ_MIN BOOT UP CLK", {"EVENT": EVENT_FIELDS}, True, True
    ),
    Request("allow-list", "GET", "AL1", "AL2", None, True),
    Request("rotate-key", "POST", "D3 SIG_NEW", "", None, True),
    Request("time", "GET", "", "D3", None, True),
)
REQUESTS = {}
for _request in _TABLE:
    REQUESTS[_request.op] = _request

# What any answer may hold: the binding, the catch-up of server keys, and a refusal.
ANSWER_COMMON = ("D1", "NONCE", "TS", "OP", "RQ", "SIG_SERV", "ERR1", "ERR2", "ERR3", "RTY")

ANSWERS = {
    "register": Answer("register", "O1 O2 RTO"),
    "heartbeat": Answer("heartbeat", "RTO PENDING_CMDS CMD_IDS FW_AVAILABLE FW2 ACK_SEQ AL1"),
    "commands": Answer("commands", "S1", {"CMD": COMMAND_FIELDS}),
    "command-ack": Answer("command-ack"),
    "firmware/check": Answer("firmware/check", "FW1 FW2 FW3 FW4 FW5 FW_SIG O1 O2 RTO"),
    "firmware/ack": Answer("firmware/ack"),
    "logs": Answer("logs", "LOG1"),
    "events": Answer("events", "", {"RESULT": RESULT_FIELDS}),
    "allow-list": Answer("allow-list", "AL2 AL3 AL4 AL5"),
    "rotate-key": Answer("rotate-key"),
    "time": Answer("time"),
}


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
    # No signature covers another one: what the operation does not verify, anybody may have added.
    for key in SIGNATURE_KEYS:
        if key in message and not request.knows(key):
            raise Malformed(key + " is no signature of this operation")
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

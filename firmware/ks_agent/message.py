"""A message, and the canonical string that its signatures cover (PROTOCOL sections 1 and 2).

A message is a dict: key -> text, or key -> list of rows, each row a dict key -> text.
"""

from .errors import Malformed

SIGNATURE_KEYS = ("SIG1", "SIG_SERV", "SIG_NEW", "SIG_ADMIN_A", "SIG_ADMIN_B", "FW_SIG")

_FIRST = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_REST = _FIRST + "0123456789_"
_HEX = "0123456789ABCDEF"


def is_key(text):
    """True for the alphabet of keys: `[A-Z][A-Z0-9_]*`."""
    return bool(text) and text[0] in _FIRST and not text.strip(_REST)


def check_top_key(key):
    """Raises Malformed for a top-level key that no message may have."""
    if not is_key(key):
        raise Malformed("bad key")
    if key.endswith("_COUNT"):
        raise Malformed(key + " is the length of a list")
    if (key.startswith("SIG") or key.startswith("FW_SIG")) and key not in SIGNATURE_KEYS:
        raise Malformed(key + " is not a signature of this protocol")


def check(message):
    """Raises Malformed unless the dict is a message that both syntaxes can carry."""
    for key, value in message.items():
        check_top_key(key)
        if isinstance(value, str):
            continue
        for row in value:
            if not row:
                raise Malformed(key + " has an empty row")
            for field in row:
                if not is_key(field):
                    raise Malformed("bad key in " + key)


def _needs_escape(text):
    if "%" in text or "|" in text:
        return True
    if text.isalpha():
        return False
    for character in text:
        if character < " " or character == "\x7f":
            return True
    return False


def escape(text):
    """The value as it stands in token lines and in the canonical string (PROTOCOL section 2)."""
    if not _needs_escape(text):
        return text
    out = []
    for character in text:
        if character in "%|" or character < " " or character == "\x7f":
            code = ord(character)
            out.append("%" + _HEX[code >> 4] + _HEX[code & 15])
        else:
            out.append(character)
    return "".join(out)


def unescape(text):
    """The inverse of escape. Raises Malformed for anything that escape does not write."""
    if "%" not in text:
        return text
    parts = text.split("%")
    out = [parts[0]]
    for part in parts[1:]:
        if len(part) < 2 or part[0] not in _HEX or part[1] not in _HEX:
            raise Malformed("a % that begins no escape")
        character = chr(int(part[:2], 16))
        if escape(character) == character:
            raise Malformed("%" + part[:2] + " needs no escape")
        out.append(character)
        out.append(part[2:])
    return "".join(out)


def flatten(message):
    """The (key, text) pairs that signatures cover, sorted by key in code-point order."""
    pairs = []
    for key, value in message.items():
        if isinstance(value, str):
            if key not in SIGNATURE_KEYS:
                pairs.append((key, value))
            continue
        pairs.append((key + "_COUNT", str(len(value))))
        for index in range(len(value)):
            prefix = "%s[%d]." % (key, index)
            for field, text in value[index].items():
                pairs.append((prefix + field, text))
    pairs.sort()
    return pairs


class Canonical:
    """The canonical string of a message as UTF-8 pieces; may be iterated any number of times."""

    def __init__(self, message):
        self._pairs = flatten(message)

    def __iter__(self):
        separator = ""
        for key, text in self._pairs:
            yield (separator + key + ":" + escape(text)).encode()
            separator = "|"


def canonical(message):
    return b"".join(Canonical(message))

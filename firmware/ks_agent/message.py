"""A message, and the canonical string that its signatures cover (PROTOCOL sections 1 and 2).

A message is a dict: key -> text, or key -> list of rows, each row a dict key -> text.
"""

from .errors import Malformed

SIGNATURE_KEYS = ("SIG1", "SIG_SERV", "SIG_NEW", "SIG_ADMIN_A", "SIG_ADMIN_B", "FW_SIG")

_FIRST = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_REST = _FIRST + "0123456789_"
_HEX = "0123456789ABCDEF"
# ASCII that is never escaped: most values are nothing else, and `strip` sees that quickest.
_PLAIN = (
    " !\"#$&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
    "abcdefghijklmnopqrstuvwxyz{}~"
)

PIECE_CHARACTERS = 256


def is_key(text):
    """True for the alphabet of keys: `[A-Z][A-Z0-9_]*`."""
    return bool(text) and text[:1] in _FIRST and not text.strip(_REST)


def check_top_key(key):
    """Raises Malformed for a top-level key that no message may have."""
    if not is_key(key):
        raise Malformed("bad key")
    # Few keys can have a name of their own rule; asking first is quicker.
    if key[:1] in "FS" or key[-1:] == "T":
        _check_name(key)


def _check_name(key):
    if key[-6:] == "_COUNT":
        raise Malformed(key + " is the length of a list")
    if (key[:3] == "SIG" or key[:6] == "FW_SIG") and key not in SIGNATURE_KEYS:
        raise Malformed(key + " is not a signature of this protocol")


def check_list_key(key):
    """Raises Malformed for a key that no list may have: a signature is a text."""
    check_top_key(key)
    if key in SIGNATURE_KEYS:
        raise Malformed(key + " is not a list")


def check_names(message):
    """What `check` sees in the top-level keys alone, of a message whose keys are well-formed."""
    for key, value in message.items():
        _check_name(key)
        if key in SIGNATURE_KEYS and not isinstance(value, str):
            raise Malformed(key + " is not a list")


def check(message):
    """Raises Malformed unless the dict is a message that both syntaxes can carry."""
    for key, value in message.items():
        if isinstance(value, str):
            check_top_key(key)
            continue
        check_list_key(key)
        for row in value:
            if not row:
                raise Malformed(key + " has an empty row")
            for field in row:
                if not is_key(field):
                    raise Malformed("bad key in " + key)


def escape(text):
    """The value as it stands in token lines and in the canonical string (PROTOCOL section 2)."""
    rest = text.strip(_PLAIN)
    if not rest:
        return text
    if "%" in rest:
        text = text.replace("%", "%25")
    if "|" in rest:
        text = text.replace("|", "%7C")
    replaced = ""
    for code in rest.encode():  # its characters would stay in MicroPython's memory for ever
        if (code < 32 or code == 127) and chr(code) not in replaced:
            character = chr(code)
            text = text.replace(character, "%" + _HEX[code >> 4] + _HEX[code & 15])
            replaced += character
    return text


def flatten(message, leave_out=SIGNATURE_KEYS):
    """The (key, text) pairs that signatures cover, sorted by key in code-point order."""
    return _Flat(message, leave_out).pairs()


class _Flat:
    """A message's pairs in order, one after the other: a list's are never in memory at once."""

    def __init__(self, message, leave_out):
        self._values = {}
        for key, value in message.items():
            if isinstance(value, str):
                if key not in leave_out:
                    self._values[key] = value
            else:
                self._values[key + "_COUNT"] = str(len(value))
                # What all of its keys begin with, and no other key does.
                self._values[key + "["] = value
        self._keys = sorted(self._values)

    def pairs(self):
        for key in self._keys:
            value = self._values[key]
            if isinstance(value, str):
                yield key, value
                continue
            for index in sorted(range(len(value)), key=_index_key):
                prefix = "%s%d]." % (key, index)
                for field in sorted(value[index]):
                    yield prefix + field, value[index][field]


def _index_key(index):
    return "%d]" % index


class Canonical:
    """The canonical string of a message as UTF-8 pieces; may be iterated any number of times.

    A piece is about 256 bytes, or one token where that is longer.
    """

    def __init__(self, message):
        self._flat = _Flat(message, SIGNATURE_KEYS)

    def __iter__(self):
        held = []
        characters = 0
        for key, text in self._flat.pairs():
            token = key + ":" + escape(text)
            if characters and characters + len(token) > PIECE_CHARACTERS:
                held.append("")  # ends the piece with the separator before the next token
                yield "|".join(held).encode()
                held = []
                characters = 0
            held.append(token)
            characters += len(token) + 1
        if held:
            yield "|".join(held).encode()


def canonical(message):
    """The canonical string in one piece, for a host."""
    return "|".join([key + ":" + escape(text) for key, text in flatten(message)]).encode()

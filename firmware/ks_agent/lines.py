"""KS token lines, `KEY:VALUE|KEY:VALUE`: the older transfer syntax (PROTOCOL section 1).

Also what a GET carries in its query, and what a command's payload (CMD3) is made of.
"""

from . import utf8
from .errors import LinesError, Malformed
from .message import check_list_key, check_top_key, escape, flatten, is_key

_DIGITS = "0123456789"
_HEX = "0123456789ABCDEF"
_PRINTABLE = (
    " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
    "abcdefghijklmnopqrstuvwxyz{|}~"
)


def encode(message):
    """The message as one line of UTF-8, sorted by key, without the optional trailing LF."""
    return "|".join([key + ":" + escape(text) for key, text in flatten(message, ())]).encode()


def unescape(text):
    """The inverse of escape. Raises Malformed for anything that escape does not write."""
    if "%" not in text:
        return text
    parts = text.split("%")
    out = [parts[0]]
    for part in parts[1:]:
        if len(part) < 2 or part[:2].strip(_HEX):
            raise Malformed("a % that begins no escape")
        character = chr(int(part[:2], 16))
        if escape(character) == character:
            raise Malformed("%" + part[:2] + " needs no escape")
        out.append(character)
        out.append(part[2:])
    return "".join(out)


def decode(data, max_bytes, max_tokens=128, max_rows=256, max_value_bytes=4096):
    """The message in a line of UTF-8 bytes. Raises LinesError, and nothing else, for bad input.

    Limits: size of the line; tokens, a list's count and each of its fields among them; rows of all
    lists together; size of one value in UTF-8.
    """
    if len(data) > max_bytes:
        raise LinesError("longer than %d bytes" % max_bytes, 0)
    try:
        utf8.check(data)
    except Malformed as error:
        raise LinesError(error.reason, 0)
    text = bytes(data).decode()
    if text.endswith("\n"):
        text = text[:-1]
    if not text:
        raise LinesError("empty", 0)
    if text.count("|") >= max_tokens:
        raise LinesError("more than %d tokens" % max_tokens, max_tokens)
    _check_controls(text)
    return _Reader(max_rows, max_value_bytes).read(text)


def _check_controls(text):
    if not text.strip(_PRINTABLE):
        return
    position = 0
    for code in text.encode():
        if code < 32 or code == 127:
            raise LinesError("unescaped control character", position)
        if code == 124:  # "|"
            position += 1


class _Reader:
    def __init__(self, max_rows, max_value_bytes):
        self.rows_left = max_rows
        self.max_value_bytes = max_value_bytes
        self.safe_characters = max_value_bytes // 4
        self.message = {}
        self.counts = {}
        # What stands before `].` in a field's key -> the row.
        self.rows = {}

    def read(self, text):
        position = 0
        for token in text.split("|"):
            try:
                self.take(token)
            except Malformed as error:
                raise LinesError(error.reason, position)
            position += 1
        try:
            return self.assemble()
        except Malformed as error:
            raise LinesError(error.reason, position)

    def take(self, token):
        key, colon, value = token.partition(":")
        if not colon or not key:
            raise Malformed("no key")
        if "%" in value:
            value = unescape(value)
        if len(value) > self.safe_characters and len(value.encode()) > self.max_value_bytes:
            raise Malformed("a value of more than %d bytes" % self.max_value_bytes)
        if "[" in key:
            self.take_field(key, value)
        elif key[-6:] == "_COUNT":
            name = key[:-6]
            check_list_key(name)
            if name in self.counts:
                raise Malformed("repeated key " + key)
            self.counts[name] = _number(value)
        else:
            check_top_key(key)
            if key in self.message:
                raise Malformed("repeated key " + key)
            self.message[key] = value

    def take_field(self, key, value):
        start, bracket, field = key.partition("].")
        if not bracket or not is_key(field):
            raise Malformed("bad key")
        row = self.rows.get(start)
        if row is None:
            name, bracket, index = start.partition("[")
            check_list_key(name)
            _number(index)
            self.rows_left -= 1
            if self.rows_left < 0:
                raise Malformed("too many rows")
            row = self.rows[start] = {}
        if field in row:
            raise Malformed("repeated key " + key)
        row[field] = value

    def assemble(self):
        message = self.message
        used = 0
        for name, count in self.counts.items():
            if name in message:
                raise Malformed(name + " is a list and a value")
            rows = []
            for index in range(count):
                row = self.rows.get("%s[%d" % (name, index))
                if row is None:
                    raise Malformed("gap in " + name)
                rows.append(row)
            used += count
            message[name] = rows
        if used != len(self.rows):
            raise Malformed("rows outside a list's count")
        return message


def _number(text):
    """The length of a list or the number of a row, in its one spelling."""
    if not text or len(text) > 4 or text.strip(_DIGITS) or (text[:1] == "0" and text != "0"):
        raise Malformed("bad number of a list")
    return int(text)

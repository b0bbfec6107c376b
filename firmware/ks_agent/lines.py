"""KS token lines, `KEY:VALUE|KEY:VALUE`: the older transfer syntax (PROTOCOL section 1).

Also what a GET carries in its query, and what a command's payload (CMD3) is made of.
"""

from . import utf8
from .errors import LinesError, Malformed
from .message import check_top_key, escape, is_key, unescape


def encode(message):
    """The message as one line of UTF-8, sorted by key, without the optional trailing LF."""
    pairs = []
    for key, value in message.items():
        if isinstance(value, str):
            pairs.append(key + ":" + escape(value))
            continue
        pairs.append("%s_COUNT:%d" % (key, len(value)))
        for index in range(len(value)):
            for field, text in value[index].items():
                pairs.append("%s[%d].%s:%s" % (key, index, field, escape(text)))
    pairs.sort()
    return "|".join(pairs).encode()


def decode(data, max_bytes, max_tokens=128, max_rows=256, max_value_bytes=4096):
    """The message in a line of UTF-8 bytes. Raises LinesError, and nothing else, for bad input."""
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
    return _Reader(max_rows, max_value_bytes).read(text)


class _Reader:
    def __init__(self, max_rows, max_value_bytes):
        self.max_rows = max_rows
        self.max_value_bytes = max_value_bytes
        self.scalars = {}
        self.counts = {}
        self.rows = {}

    def read(self, text):
        position = 0
        for token in text.split("|"):
            try:
                self._take(token)
            except Malformed as error:
                raise LinesError(error.reason, position)
            position += 1
        try:
            return self._assemble()
        except Malformed as error:
            raise LinesError(error.reason, position)

    def _take(self, token):
        colon = token.find(":")
        if colon < 1:
            raise Malformed("no key")
        key = token[:colon]
        raw = token[colon + 1 :]
        if len(raw) > self.max_value_bytes * 3:
            raise Malformed("value too long")
        for character in raw:
            if character < " " or character == "\x7f":
                raise Malformed("unescaped control character")
        value = unescape(raw)
        if len(value) > self.max_value_bytes or len(value.encode()) > self.max_value_bytes:
            raise Malformed("value too long")
        if "[" in key:
            self._take_field(key, value)
        elif is_key(key) and key.endswith("_COUNT"):
            name = key[: -len("_COUNT")]
            if not is_key(name) or name in self.counts:
                raise Malformed("bad or repeated count")
            self.counts[name] = _index(value, self.max_rows)
        else:
            check_top_key(key)
            if key in self.scalars:
                raise Malformed("repeated key " + key)
            self.scalars[key] = value

    def _take_field(self, key, value):
        bracket = key.find("[")
        end = key.find("].")
        if end < bracket:
            raise Malformed("bad key")
        name = key[:bracket]
        field = key[end + 2 :]
        check_top_key(name)
        if not is_key(field):
            raise Malformed("bad key")
        row = self.rows.setdefault((name, _index(key[bracket + 1 : end], self.max_rows)), {})
        if field in row:
            raise Malformed("repeated key " + key)
        row[field] = value

    def _assemble(self):
        message = self.scalars
        used = 0
        for name, count in self.counts.items():
            check_top_key(name)
            if name in message:
                raise Malformed(name + " is a list and a value")
            rows = []
            for index in range(count):
                row = self.rows.get((name, index))
                if row is None:
                    raise Malformed("gap in " + name)
                rows.append(row)
            used += count
            message[name] = rows
        if used != len(self.rows):
            raise Malformed("rows outside a list's count")
        return message


def _index(text, limit):
    if not text or len(text) > 4 or text.strip("0123456789") or (text[0] == "0" and text != "0"):
        raise Malformed("bad number of a list")
    number = int(text)
    if number > limit:
        raise Malformed("more than %d rows" % limit)
    return number

"""Reading TOON documents of the profile that `toon` describes: strict, bounded, literal text.

Whatever the bytes are, the result is a message or a ToonError with line, column and reason. Beside
the limits, two rules are the protocol's and not TOON's: keys are `[A-Z][A-Z0-9_]*`, and a scalar
called `..._COUNT` is refused, as the length of a list is its header's.

What a string means is the specification's (4.x) affair; sections are named where a rule is not
obvious. The time is linear in the document: each search runs over a line once.
"""

from . import utf8
from .errors import ToonError
from .message import is_key

DIGITS = "0123456789"
# ASCII that stands for itself in a bare string, but for what it may begin and end with
# (section 7.2), and in a quoted one (section 7.1).
BARE = " !#$%&'()*+-./0123456789;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~"
LITERAL = BARE + ":[]{},"

# A long document is decoded in pieces of whole lines, never into one big string.
PIECE_BYTES = 1024


def decode(data, max_bytes, max_tokens=128, max_rows=256, max_value_bytes=4096):
    """The message in UTF-8 bytes (bytes, bytearray or memoryview).

    Limits: size of the document; tokens (a scalar, a list and a cell that is not null count one
    each); rows of all tables together; size of one value in UTF-8. Raises ToonError, and nothing
    else, for bad input.
    """
    size = len(data)
    if size > max_bytes:
        raise ToonError("more than %d bytes" % max_bytes, 1, 1)
    if isinstance(data, memoryview):
        data = bytes(data)
    reader = _Reader(max_tokens, max_rows, max_value_bytes)
    start = 0
    while start <= size:
        end = -1
        if size - start > PIECE_BYTES:
            end = data.find(b"\n", start + PIECE_BYTES)
        if end < 0:
            end = size
        reader.take(data[start:end])
        start = end + 1
    return reader.finish()


class _Reader:
    line = 0
    # The table whose rows are being read: None outside one.
    table = None

    def __init__(self, max_tokens, max_rows, max_value_bytes):
        self.message = {}
        self.tokens_left = max_tokens
        self.rows_left = max_rows
        self.max_value_bytes = max_value_bytes
        # What is no longer than this in characters is within the limit in bytes.
        self.safe_characters = max_value_bytes // 4

    def take(self, piece):
        """Read whole lines; the newline after the last one is not in the piece."""
        for line in self.text(piece).split("\n"):
            self.line += 1
            content = line.strip(" ")
            if not content:
                if self.table is not None:
                    self.table.blank()
            elif content[:1] == "#":
                continue
            elif line[:1] == " ":
                if self.table is None:
                    self.fail("an indented line outside a table", 1)
                self.table.row(line, content)
            else:
                self.close_table()
                key, colon, text = content.partition(": ")
                if colon and is_key(key):
                    self.scalar(key, text.lstrip(" "), content)
                else:
                    self.field(content)

    def finish(self):
        self.close_table()
        return self.message

    def close_table(self):
        if self.table is not None:
            self.table.close()
            self.table = None

    def text(self, piece):
        text = utf8.text(piece)
        if text is None:
            before = str(piece[: utf8.fault(piece)], "utf-8")
            self.line += before.count("\n") + 1
            self.fail("ill-formed UTF-8", len(before) - before.rfind("\n"))
        if not self.line and text.startswith("\ufeff"):
            text = text[1:]
        if "\r" in text:
            text = text.replace("\r\n", "\n")
            if text[-1:] == "\r":  # the newline that follows is between the pieces
                text = text[:-1]
        return text

    def fail(self, reason, column):
        raise ToonError(reason, self.line, column)

    # -- fields of the object -------------------------------------------------------------------

    def field(self, content):
        """A line at depth 0 that does not begin with a plain key, a colon and a space."""
        key, colon, _ = content.partition(":")
        if content[:1] == '"':
            from .toon_text import closing_quote, unquote

            end = closing_quote(content, 1) + 1
            if not end:
                self.fail("unterminated string", 1)
            key = unquote(content[:end], 1, self.fail)
            rest = content[end:].lstrip(" ")
            bracket = end if content[end : end + 1] == "[" else -1
            colon = rest[:1] == ":"
        else:
            bracket = key.find("[") if colon else -1
            rest = content[len(key) :]
            key = key[:bracket] if bracket >= 0 else key.rstrip(" ")
        if bracket < 0 and not colon:
            self.fail("a line that is neither a field nor a row of a table", 1)
        if content[:1] == "\t":
            self.fail("a tab in the indentation", 1)
        if not is_key(key):
            self.fail("a key outside [A-Z][A-Z0-9_]*", 1)
        if bracket >= 0:
            from .toon_table import Table

            self.table = Table.opened(self, key, content, bracket)
        else:
            self.scalar(key, rest[1:].lstrip(" "), content)

    def scalar(self, key, text, content):
        if text == "[]":
            value = []
        elif text and text != "null":
            value = text
            if text[:1] == '"':
                value = text[1:-1]
                if text.find('"', 1) != len(text) - 1 or value.strip(LITERAL):
                    from .toon_text import unquote

                    value = unquote(text, len(content) - len(text) + 1, self.fail)
            if len(value) > self.safe_characters:
                self.check_size(value, len(content) - len(text) + 1)
            if "_" in key and key.endswith("_COUNT"):
                self.fail("the length of a list as a scalar", 1)
        elif text:
            self.fail("null outside a table", len(content) - 3)
        else:
            self.fail("a nested object", len(content))
        if key in self.message:
            self.fail("a repeated key", 1)
        self.message[key] = value
        self.tokens_left -= 1
        if self.tokens_left < 0:
            self.fail("too many tokens", 1)

    def check_size(self, value, column):
        if len(value) > self.max_value_bytes or len(value.encode()) > self.max_value_bytes:
            self.fail("a value of more than %d bytes" % self.max_value_bytes, column)

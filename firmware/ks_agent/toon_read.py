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
from .toon_text import DIGITS, LITERAL, closing_quote, split_cells, unquote

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
    fields = None
    rows = None
    delimiter = ","
    missing = 0
    blank_line = 0

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
                if self.rows and not self.blank_line:
                    self.blank_line = self.line
            elif content[0] == "#":
                continue
            elif line[0] == " ":
                self.row(line, content)
            else:
                if self.fields is not None:
                    self.close_table()
                key, colon, text = content.partition(": ")
                if colon and is_key(key):
                    self.scalar(key, text.lstrip(" "), content)
                else:
                    self.field(content)

    def finish(self):
        if self.fields is not None:
            self.close_table()
        return self.message

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
            if text[-1] == "\r":  # the newline that follows is between the pieces
                text = text[:-1]
        return text

    def fail(self, reason, column):
        raise ToonError(reason, self.line, column)

    # -- fields of the object -------------------------------------------------------------------

    def field(self, content):
        """A line at depth 0 that does not begin with a plain key, a colon and a space."""
        key, colon, _ = content.partition(":")
        if content[0] == '"':
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
        if content[0] == "\t":
            self.fail("a tab in the indentation", 1)
        if not is_key(key):
            self.fail("a key outside [A-Z][A-Z0-9_]*", 1)
        if bracket >= 0:
            self.header(key, content, bracket)
        else:
            self.scalar(key, rest[1:].lstrip(" "), content)

    def scalar(self, key, text, content):
        if text == "[]":
            value = []
        elif text and text != "null":
            value = text
            if text[0] == '"':
                value = text[1:-1]
                if text.find('"', 1) != len(text) - 1 or value.strip(LITERAL):
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

    # -- tables ---------------------------------------------------------------------------------

    def header(self, key, content, bracket):
        """`KEY[N<delimiter>]{FIELD<delimiter>...}:`, or the older empty list `KEY[0]:`."""
        if key in self.message:
            self.fail("a repeated key", 1)
        close = content.find("]", bracket)
        length = content[bracket + 1 : close] if close > 0 else ""
        delimiter = ","
        if length[-1:] in ("\t", "|"):
            delimiter = length[-1]
            length = length[:-1]
        if not length or length.strip(DIGITS) or (length[0] == "0" and length != "0"):
            self.fail("not the length of a list", bracket + 2)
        if len(length) > 6 or int(length) > self.rows_left:
            self.fail("too many rows", bracket + 2)
        count = int(length)
        rest = content[close + 1 :]
        if rest == ":" and not count:
            fields = None
        elif rest[:1] == "{" and rest[-2:] == "}:":
            fields = self.field_names(rest[1:-2], delimiter, close + 3)
        else:
            self.fail("an array that is not a table", close + 2)
        self.tokens_left -= 1
        if self.tokens_left < 0:
            self.fail("too many tokens", 1)
        self.rows_left -= count
        self.message[key] = rows = []
        if fields is not None:
            self.fields = fields
            self.delimiter = delimiter
            self.rows = rows
            self.missing = count
            self.blank_line = 0

    def field_names(self, text, delimiter, column):
        names = []
        for part in text.split(delimiter, self.tokens_left + 1):
            name = part.strip(" ")
            if name[:1] == '"':
                name = unquote(name, column, self.fail)
            if not is_key(name):
                self.fail("a field name outside [A-Z][A-Z0-9_]*", column)
            if name in names:
                self.fail("a repeated field name", column)
            names.append(name)
            column += len(part) + 1
        if len(names) > self.tokens_left:
            self.fail("too many fields", column)
        return names

    def close_table(self):
        if self.missing:
            self.fail("fewer rows than the header says", 1)
        self.fields = self.rows = None

    def row(self, line, content):
        """A line at depth 1: a row of the open table."""
        if self.fields is None:
            self.fail("an indented line outside a table", 1)
        if line[1] != " " or line[2] == " " or content[0] == "\t":
            self.fail("a row stands two spaces in", 1)
        if self.blank_line:
            self.line = self.blank_line
            self.fail("a blank line between rows", 1)
        if not self.missing:
            self.fail("more rows than the header says", 1)
        row = None
        if len(content) <= self.safe_characters:
            row = self.simple_row(content)
        if row is None:
            row = self.any_row(content)
        if not row:
            self.fail("a row of nulls", 3)
        self.tokens_left -= len(row)
        if self.tokens_left < 0:
            self.fail("too many tokens", 3)
        self.rows.append(row)
        self.missing -= 1

    def simple_row(self, content):
        """The row, when no quoted cell holds a delimiter or an escape; None when `any_row` must."""
        cells = content.split(self.delimiter, len(self.fields))
        if len(cells) != len(self.fields) or ":" in cells[0]:
            return None
        row = {}
        for name, cell in zip(self.fields, cells):
            value = cell.strip(" ")
            if '"' in value:
                if value[0] != '"' or value.find('"', 1) != len(value) - 1:
                    return None
                value = value[1:-1]
                if value.strip(LITERAL):
                    return None
                row[name] = value
            elif value != "null":
                row[name] = value
        return row

    def any_row(self, content):
        width = len(self.fields)
        cells = split_cells(content, self.delimiter, width)
        # Section 9.3: a colon before the first delimiter makes it a field, and none may be here.
        if len(split_cells(cells[0], ":", 1)) > 1:
            self.fail("a field among the rows", 3)
        if len(cells) != width:
            self.fail("not one cell for each field", 3)
        row = {}
        column = 3
        for name, cell in zip(self.fields, cells):
            value = cell.strip(" ")
            if value[:1] == '"':
                row[name] = value = unquote(value, column, self.fail)
            elif value != "null":
                row[name] = value
            if len(value) > self.safe_characters:
                self.check_size(value, column)
            column += len(cell) + 1
        return row

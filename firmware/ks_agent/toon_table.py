"""Reading the tables of a TOON document (specification 4.x, sections 6 and 9.3)."""

from .message import is_key
from .toon_read import DIGITS, LITERAL
from .toon_text import split_cells, unquote


class Table:
    """A table that is being read; `reader` is whose document it is in."""

    def __init__(self, reader, rows, fields, delimiter, missing):
        self.reader = reader
        self.fail = reader.fail
        self.rows = rows
        self.fields = fields
        self.delimiter = delimiter
        self.missing = missing
        self.blank_line = 0

    @classmethod
    def opened(cls, reader, key, content, bracket):
        """By a header, `KEY[N<delimiter>]{FIELD<delimiter>...}:`; None for the older empty list
        `KEY[0]:`. The rows go into the reader's message.
        """
        if key in reader.message:
            reader.fail("a repeated key", 1)
        close = content.find("]", bracket)
        length = content[bracket + 1 : close] if close > 0 else ""
        delimiter = ","
        if length[-1:] in ("\t", "|"):
            delimiter = length[-1]
            length = length[:-1]
        if not length or length.strip(DIGITS) or (length[:1] == "0" and length != "0"):
            reader.fail("not the length of a list", bracket + 2)
        if len(length) > 6 or int(length) > reader.rows_left:
            reader.fail("too many rows", bracket + 2)
        count = int(length)
        rest = content[close + 1 :]
        fields = None
        if rest[:1] == "{" and rest[-2:] == "}:":
            fields = _field_names(reader, rest[1:-2], delimiter, close + 3)
        elif rest != ":" or count:
            reader.fail("an array that is not a table", close + 2)
        reader.tokens_left -= 1
        if reader.tokens_left < 0:
            reader.fail("too many tokens", 1)
        reader.rows_left -= count
        reader.message[key] = rows = []
        return None if fields is None else cls(reader, rows, fields, delimiter, count)

    def close(self):
        if self.missing:
            self.fail("fewer rows than the header says", 1)

    def blank(self):
        if self.rows and not self.blank_line:
            self.blank_line = self.reader.line

    def row(self, line, content):
        """A line at depth 1: a row of the open table."""
        if line[1:2] != " " or line[2:3] == " " or content[:1] == "\t":
            self.fail("a row stands two spaces in", 1)
        if self.blank_line:
            self.reader.line = self.blank_line
            self.fail("a blank line between rows", 1)
        if not self.missing:
            self.fail("more rows than the header says", 1)
        row = None
        if len(content) <= self.reader.safe_characters:
            row = self.simple_row(content)
        if row is None:
            row = self.any_row(content)
        if not row:
            self.fail("a row of nulls", 3)
        self.reader.tokens_left -= len(row)
        if self.reader.tokens_left < 0:
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
                if value[:1] != '"' or value.find('"', 1) != len(value) - 1:
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
            if len(value) > self.reader.safe_characters:
                self.reader.check_size(value, column)
            column += len(cell) + 1
        return row


def _field_names(reader, text, delimiter, column):
    names = []
    for part in text.split(delimiter, reader.tokens_left + 1):
        name = part.strip(" ")
        if name[:1] == '"':
            name = unquote(name, column, reader.fail)
        if not is_key(name):
            reader.fail("a field name outside [A-Z][A-Z0-9_]*", column)
        if name in names:
            reader.fail("a repeated field name", column)
        names.append(name)
        column += len(part) + 1
    if len(names) > reader.tokens_left:
        reader.fail("too many fields", column)
    return names

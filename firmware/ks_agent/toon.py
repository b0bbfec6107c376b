"""Messages in TOON, specification 4.x (toon-format.org): the native transfer syntax.

The profile is an object of scalars and tables:

    D1: dev_1
    HB2: 3600
    TS: "2026-11-20T10:00:00.000Z"
    CMD[2]{CMD1,CMD2,CMD3}:
      c1,RESTART,null
      c2,FETCH_LOGS,"LEVEL:INFO|SINCE:0"
    LINK: []

A message is a dict: key -> text, or key -> list of rows, each a dict key -> text with at least one
key. A field that a row does not have is the unquoted `null`. This module writes; `decode`, from
`toon_read`, reads.
"""

from .errors import LocalError
from .toon_read import BARE, DIGITS, LITERAL, decode

__all__ = ("decode", "encode", "encode_pieces")

PIECE_CHARACTERS = 512

# What a string may only begin with when it is looked at more closely: blanks, markers, numbers and
# the three words.
_DOUBTFUL = " -#+0123456789tfn"
_NUMERIC = ".eE+-0123456789"
# The backslash comes first: the others bring more of it.
_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


def encode(message, kind_of):
    """The message as UTF-8 bytes, keys sorted, without a trailing newline.

    `kind_of(key, list_name or None)` names each token's kind: "text", "integer", "decimal", "flag"
    or "time". The keys are taken as they are (`message.check` is for those). Raises LocalError for
    a row without a key.
    """
    return "\n".join(_lines(message, kind_of)).encode()


def encode_pieces(message, kind_of):
    """The bytes of `encode` in pieces of about 512 bytes, or of one line where that is longer."""
    held = []
    characters = 0
    for line in _lines(message, kind_of):
        if characters and characters + len(line) > PIECE_CHARACTERS:
            held.append("")  # ends the piece with the newline before the next line
            yield "\n".join(held).encode()
            held = []
            characters = 0
        held.append(line)
        characters += len(line) + 1
    if held:
        yield "\n".join(held).encode()


def _lines(message, kind_of):
    for key in sorted(message):
        value = message[key]
        if isinstance(value, str):
            yield key + ": " + _WRITERS[kind_of(key, None)](value)
        elif value:
            columns = sorted({field for row in value for field in row})
            writers = [_WRITERS[kind_of(column, key)] for column in columns]
            yield "%s[%d]{%s}:" % (key, len(value), ",".join(columns))
            for row in value:
                yield _row(row, columns, writers)
        else:
            yield key + ": []"


def _row(row, columns, writers):
    if not row:
        raise LocalError("a row needs at least one key")
    cells = []
    for column, write in zip(columns, writers):
        value = row.get(column)
        cells.append("null" if value is None else write(value))
    return "  " + ",".join(cells)


def _integer(text):
    return text if _is_integer(text) else _string(text)


def _decimal(text):
    return text if _is_decimal(text) else _string(text)


def _flag(text):
    return text if text == "true" or text == "false" else _string(text)


def _is_integer(text):
    """True for what every decoder reads and writes alike: at most 15 digits, and one zero."""
    digits = text[1:] if text[:1] == "-" else text
    if not 0 < len(digits) <= 15 or digits.strip(DIGITS):
        return False
    return digits[:1] != "0" or text == "0"


def _is_decimal(text):
    """True for the shortest form of a number that a double holds without rounding.

    At most 15 digits survive text -> double -> text. Below 0.0001 some decoders answer with an
    exponent, and a trailing zero would be lost.
    """
    whole, point, fraction = text.partition(".")
    if not point:
        return _is_integer(text)
    if whole != "-0" and not _is_integer(whole):
        return False
    if not fraction or fraction.strip(DIGITS) or fraction[-1:] == "0":
        return False
    if whole in ("0", "-0") and fraction.startswith("0000"):
        return False
    return len(whole.strip("-")) + len(fraction) <= 15


def _string(text):
    """The text quoted and escaped as sections 7.1 and 7.2 of the specification require."""
    special = text.strip(BARE)
    if not special:
        # A slice: MicroPython keeps each character that an index reads for ever.
        if text and text[:1] not in _DOUBTFUL and text[-1:] != " ":
            return text
    elif not special.strip(LITERAL):
        return '"' + text + '"'  # it begins with a colon, a comma, a bracket or a brace
    else:
        for code in special.encode():
            if code < 32 or code == 34 or code == 92:  # '"' and a backslash
                return _escaped(text)
    return '"' + text + '"' if _needs_quotes(text, special) else text


def _needs_quotes(text, special):
    if not text or text[:1] in " -#" or text[-1:] == " ":
        return True
    for character in ":,[]{}":
        if character in special:
            return True
    return text in ("true", "false", "null") or _is_numeric_like(text)


def _is_numeric_like(text):
    """`[+-]?[0-9]+(.[0-9]+)?(e[+-]?[0-9]+)?` in either case; the text begins with no minus."""
    if text.strip(DIGITS).strip(_NUMERIC):
        return False
    mantissa, letter, exponent = text.replace("E", "e").partition("e")
    whole, point, fraction = mantissa.partition(".")
    if whole[:1] == "+":
        whole = whole[1:]
    if exponent[:1] in ("+", "-"):
        exponent = exponent[1:]
    for digits, needed in ((whole, True), (fraction, point), (exponent, letter)):
        if digits.strip(DIGITS) or (needed and not digits):
            return False
    return True


def _escaped(text):
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    data = text.encode()
    for code in range(32):
        if bytes((code,)) in data:
            text = text.replace(chr(code), "\\u%04x" % code)
    return '"' + text + '"'


_WRITERS = {
    "text": _string,
    "time": _string,
    "integer": _integer,
    "decimal": _decimal,
    "flag": _flag,
}

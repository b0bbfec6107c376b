"""What TOON's characters mean: alphabets, quoted strings, cells (specification 4.x, section 7).

`fail(reason, column)` is the caller's way to refuse the document; it raises.
"""

from .toon_read import LITERAL

BARE_CONTROL = "a bare control character in a string"
_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


def unquote(token, column, fail):
    """The text of a token that begins with a quote, at `column` (sections 7.1 and 7.4)."""
    end = closing_quote(token, 1)
    if end < 0:
        fail("unterminated string", column)
    if end != len(token) - 1:
        fail("text after the closing quote", column + end + 1)
    out = []
    start = 1
    while start <= end:
        slash = token.find("\\", start, end)
        if slash < 0:
            slash = end
        out.append(_literal(token[start:slash], column + start, fail))
        start = slash + 1
        if slash < end:
            letter = token[start]
            if letter == "u":
                out.append(_character(token[start + 1 : start + 5], column + slash, fail))
                start += 5
            elif letter in _ESCAPES:
                out.append(_ESCAPES[letter])
                start += 1
            else:
                fail("an unknown escape", column + slash)
    return "".join(out)


def _literal(text, column, fail):
    """Quoted text holds no bare control character but the tab (quoted-char in section 7.1)."""
    if text.strip(LITERAL):
        for character in text:
            if character < " " and character != "\t":
                fail(BARE_CONTROL, column)
            column += 1
    return text


def _character(digits, column, fail):
    if len(digits) != 4 or digits.strip("0123456789abcdefABCDEF"):
        fail("an escape needs four hex digits", column)
    code = int(digits, 16)
    if 0xD800 <= code <= 0xDFFF:
        fail("an escaped surrogate", column)
    return chr(code)


def closing_quote(text, start):
    """Index of the quote that ends the string whose content begins at `start`; -1 without one."""
    quote = text.find('"', start)
    while quote >= 0:
        slash = text.find("\\", start, quote)
        if slash < 0:
            return quote
        start = slash + 2
        if quote < start:
            quote = text.find('"', start)
    return -1


def split_cells(text, delimiter, limit):
    """Like str.split, at delimiters outside quotes only."""
    cells = []
    start = 0
    cut = text.find(delimiter)
    quote = text.find('"')
    while cut >= 0 and len(cells) < limit:
        if 0 <= quote < cut:
            end = closing_quote(text, quote + 1)
            if end < 0:
                break
            quote = text.find('"', end + 1)
            if cut < end:
                cut = text.find(delimiter, end + 1)
        else:
            cells.append(text[start:cut])
            start = cut + 1
            cut = text.find(delimiter, start)
    cells.append(text[start:])
    return cells

"""Ill-formed UTF-8, looked for in the bytes themselves.

MicroPython's decoder accepts overlong forms, surrogates and values above U+10FFFF, so what it
decodes is no proof. The accepted sequences are those of table 3-7 of the Unicode standard.
"""

from .errors import Malformed


def check(data):
    """Raises Malformed unless the bytes are well-formed UTF-8."""
    if text(data) is None:
        raise Malformed("ill-formed UTF-8 at byte %d" % fault(data))


def text(data):
    """The text in the bytes; None when they are ill-formed."""
    try:
        decoded = str(data, "utf-8")
    except UnicodeError:
        return None
    # As many characters as bytes: nothing but ASCII, on either interpreter.
    if len(decoded) == len(data) or fault(data) < 0:
        return decoded
    return None


def fault(data):
    """Index of the first ill-formed sequence in the bytes; -1 when there is none."""
    size = len(data)
    index = 0
    while index < size:
        if data[index] < 0x80:
            index += 1
            continue
        length = _sequence_length(data, index, size)
        if not length:
            return index
        index += length
    return -1


def _sequence_length(data, index, size):
    """Bytes of the multi-byte sequence that begins at `index`; 0 when it is ill-formed."""
    lead = data[index]
    low = 0x80
    high = 0xBF
    if 0xC2 <= lead <= 0xDF:
        length = 2
    elif 0xE0 <= lead <= 0xEF:
        length = 3
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            high = 0x9F
    elif 0xF0 <= lead <= 0xF4:
        length = 4
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F
    else:
        return 0
    if index + length > size or not low <= data[index + 1] <= high:
        return 0
    for position in range(index + 2, index + length):
        if data[position] & 0xC0 != 0x80:
            return 0
    return length

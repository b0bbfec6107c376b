"""Messages as lines over a serial port, each with its checksum: docs/serial.md.

    an empty line, then
    ~CRC KEY: value         1 to 48 lines of TOON, each with the CRC-32 of what follows the blank
    ~CRC END n              n lines; the CRC-32 of all of them, joined by LF

Whatever else comes over the line is somebody else's output and is passed over.
"""

import binascii

MAX_LINE_BYTES = 400
MAX_LINES = 48
MAX_MESSAGE_BYTES = 8192
# "~", eight hex digits, a blank.
HEAD_BYTES = 10
_END = b"END "


def frame(document):
    """The lines, as bytes with their LF, of a TOON document. ValueError for what does not fit."""
    lines = document.split(b"\n")
    if len(lines) > MAX_LINES or len(document) > MAX_MESSAGE_BYTES:
        raise ValueError("a message too long for the line")
    yield b"\n"
    for line in lines:
        if HEAD_BYTES + len(line) > MAX_LINE_BYTES:
            raise ValueError("a line too long for the line")
        yield _sealed(binascii.crc32(line), line)
    yield _sealed(binascii.crc32(document), b"END %d" % len(lines))


def _sealed(crc, line):
    return b"~%08x " % (crc & 0xFFFFFFFF) + line + b"\n"


class LineReader:
    """Finds the whole messages in the bytes that come. Holds at most one message and one line."""

    def __init__(self):
        self._line = bytearray()
        self._is_too_long = False
        self._lines = []
        self._bytes = 0

    def feed(self, data):
        """The documents (bytes) of the messages that end in `data`. Never raises."""
        found = []
        start = 0
        while True:
            end = data.find(b"\n", start)
            if end < 0:
                self._hold(data[start:])
                return found
            self._hold(data[start:end])
            start = end + 1
            document = self._end_line()
            if document is not None:
                found.append(document)

    def _hold(self, piece):
        if self._is_too_long or len(self._line) + len(piece) > MAX_LINE_BYTES + 1:
            self._is_too_long = True
            self._line = bytearray()
        else:
            self._line.extend(piece)

    def _end_line(self):
        """The message that ends with this line, or None."""
        line = bytes(self._line)
        self._line = bytearray()
        if line[-1:] == b"\r":
            line = line[:-1]
        if self._is_too_long or len(line) > MAX_LINE_BYTES or not line:
            self._is_too_long = False
            self._forget()
            return None
        if line[:1] != b"~":
            return None
        content = line[HEAD_BYTES:]
        if content[: len(_END)] == _END:
            return self._end_message(line)
        self._bytes += len(content) + 1
        fits = len(self._lines) < MAX_LINES and self._bytes <= MAX_MESSAGE_BYTES + 1
        if fits and line == _sealed(binascii.crc32(content), content)[:-1]:
            self._lines.append(content)
        else:
            self._forget()
        return None

    def _end_message(self, line):
        document = b"\n".join(self._lines)
        count = len(self._lines)
        self._forget()
        if count and line == _sealed(binascii.crc32(document), b"END %d" % count)[:-1]:
            return document
        return None

    def _forget(self):
        self._lines = []
        self._bytes = 0

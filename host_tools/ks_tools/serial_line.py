"""Messages as lines over a serial port, the host's side (docs/serial.md).

An empty line, then `~CRC KEY: value` lines of one TOON document, then `~CRC END n`; CRC is the
CRC-32 of what follows the blank, the last line's that of all others joined by LF. What has another
form is the console output of whatever runs there.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

MAX_LINE_BYTES: Final = 400
MAX_LINES: Final = 48
MAX_MESSAGE_BYTES: Final = 8192
MAX_CONSOLE_BYTES: Final = 4096
_LINE: Final = re.compile(rb"~([0-9a-f]{8}) (.*)", re.DOTALL)
_END: Final = re.compile(rb"END ([1-9][0-9]?)")


def _crc(data: bytes) -> int:
    return binascii.crc32(data) & 0xFFFFFFFF


def frame(document: bytes) -> list[bytes]:
    """The lines of a TOON document, each with its LF. ValueError for what does not fit."""
    lines = document.split(b"\n")
    if len(lines) > MAX_LINES or len(document) > MAX_MESSAGE_BYTES:
        raise ValueError(f"more than {MAX_LINES} lines or {MAX_MESSAGE_BYTES} bytes")
    framed = [b"~%08x %s\n" % (_crc(line), line) for line in lines]
    if max(map(len, framed)) > MAX_LINE_BYTES + 1:
        raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
    return [b"\n", *framed, b"~%08x END %d\n" % (_crc(document), len(lines))]


@dataclass
class LineReader:
    """Finds whole messages in what comes; `other` is told the lines of console output."""

    other: Callable[[str], None] = lambda text: None
    _held: bytearray = field(default_factory=bytearray)
    _is_too_long: bool = False
    _lines: list[bytes] = field(default_factory=list)

    def feed(self, data: bytes) -> list[bytes]:
        """The documents of the messages that end in `data`."""
        *whole, rest = data.split(b"\n")
        found = []
        for piece in whole:
            self._hold(piece)
            document = self._end_line()
            if document is not None:
                found.append(document)
        self._hold(rest)
        return found

    def _hold(self, piece: bytes) -> None:
        if self._is_too_long or len(self._held) + len(piece) > MAX_CONSOLE_BYTES:
            self._is_too_long = True
            self._held.clear()
        else:
            self._held += piece

    def _end_line(self) -> bytes | None:
        line = bytes(self._held).removesuffix(b"\r")
        dropped, self._is_too_long = self._is_too_long, False
        self._held.clear()
        if not line:
            self._lines.clear()
            return None
        if not line.startswith(b"~"):
            if not dropped:
                self.other(line.decode("utf-8", "replace"))
            return None
        match = _LINE.fullmatch(line)
        if match is None or len(line) > MAX_LINE_BYTES or len(self._lines) > MAX_LINES:
            self._lines.clear()
            return None
        crc, content = int(match[1], 16), match[2]
        end = _END.fullmatch(content)
        if end is not None:
            lines, self._lines = self._lines, []
            document = b"\n".join(lines)
            is_whole = len(lines) == int(end[1]) and _crc(document) == crc
            return document if is_whole and len(document) <= MAX_MESSAGE_BYTES else None
        if _crc(content) == crc:
            self._lines.append(content)
        else:
            self._lines.clear()
        return None

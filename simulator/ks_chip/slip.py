"""SLIP (RFC 1055), in which esptool and the loader frame what they say."""

from __future__ import annotations

from typing import Final

END: Final = b"\xc0"
ESCAPE: Final = b"\xdb"
ESCAPED_END: Final = b"\xdb\xdc"
ESCAPED_ESCAPE: Final = b"\xdb\xdd"
# The largest that esptool sends is a block of 16 KiB with its header, each byte escaped.
MAX_FRAME_BYTES: Final = 2 * (64 * 1024)


def frame(data: bytes) -> bytes:
    """`data` as one frame."""
    escaped = data.replace(ESCAPE, ESCAPED_ESCAPE).replace(END, ESCAPED_END)
    return END + escaped + END


class Frames:
    """Frames out of bytes as they arrive. What is no frame, or too long for one, is dropped."""

    def __init__(self) -> None:
        self._part: bytearray | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that these bytes complete."""
        found = []
        pieces = data.split(END)
        for number, piece in enumerate(pieces):
            if self._part is not None and len(self._part) <= MAX_FRAME_BYTES:
                self._part += piece
            if number == len(pieces) - 1:
                break
            if self._part:
                found += _decoded(bytes(self._part))
                self._part = None
            else:
                self._part = bytearray()
        return found


def _decoded(part: bytes) -> list[bytes]:
    if len(part) > MAX_FRAME_BYTES:
        return []
    pieces = part.split(ESCAPE)
    decoded = pieces[0]
    for piece in pieces[1:]:
        if piece[:1] == b"\xdc":
            decoded += END + piece[1:]
        elif piece[:1] == b"\xdd":
            decoded += ESCAPE + piece[1:]
        else:
            return []
    return [decoded]

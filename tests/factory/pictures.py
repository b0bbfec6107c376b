"""Reads QR codes out of PNGs, as a scanner at the line does: `python pictures.py FILE.png`."""

import struct
import sys
import zlib
from pathlib import Path

import zxingcpp


def scan(path: Path) -> str:
    """The text of the one code in the picture."""
    (code,) = zxingcpp.read_barcodes(pixels(path.read_bytes()))
    return str(code.text)


def pixels(png: bytes) -> memoryview:
    """A black and white PNG, as a byte for each pixel."""
    at, packed, width, height = 8, b"", 0, 0
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", body)
            assert (depth, colour) in ((1, 0), (1, 3))
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    rows = unfiltered(zlib.decompress(packed), (width + 7) // 8, height)
    found = bytes(255 * (row[x // 8] >> (7 - x % 8) & 1) for row in rows for x in range(width))
    return memoryview(found).cast("B", (height, width))


def unfiltered(data: bytes, width: int, height: int) -> list[bytearray]:
    """The rows, their filters undone (PNG specification, section 9)."""
    rows, above = [], bytearray(width)
    for y in range(height):
        start = y * (width + 1)
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + width])
        for x in range(width):
            left, up, corner = (row[x - 1], above[x], above[x - 1]) if x else (0, above[x], 0)
            guesses = (0, left, up, (left + up) // 2, paeth(left, up, corner))
            row[x] = (row[x] + guesses[kind]) & 0xFF
        rows.append(row)
        above = row
    return rows


def paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


if __name__ == "__main__":
    print(scan(Path(sys.argv[1])))

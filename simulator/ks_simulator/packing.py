"""Files of a bundle packed with raw deflate, in a window that a terminal has the memory for.

Packing is left to zlib, so the same zlib gives the same bytes; a manifest holds the size that it
gave.
"""

from __future__ import annotations

import zlib
from typing import Final

from ks_agent.errors import Malformed

WINDOW_BITS: Final = 10
# zlib makes no raw stream with a window below 2^9; MicroPython reads from 2^8 on.
PACKABLE_BITS: Final = range(9, 13)
# Inflating costs a terminal time and 2^WBITS bytes of heap: worth it only for this share less.
WORTH_PERCENT: Final = 5
_LEVEL: Final = 9
_MEMORY_LEVEL: Final = 9


def pack(data: bytes, window_bits: int) -> bytes:
    """The data as a raw deflate stream, or as it is where that saves less than 5 %.

    `window_bits` is one of PACKABLE_BITS, or 0: never packed. Raises ValueError.
    """
    if not window_bits:
        return data
    if window_bits not in PACKABLE_BITS:
        raise ValueError(f"a window of 2^{window_bits} bytes cannot be packed for")
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -window_bits, _MEMORY_LEVEL)
    packed = packer.compress(data) + packer.flush()
    return packed if len(packed) * 100 <= len(data) * (100 - WORTH_PERCENT) else data


def unpack(packed: bytes, size: int, window_bits: int) -> bytes:
    """The `size` bytes that were packed. Raises Malformed for any other stream, never making more
    than `size` + 1 bytes of it."""
    unpacker = zlib.decompressobj(-window_bits)
    try:
        data = unpacker.decompress(packed, size + 1)
    except zlib.error as error:
        raise Malformed(f"a packed file that is none: {error}") from None
    if len(data) != size or not unpacker.eof or unpacker.unused_data:
        raise Malformed("a packed file of another size")
    return data

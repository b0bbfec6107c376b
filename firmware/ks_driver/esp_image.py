"""An ESP32's application image, as far as the bootloader judges it and this project names it.

    header (24 bytes: 0xE9, number of segments, ..., 1 = a hash follows), segments (address,
    length, bytes), zeros and a checksum up to 16 bytes, SHA-256 of all that

The first segment begins with ESP-IDF's application description (0xABCD5432, version, project).
Images made here are small stand-ins: behind the description stands what they would load.
"""

import hashlib
import struct

MAGIC = 0xE9
HEADER_BYTES = 24
HASH_BYTES = 32
_CHECKSUM_SEED = 0xEF
_DESCRIPTION = 0xABCD5432
_DESCRIPTION_BYTES = 256
_VERSION = HEADER_BYTES + 8 + 16
_LOADS = HEADER_BYTES + 8 + _DESCRIPTION_BYTES
_TEXT_BYTES = 32
_MAX_SEGMENTS = 16
_PIECE_BYTES = 1024


class BadImage(Exception):
    """Not an image that the bootloader would start; the text says why."""


def make(version, mpy, arch, content=b""):
    """An image's bytes that says it is MicroPython `version` and loads `mpy` and `arch`."""
    description = struct.pack("<IIII", _DESCRIPTION, 0, 0, 0) + _text(version)
    description += bytes(_DESCRIPTION_BYTES - len(description))
    segment = description + _text(mpy) + _text(arch) + content
    segment += bytes(-len(segment) % 4)
    header = bytes([MAGIC, 1]) + bytes(HEADER_BYTES - 3) + b"\1"
    data = header + struct.pack("<II", 0x3F400020, len(segment)) + segment
    data += bytes(15 - len(data) % 16) + bytes([_checksum(segment)])
    return data + hashlib.sha256(data).digest()


def check(read, size):
    """Raises BadImage unless ESP-IDF's verification would be content with what a partition of
    `size` bytes holds; `read(offset, count)` gives its bytes.
    """
    header = read(0, HEADER_BYTES)
    if header[0] != MAGIC or not 1 <= header[1] <= _MAX_SEGMENTS:
        raise BadImage("no image")
    if header[23] != 1:
        raise BadImage("an image without its hash")
    end = HEADER_BYTES
    for _ in range(header[1]):
        if end + 8 > size:
            raise BadImage("an image that ends early")
        end += 8 + struct.unpack("<II", read(end, 8))[1]
    end += 16 - end % 16
    if end + HASH_BYTES > size:
        raise BadImage("an image that ends early")
    digest = hashlib.sha256()
    for start in range(0, end, _PIECE_BYTES):
        digest.update(read(start, min(_PIECE_BYTES, end - start)))
    if digest.digest() != read(end, HASH_BYTES):
        raise BadImage("another hash than the image's own")


def describe(read):
    """(version, mpy, arch) of an image that `make` made; None where there is none."""
    if read(0, 1) != bytes([MAGIC]):
        return None
    if struct.unpack("<I", read(HEADER_BYTES + 8, 4))[0] != _DESCRIPTION:
        return None
    places = (_VERSION, _LOADS, _LOADS + _TEXT_BYTES)
    return tuple([_untext(read(place, _TEXT_BYTES)) for place in places])


def _checksum(data):
    found = _CHECKSUM_SEED
    for byte in data:
        found ^= byte
    return found


def _text(text):
    data = text.encode()
    if len(data) >= _TEXT_BYTES:
        raise ValueError("too long for a description: " + text)
    return data + bytes(_TEXT_BYTES - len(data))


def _untext(data):
    return data[: data.find(b"\0")].decode()

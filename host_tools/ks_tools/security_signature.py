"""The signature block of ESP-IDF's secure boot v2, as it is appended to a signed image.

ESP-IDF, "Secure Boot v2", sections "Signature Block Format" and "Verifying a Signature Block": the
block begins on a 4 KiB boundary behind the image, and has a flash sector of its own. Whether the
signature in it is right is for espsecure to say, which is a program of its own.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Final

SECTOR_BYTES: Final = 4096
BLOCK_BYTES: Final = 1216
_MAGIC: Final = 0xE7
_VERSION: Final = 2  # RSA-3072, the only one that an ESP32, -S3 and -C3 have
_CRC: Final = 1196
_KEY: Final = slice(36, 812)  # modulus, exponent, R and M', whose hash is in the eFuses


@dataclass(frozen=True)
class SignatureBlock:
    """One block. `key_digest`: SHA-256 of the public key, as secure boot's eFuses hold it."""

    image_digest: bytes
    key_digest: bytes


def signature_end(data: bytes, end: int) -> int:
    """Where an image that ends at `end` ends with its signature's sector, if it has one."""
    start = -(-end // SECTOR_BYTES) * SECTOR_BYTES
    return start + SECTOR_BYTES if _parse(data[start : start + BLOCK_BYTES]) else end


def signature_of(image: bytes) -> SignatureBlock | None:
    """The first block of a whole image, which ends with it; None where there is none, or where it
    is another image's."""
    start = len(image) - SECTOR_BYTES
    if start <= 0 or start % SECTOR_BYTES:
        return None
    block = _parse(image[start : start + BLOCK_BYTES])
    if block is None or block.image_digest != hashlib.sha256(image[:start]).digest():
        return None
    return block


def _parse(data: bytes) -> SignatureBlock | None:
    if len(data) != BLOCK_BYTES or data[:4] != bytes([_MAGIC, _VERSION, 0, 0]):
        return None
    if struct.unpack_from("<I", data, _CRC)[0] != zlib.crc32(data[:_CRC]):
        return None
    return SignatureBlock(data[4:36], hashlib.sha256(data[_KEY]).digest())

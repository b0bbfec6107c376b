"""Gets micropython-lib's SHA-512 in Python, the only one there is for MicroPython to compare with.

It was published as `micropython-hashlib` until 2018. pip refuses to install that into CPython, so
the archive is downloaded, checked by its hash and kept in .cache. None of its code is kept here.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.request
from pathlib import Path

from ..figure import Unavailable

FOLDER = "micropython-hashlib-2.4.0.post5"
ARCHIVE = f"{FOLDER}.tar.gz"
URL = (
    "https://files.pythonhosted.org/packages/4c/32/"
    f"1a8299b42f1c2981f6d7f6ba4ced7276cbfc3aa0b8279639132c54515534/{ARCHIVE}"
)
SHA256 = "9139da0065478dcf9d6d8793cbd2a5a616375962e93231cf3d52e07cb6801c22"
MEMBER = f"{FOLDER}/hashlib/_sha512.py"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "benchmarks"
LIMIT_S = 20
MAX_BYTES = 1 << 20


def source(cache: Path = CACHE) -> bytes:
    """The text of the module `_sha512`. Raises Unavailable when the archive cannot be had."""
    kept = cache / ARCHIVE
    archive = kept.read_bytes() if kept.exists() else b""
    if not _is_right(archive):
        archive = _downloaded()
        cache.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(archive)
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        member = opened.extractfile(MEMBER)
        assert member is not None
        return member.read()


def _downloaded() -> bytes:
    try:
        with urllib.request.urlopen(URL, timeout=LIMIT_S) as response:  # noqa: S310
            archive: bytes = response.read(MAX_BYTES)
    except OSError as error:
        raise Unavailable(f"micropython-lib's SHA-512 cannot be fetched: {error}") from None
    if not _is_right(archive):
        raise Unavailable("micropython-lib's SHA-512 was fetched and is not what it was")
    return archive


def _is_right(archive: bytes) -> bool:
    return hashlib.sha256(archive).hexdigest() == SHA256

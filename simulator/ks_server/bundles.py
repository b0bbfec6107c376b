"""Bundles on the server's disk: checked while they arrive, kept whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ks_agent import bundle, signing, timetext
from ks_agent.errors import BadSignature, Malformed

from .crypto import NaclCrypto
from .settings import Settings

READ_BYTES: Final = 256 * 1024
UPLOAD_PREFIX: Final = ".upload-"


class BadBundle(Exception):
    """A bundle that is refused; `code` is the admin API's."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class UploadedRelease:
    """What a bundle says about itself, and its digest (FW4) and size (FW5)."""

    fw1: str
    fw2: str
    fw4: str
    fw5: int
    types: str
    counter: int
    built_ms: int
    expires_ms: int
    manifest: str
    manifest_signature: str

    def columns(self) -> dict[str, Any]:
        """As the table `releases` names it."""
        return dict(vars(self))


def bundle_path(settings: Settings, fw1: str) -> Path:
    """Where the bundle of a release lies. `fw1` is of the alphabet of FW1, so without slashes."""
    return settings.firmware_folder / f"{fw1}.bundle"


def discard_leftovers(settings: Settings) -> None:
    """Remove the uploads that were under way when the server was killed. Raises OSError."""
    for path in settings.firmware_folder.glob(UPLOAD_PREFIX + "*"):
        path.unlink()


def file_digest(path: Path) -> tuple[str, int]:
    """(FW4, FW5) of a file; ("", 0) when it is missing."""
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                digest.update(piece)
                size += len(piece)
    except FileNotFoundError:
        return "", 0
    return digest.hexdigest(), size


class BundleUpload:
    """Takes a bundle in pieces: `write` any number of times, `finish`, then `keep` or `discard`.

    Blocking; every method raises BadBundle. The manifest and its signature are checked as soon as
    they are there, so that a stranger's bundle costs a few kilobytes at most.
    """

    def __init__(self, settings: Settings, crypto: NaclCrypto, release_keys: tuple[bytes, ...]):
        self._settings = settings
        self._crypto = crypto
        self._keys = release_keys
        self._digest = hashlib.sha256()
        self._head = bytearray()  # head and manifest, until they are complete
        self._size = 0
        self._files: _Files | None = None
        self._described: dict[str, Any] = {}
        self._release: UploadedRelease | None = None
        settings.firmware_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = settings.firmware_folder / f"{UPLOAD_PREFIX}{secrets.token_hex(8)}"
        self._file = self._path.open("xb")

    @property
    def release(self) -> UploadedRelease:
        """What was uploaded, after `finish`."""
        if self._release is None:
            raise BadBundle("INVALID", "the bundle is not complete")
        return self._release

    def write(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._size += len(piece)
        if self._size > self._settings.bundle_max_bytes:
            raise BadBundle("TOO_LARGE", "the bundle is larger than BUNDLE_MAX_BYTES")
        self._digest.update(piece)
        self._file.write(piece)
        if self._files is None:
            self._head += piece
            piece = self._read_head()
        if self._files is not None:
            self._files.update(piece)

    def finish(self) -> UploadedRelease:
        """After the last byte: everything must be there, and on disk."""
        if self._files is None:
            raise BadBundle("INVALID", "the bundle ends within its manifest")
        self._files.end()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._release = UploadedRelease(
            **self._described, fw4=self._digest.hexdigest(), fw5=self._size
        )
        return self._release

    def keep(self) -> None:
        """Give the bundle its final name."""
        os.replace(self._path, bundle_path(self._settings, self.release.fw1))
        folder = os.open(self._settings.firmware_folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Remove what has not been kept."""
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _read_head(self) -> bytes:
        """Check head and manifest once they are complete; what follows them is returned."""
        if len(self._head) < bundle.HEAD_BYTES:
            return b""
        try:
            length, signature = bundle.parse_head(bytes(self._head[: bundle.HEAD_BYTES]))
            end = bundle.HEAD_BYTES + length
            if len(self._head) < end:
                return b""
            data = bytes(self._head[bundle.HEAD_BYTES : end])
            self._verify(data, signature)
            manifest = bundle.parse_manifest(data)
        except Malformed as error:
            raise BadBundle("INVALID", error.reason) from None
        if manifest["KIND"] != bundle.APPLICATION:
            raise BadBundle("INVALID", "the manifest is not that of an application")
        self._described = _describe(manifest, data, signature)
        self._files = _Files(manifest["FILE"])
        return bytes(self._head[end:])

    def _verify(self, manifest: bytes, signature: str) -> None:
        text = signing.manifest_text(self._crypto, manifest)
        for public in self._keys:
            with contextlib.suppress(BadSignature):
                signing.verify_text(self._crypto, public, text, signature)
                return
        raise BadBundle("SIG_INVALID", "no key of RELEASE_PUBLIC_KEYS has signed this manifest")


def _describe(manifest: dict[str, Any], data: bytes, signature: str) -> dict[str, Any]:
    types = manifest["TYPES"].split(",")
    if not all(types) or len(set(types)) != len(types):
        raise BadBundle("INVALID", "TYPES is not a list of device types")
    return {
        "fw1": manifest["FW1"],
        "fw2": manifest["FW2"],
        "types": manifest["TYPES"],
        "counter": int(manifest["COUNTER"]),
        "built_ms": int(timetext.parse_ms(manifest["BUILT"])),
        "expires_ms": int(timetext.parse_ms(manifest["EXPIRES"])),
        "manifest": data.decode("utf-8"),
        "manifest_signature": signature,
    }


class _Files:
    """Checks the files of a manifest in their order, from pieces of any size."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self._rows = rows
        self._index = 0
        self._begin()
        self._skip_complete()

    def update(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            if self._index == len(self._rows):
                raise BadBundle("INVALID", "the bundle is longer than its manifest says")
            taken = view[: self._left]
            self._digest.update(taken)
            self._left -= len(taken)
            view = view[len(taken) :]
            self._skip_complete()

    def end(self) -> None:
        if self._index < len(self._rows):
            raise BadBundle("INVALID", "the bundle is shorter than its manifest says")

    def _begin(self) -> None:
        self._digest = hashlib.sha256()
        self._left = int(self._rows[self._index]["SIZE"]) if self._index < len(self._rows) else 0

    def _skip_complete(self) -> None:
        while self._index < len(self._rows) and self._left == 0:
            row = self._rows[self._index]
            if self._digest.hexdigest() != row["SHA256"]:
                raise BadBundle("INVALID", f"{row['PATH']} is not what the manifest says")
            self._index += 1
            self._begin()

"""Bundles on the server's disk: checked while they arrive, kept whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ks_agent import bundle, signing, timetext
from ks_agent.errors import BadSignature, Malformed

from .bundle_files import BundleFiles, WrongFile
from .crypto import NaclCrypto
from .settings import Settings

READ_BYTES: Final = 256 * 1024
UPLOAD_PREFIX: Final = ".upload-"
IMAGE: Final = "image"
OPAQUE: Final = "opaque"
KINDS: Final = (bundle.APPLICATION, IMAGE, OPAQUE)
IMAGE_FILE: Final = "micropython.bin"
TERMINALS: Final = "ESP32_"
# texts of a manifest that a release is listed with
_SHOWN: Final = ("BOARD", "IMAGE", "IMAGE_MIN", "IMAGE_MAX", "STAGE0")


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
    kind: str
    board: str | None
    image: str | None
    image_min: str | None
    image_max: str | None
    stage0: str | None

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
        self._files: BundleFiles | None = None
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
            with _refusing_files():
                self._files.update(piece)

    def finish(self) -> UploadedRelease:
        """After the last byte: everything must be there, and on disk."""
        if self._files is None:
            raise BadBundle("INVALID", "the bundle ends within its manifest")
        with _refusing_files():
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
        self._check_size(len(data), manifest["FILE"])
        self._described = _describe(manifest, data, signature)
        with _refusing_files():
            self._files = BundleFiles(manifest["FILE"], int(manifest.get("WBITS", "0")))
        return bytes(self._head[end:])

    def _check_size(self, manifest_bytes: int, rows: list[dict[str, str]]) -> None:
        """Neither the bundle nor what it unpacks to may be larger than the setting says."""
        packed = bundle.HEAD_BYTES + manifest_bytes + sum(bundle.packed_bytes(row) for row in rows)
        unpacked = sum(int(row["SIZE"]) for row in rows)
        if max(packed, unpacked) > self._settings.bundle_max_bytes:
            raise BadBundle("TOO_LARGE", "the files are larger than BUNDLE_MAX_BYTES")

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
    _check_kind(manifest, types)
    return {
        "fw1": manifest["FW1"],
        "fw2": manifest["FW2"],
        "types": manifest["TYPES"],
        "counter": int(manifest["COUNTER"]),
        "built_ms": int(timetext.parse_ms(manifest["BUILT"])),
        "expires_ms": int(timetext.parse_ms(manifest["EXPIRES"])),
        "manifest": data.decode("utf-8"),
        "manifest_signature": signature,
        "kind": manifest["KIND"],
        **{name.lower(): manifest.get(name) for name in _SHOWN},
    }


def _check_kind(manifest: dict[str, Any], types: list[str]) -> None:
    """What no terminal would take is not stored."""
    kind = manifest["KIND"]
    if kind not in KINDS:
        raise BadBundle("INVALID", f"KIND is none of {', '.join(KINDS)}")
    if kind == OPAQUE and any(name.startswith(TERMINALS) for name in types):
        raise BadBundle("INVALID", f"{TERMINALS}* takes applications and images, no opaque files")
    if kind == IMAGE:
        rows = manifest["FILE"]
        if [row["PATH"] for row in rows] != [IMAGE_FILE] or bundle.packed_bytes(rows[0]) != int(
            rows[0]["SIZE"]
        ):
            raise BadBundle("INVALID", f"an image is one file {IMAGE_FILE}, not packed")
        if not all(manifest.get(name) for name in ("IMAGE", "MPY", "ARCH")):
            raise BadBundle("INVALID", "an image without IMAGE, MPY and ARCH")


@contextlib.contextmanager
def _refusing_files() -> Iterator[None]:
    try:
        yield
    except WrongFile as error:
        raise BadBundle("INVALID", str(error)) from None

"""A release: its files, its manifest, the release signature, the bundle.

The form is `ks_agent.bundle`'s. Building needs no key; signing is a step of its own, made where
the release key is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import ks_agent
from ks_agent import bundle, signing, timetext, tokens, toon
from ks_agent.errors import Malformed

from .keys import CRYPTO
from .packing import pack, unpack

APPLICATION = bundle.APPLICATION
IMAGE = "image"
OPAQUE = "opaque"
KINDS = (APPLICATION, IMAGE, OPAQUE)
IMAGE_FILE = "micropython.bin"
# How the release id begins that is made of the version.
_PREFIXES = {APPLICATION: "app-", IMAGE: "image-", OPAQUE: "opaque-"}
# What a manifest may say besides, by kind.
_TEXTS = {
    APPLICATION: ("STAGE0", "BOARD", "IMAGE_MIN", "IMAGE_MAX", "MPY", "ARCH"),
    IMAGE: ("STAGE0", "BOARD", "IMAGE", "MPY", "ARCH"),
    OPAQUE: ("BOARD",),
}
_IMAGE_NEEDS = ("IMAGE", "MPY", "ARCH")
DEVICE_TYPES = ("ESP32_TERMINAL", "ESP32_READER", "RPI_TERMINAL")
DAY_MS = 86_400_000
DEFAULT_LIFE_DAYS = 3650
PACKAGES = ("ks_agent", "ks_crypto", "ks_driver")
CHIP_PACKAGE = "ks_board"
ENTRY = "main.py"
HOST_ENTRY = "host_main.py"
# Lies in a folder of its own, see ks_simulator.recovery.
RECOVERY = "ks_agent/recovery.py"
# 2026-01-01T00:00:00Z: a fixed moment, so that the same files give the same bundle anywhere.
FIRST_BUILD_MS = 1_767_225_600_000


class ReleaseError(Exception):
    """A release that cannot be built or used; the text says why."""


@dataclass(frozen=True)
class Release:
    """One application release; `signature` is empty while it is unsigned."""

    manifest: bytes = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    signature: str = ""

    @property
    def message(self) -> dict[str, object]:
        """The manifest as a message. Raises Malformed."""
        return dict(bundle.parse_manifest(self.manifest))

    def token(self, key: str) -> str:
        """A scalar of the manifest, such as FW1."""
        return str(self.message[key])

    @property
    def manifest_hash(self) -> str:
        """What the boot record holds as MANIFEST: hex SHA-256."""
        return hashlib.sha256(self.manifest).hexdigest()

    def signed(self, release_seed: bytes) -> Release:
        """The same release with the signature of this release key."""
        text = signing.manifest_text(CRYPTO, self.manifest)
        return replace(self, signature=str(signing.sign_text(CRYPTO, release_seed, text)))

    def packed_sizes(self) -> dict[str, int]:
        """Bytes of each file in the bundle, in its order."""
        rows = self.message["FILE"]
        assert isinstance(rows, list)
        return {row["PATH"]: int(bundle.packed_bytes(row)) for row in rows}

    def bundle_bytes(self) -> int:
        """FW5: the size of the bundle."""
        return bundle.HEAD_BYTES + len(self.manifest) + sum(self.packed_sizes().values())

    def assemble(self) -> bytes:
        """The bundle: head, manifest, files as they are packed. Raises ReleaseError while
        unsigned, and where zlib packs to other sizes than it did at the build."""
        if not self.signature:
            raise ReleaseError("the release is not signed")
        window_bits = int(str(self.message.get("WBITS", "0")))
        parts = [bytes(bundle.make_head(self.manifest, self.signature)), self.manifest]
        for path, size in self.packed_sizes().items():
            data = self.files[path]
            parts.append(data if size == len(data) else pack(data, window_bits))
            if len(parts[-1]) != size:
                raise ReleaseError(
                    f"{path} packs to another size here than where the release was built; "
                    "make the bundle there, or build without packing"
                )
        return b"".join(parts)

    def slot_files(self) -> dict[str, bytes]:
        """What lies in the folder of a slot: manifest, signature, files."""
        return {
            "manifest.toon": self.manifest,
            "manifest.sig": self.signature.encode("ascii"),
            **self.files,
        }


def build(
    files: Mapping[str, bytes],
    *,
    version: str,
    counter: int,
    release_id: str = "",
    built_ms: int = FIRST_BUILD_MS,
    expires_ms: int | None = None,
    types: Sequence[str] = DEVICE_TYPES,
    kind: str = APPLICATION,
    window_bits: int = 0,
    texts: Mapping[str, str] | None = None,
) -> Release:
    """An unsigned release of these files; `release_id` is `app-VERSION` when it is empty.

    Files are packed for a window of 2^`window_bits` bytes where that is worth it; 0: never.
    `texts`: what else the manifest says, of STAGE0 BOARD IMAGE_MIN IMAGE_MAX MPY ARCH IMAGE.
    The same arguments give the same bytes. Raises ReleaseError for what a terminal would refuse.
    """
    texts = texts or {}
    _check_kind(kind, files, types, texts, window_bits)
    rows, packed = _rows(files, window_bits)
    message = {
        "KIND": kind,
        "FW1": release_id or _PREFIXES[kind] + version.replace("+", "."),
        "FW2": version,
        "COUNTER": str(counter),
        "BUILT": timetext.format_ms(built_ms),
        "EXPIRES": timetext.format_ms(
            built_ms + DEFAULT_LIFE_DAYS * DAY_MS if expires_ms is None else expires_ms
        ),
        "TYPES": ",".join(types),
        **texts,
        **({"WBITS": str(window_bits)} if packed else {}),
        "FILE": rows,
    }
    manifest = bytes(toon.encode(message, tokens.kind_of)) + b"\n"
    if packed:
        manifest = _with_packed(manifest, packed)
    if len(manifest) > bundle.MANIFEST_MAX_BYTES:
        raise ReleaseError(
            f"the manifest takes {len(manifest)} bytes, more than {bundle.MANIFEST_MAX_BYTES}"
        )
    try:
        bundle.parse_manifest(manifest)
    except Malformed as error:
        raise ReleaseError(str(error)) from None
    return Release(manifest, dict(files))


def _rows(
    files: Mapping[str, bytes], window_bits: int
) -> tuple[list[dict[str, str]], list[int] | None]:
    """The rows of FILE, and the packed sizes in their order, if any file is packed."""
    try:
        packed = [len(pack(data, window_bits)) for _, data in sorted(files.items())]
    except ValueError as error:
        raise ReleaseError(str(error)) from None
    rows = [
        {"PATH": path, "SHA256": hashlib.sha256(data).hexdigest(), "SIZE": str(len(data))}
        for path, data in sorted(files.items())
    ]
    stored = [len(data) for _, data in sorted(files.items())]
    return rows, packed if packed != stored else None


def _with_packed(manifest: bytes, packed: Sequence[int]) -> bytes:
    """The manifest with PACKED as the last column of FILE, where stage 0 expects it: toon writes
    columns in the order of their names."""
    before, header, table = manifest.partition(b"{PATH,SHA256,SIZE}:\n")
    rows = table.split(b"\n")
    for number, size in enumerate(packed):
        rows[number] += b",%d" % size
    return before + header.replace(b"}", b",PACKED}") + b"\n".join(rows)


def _check_kind(
    kind: str,
    files: Mapping[str, bytes],
    types: Sequence[str],
    texts: Mapping[str, str],
    window_bits: int,
) -> None:
    if kind not in KINDS:
        raise ReleaseError(f"no kind {kind!r}: one of {', '.join(KINDS)}")
    for name in texts:
        if name not in _TEXTS[kind]:
            raise ReleaseError(f"{name} has no meaning for a release of the kind {kind}")
    if "IMAGE_MIN" in texts and "IMAGE_MAX" in texts:
        try:
            if bundle.version(texts["IMAGE_MAX"]) < bundle.version(texts["IMAGE_MIN"]):
                raise ReleaseError("IMAGE_MAX is below IMAGE_MIN")
        except Malformed as error:
            raise ReleaseError(str(error)) from None
    if kind == APPLICATION and ENTRY not in files:
        raise ReleaseError(f"there is no {ENTRY} among the files")
    if kind == IMAGE:
        if set(files) != {IMAGE_FILE} or window_bits:
            raise ReleaseError(f"an image is one file {IMAGE_FILE}, never packed")
        missing = [name for name in _IMAGE_NEEDS if not texts.get(name)]
        if missing:
            raise ReleaseError(f"an image's manifest needs {', '.join(missing)}")
    if kind == OPAQUE:
        ours = [name for name in types if name.startswith("ESP32_")]
        if ours or not files:
            raise ReleaseError(
                f"{ours[0]} takes applications and images, no opaque files"
                if ours
                else "there are no files"
            )


def split(data: bytes) -> Release:
    """The release in a bundle; checks its form and the files' hashes, no signature.

    Raises Malformed.
    """
    length, signature = bundle.parse_head(data[: bundle.HEAD_BYTES])
    end = bundle.HEAD_BYTES + length
    manifest = data[bundle.HEAD_BYTES : end]
    message = bundle.parse_manifest(manifest)
    if len(data) != end + sum(bundle.packed_bytes(row) for row in message["FILE"]):
        raise Malformed("the bundle's size is not its manifest's")
    files = {}
    for row in message["FILE"]:
        size = bundle.packed_bytes(row)
        content = data[end : end + size]
        if size < int(row["SIZE"]):
            content = unpack(content, int(row["SIZE"]), int(message["WBITS"]))
        if hashlib.sha256(content).hexdigest() != row["SHA256"]:
            raise Malformed(f"the file {row['PATH']} is not the manifest's")
        files[str(row["PATH"])] = content
        end += size
    return Release(manifest, files, str(signature))


def fetched_bytes(old: Release, new: Release) -> int:
    """Bytes that a terminal which runs `old` fetches for `new`: head, manifest, and the files
    that are not in its slot already under the same path with the same hash."""
    here = {row["PATH"]: row["SHA256"] for row in bundle.parse_manifest(old.manifest)["FILE"]}
    rows = bundle.parse_manifest(new.manifest)["FILE"]
    wanted = sum(bundle.packed_bytes(row) for row in rows if here.get(row["PATH"]) != row["SHA256"])
    return int(bundle.HEAD_BYTES + len(new.manifest) + wanted)


def firmware_folder() -> Path:
    """Where boot.py, host_main.py and the packages of the terminal lie. Raises ReleaseError."""
    folder = Path(ks_agent.__file__).parent.parent
    for candidate in (folder, Path(__file__).parent / "firmware"):
        if (candidate / "boot.py").is_file() and (candidate / HOST_ENTRY).is_file():
            return candidate
    raise ReleaseError(f"boot.py and {HOST_ENTRY} are neither beside ks_agent nor in the package")


@lru_cache(maxsize=1)
def _installed_files() -> dict[str, bytes]:
    folder = firmware_folder()
    files = {ENTRY: (folder / HOST_ENTRY).read_bytes()}
    for package in PACKAGES:
        for path in sorted((folder / package).glob("*.py")):
            files[f"{package}/{path.name}"] = path.read_bytes()
    del files[RECOVERY]
    return files


def installed_files() -> dict[str, bytes]:
    """The files of the firmware that is installed here, with the host's entry as main.py."""
    return dict(_installed_files())


@lru_cache(maxsize=1)
def chip_sources() -> Mapping[str, bytes]:
    """Every source of the firmware that an application of a chip may import, by path; recovery's
    too. Its own main.py and recovery_esp32.py lie beside them."""
    folder = firmware_folder()
    found = {}
    for package in (*PACKAGES, CHIP_PACKAGE):
        for path in sorted((folder / package).rglob("*.py")):
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


_PACED_MAIN = """\
\"\"\"For demonstrations and tests: every wait is a %(pace)g-th of what the protocol says.\"\"\"
import host_main  # first: the order of its imports is what makes them fit into a small heap

_Sleep = host_main.WakeableSleep


class PacedSleep(_Sleep):
    async def wake_after(self, seconds):
        await _Sleep.wake_after(self, seconds / %(pace)g)


host_main.WakeableSleep = PacedSleep
main = host_main.main
"""


def paced(files: Mapping[str, bytes], pace: float) -> dict[str, bytes]:
    """The same application with waits divided by `pace`: nobody wants to watch one sleep."""
    main = (_PACED_MAIN % {"pace": pace}).encode("ascii")
    return {**files, HOST_ENTRY: files[ENTRY], ENTRY: main}


def folder_files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path, without hidden ones and bytecode."""
    files = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(p.startswith(".") or p == "__pycache__" for p in parts):
            files["/".join(parts)] = path.read_bytes()
    return files

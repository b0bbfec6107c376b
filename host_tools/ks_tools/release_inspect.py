"""What is in a release, and what of another it needs, for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ks_agent import bundle, signing
from ks_simulator.application import Release, fetched_bytes
from ks_simulator.keys import TrustedKey, key_id

from .release import signer

NONE: Final = "none"
UNCHECKED: Final = "unchecked"
TRUSTED: Final = "trusted"
STRANGER: Final = "stranger"
_SAID: Final = {
    NONE: "not signed",
    UNCHECKED: "signed, by nobody knows whom: there is no trust.toon",
    STRANGER: "SIGNED BY A STRANGER: none of the release keys in trust.toon",
}
_LABELS: Final = {
    "TYPES": "for", "BOARD": "boards", "STAGE0": "stage 0 from", "IMAGE": "image",
    "IMAGE_MIN": "image from", "IMAGE_MAX": "image to", "MPY": "bytecode", "ARCH": "native code",
    "COUNTER": "counter", "BUILT": "built", "EXPIRES": "expires",
}  # fmt: skip


def facts(release: Release, trusted: Sequence[TrustedKey] | None) -> dict[str, Any]:
    """Everything about the release; `signature` is one of NONE, UNCHECKED, TRUSTED, STRANGER.

    `trusted`: the trust store's keys, None where there is no store.
    """
    message = release.message
    rows: Any = message.pop("FILE")
    files = [
        {
            "path": row["PATH"],
            "size": int(row["SIZE"]),
            "packed": bundle.packed_bytes(row),
            "sha256": row["SHA256"],
        }
        for row in rows
    ]
    signature, kid = _signature(release, trusted)
    return {
        **{name.lower(): text for name, text in message.items()},
        "manifest": release.manifest_hash,
        "manifest_bytes": len(release.manifest),
        "bytes": release.bundle_bytes(),
        "unpacked_bytes": sum(file["size"] for file in files),
        "signature": signature,
        "signed_by": kid,
        "files": files,
    }


def _signature(release: Release, trusted: Sequence[TrustedKey] | None) -> tuple[str, str | None]:
    if not release.signature:
        return NONE, None
    if trusted is None:
        return UNCHECKED, None
    found = signer(release, [key.key for key in trusted if key.role == "release"])
    return (TRUSTED, key_id(signing.decode_public_key(found))) if found else (STRANGER, None)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The same for a person."""
    yield f"{found['fw1']} {found['fw2']}: {found['kind']}, {found['bytes']} bytes"
    for name, label in _LABELS.items():
        if name.lower() in found:
            yield f"  {label:13} {found[name.lower()]}"
    window = f", window 2^{found['wbits']}" if "wbits" in found else ""
    yield f"  {'files':13} {len(found['files'])}, {found['unpacked_bytes']} bytes{window}"
    yield f"  {'manifest':13} {found['manifest']}, {found['manifest_bytes']} bytes"
    by = _SAID.get(found["signature"]) or f"by the release key {found['signed_by']}"
    yield f"  {'signature':13} {by}"
    for file in found["files"]:
        packed = f"{file['packed']:>9} packed" if file["packed"] < file["size"] else ""
        yield f"  {file['size']:>9} {packed:16} {file['path']}"


def difference(old: Release, new: Release) -> dict[str, Any]:
    """What a terminal with the one fetches for the other."""
    before: Any = old.message["FILE"]
    here = {row["PATH"]: row["SHA256"] for row in before}
    rows: Any = new.message["FILE"]
    wanted = [row for row in rows if here.get(row["PATH"]) != row["SHA256"]]
    whole = new.bundle_bytes()
    fetched = fetched_bytes(old, new)
    return {
        "old": old.token("FW1"),
        "new": new.token("FW1"),
        "bytes": fetched,
        "bundle_bytes": whole,
        "share": round(fetched / whole, 4),
        "fetched": [{"path": row["PATH"], "bytes": bundle.packed_bytes(row)} for row in wanted],
        "kept": len(rows) - len(wanted),
        "removed": sorted(here.keys() - {row["PATH"] for row in rows}),
    }


def difference_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The same for a person."""
    yield (
        f"{found['old']} -> {found['new']}: {found['bytes']} of {found['bundle_bytes']} bytes"
        f" ({found['share']:.1%}), {found['kept']} files are there already"
    )
    for file in found["fetched"]:
        yield f"  fetched {file['bytes']:>9} {file['path']}"
    for path in found["removed"]:
        yield f"  removed           {path}"

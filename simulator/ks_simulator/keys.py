"""The keys of the roles (PROTOCOL section 2), and `trust.toon`, which tells terminals of them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from ks_agent import signing, toon
from ks_agent.store import as_text
from ks_server.crypto import NaclCrypto

CRYPTO = NaclCrypto()
SEED_BYTES = 32


@dataclass(frozen=True)
class TrustedKey:
    """One row of `trust.toon`: a public key as base64, its role; the server's have a number."""

    role: str
    key: str
    seq: int | None = None

    @property
    def kid(self) -> str:
        """The fingerprint: 8 hex digits."""
        return key_id(signing.decode_public_key(self.key))


@dataclass(frozen=True)
class RoleKeys:
    """A whole set of private keys, for a demo or a test: 32-byte seeds, never shown."""

    server: bytes = field(repr=False)
    release: bytes = field(repr=False)
    admins: tuple[bytes, bytes] = field(repr=False)

    @classmethod
    def make(cls) -> RoleKeys:
        """New keys from the system's random source."""
        server, release, first, second = (secrets.token_bytes(SEED_BYTES) for _ in range(4))
        return cls(server, release, (first, second))

    def trusted(self) -> list[TrustedKey]:
        """The public halves, in the order of `trust.toon`."""
        return trusted_keys([self.server], [self.release], self.admins)


def public_text(seed: bytes) -> str:
    """The public key of a seed as base64, as D3 and KEY carry it."""
    return str(signing.b64(CRYPTO.public_key(seed)))


def key_id(public: bytes) -> str:
    """KID of a raw public key."""
    return str(signing.key_id(CRYPTO, public))


def trusted_keys(
    servers: Sequence[bytes], releases: Sequence[bytes], admins: Sequence[bytes]
) -> list[TrustedKey]:
    """The rows for these seeds; `servers` oldest first, numbered from 1."""
    return [
        *(TrustedKey("server", public_text(seed), seq) for seq, seed in enumerate(servers, 1)),
        *(TrustedKey("release", public_text(seed)) for seed in releases),
        *(TrustedKey("admin", public_text(seed)) for seed in admins),
    ]


def encode_trust(keys: Sequence[TrustedKey]) -> bytes:
    """`trust.toon`."""
    rows = []
    for key in keys:
        row = {"KEY": key.key, "ROLE": key.role}
        if key.seq is not None:
            row["SEQ"] = str(key.seq)
        rows.append(row)
    return bytes(toon.encode({"TRUST": rows}, as_text)) + b"\n"


def decode_trust(data: bytes) -> list[TrustedKey]:
    """What `encode_trust` wrote. Raises Malformed."""
    rows = toon.decode(data, 8192).get("TRUST", [])
    return [
        TrustedKey(row["ROLE"], row["KEY"], int(row["SEQ"]) if "SEQ" in row else None)
        for row in rows
    ]

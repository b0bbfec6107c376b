"""The `crypto` port on libsodium (PyNaCl), for the server and for terminals simulated on a host."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from ks_crypto.strict import (
    PUBLIC_KEY_BYTES,
    SEED_BYTES,
    SIGNATURE_BYTES,
    acceptable,
    octets,
    reiterable,
)

Octets = bytes | bytearray | memoryview


class NaclCrypto:
    """Gives the same keys, signatures and verdicts as `ks_crypto.port.Ed25519Crypto`, much faster.

    The expanded keys of the `cached_keys` seeds used last are kept, so that a fleet in one process
    expands each key once. They stay in memory as long as the object does.
    """

    def __init__(self, cached_keys: int = 1024) -> None:
        self._key_pair = lru_cache(maxsize=cached_keys)(crypto_sign_seed_keypair)

    def public_key(self, seed: Octets) -> bytes:
        """The 32-byte public key of a 32-byte seed; ValueError for anything else."""
        return self._key_pair(octets(seed, SEED_BYTES, "seed"))[0]

    def sign(self, seed: Octets, pieces: Iterable[Octets]) -> bytes:
        """64 bytes over the concatenated pieces, which must be re-iterable; else ValueError."""
        secret_key = self._key_pair(octets(seed, SEED_BYTES, "seed"))[1]
        return crypto_sign(_joined(pieces), secret_key)[:SIGNATURE_BYTES]

    def verify(self, public: Octets, pieces: Iterable[Octets], signature: Octets) -> bool:
        """True or False for any content; ValueError for a wrong length or type."""
        key: bytes = octets(public, PUBLIC_KEY_BYTES, "public key")
        proof: bytes = octets(signature, SIGNATURE_BYTES, "signature")
        reiterable(pieces)
        if not acceptable(key, proof):
            return False
        try:
            crypto_sign_open(proof + _joined(pieces), key)
        except BadSignatureError:
            return False
        return True

    def prepare(self, public: Octets) -> bool:
        """True: there is nothing to do beforehand."""
        return True

    def make_room(self) -> None:
        """Nothing: there is room."""

    def forget(self) -> None:
        """Drop the expanded keys."""
        self._key_pair.cache_clear()

    def sha256(self) -> "hashlib._Hash":
        """A new SHA-256 with `update` and `digest`."""
        return hashlib.sha256()


def _joined(pieces: Iterable[Octets]) -> bytes:
    try:
        return b"".join(reiterable(pieces))
    except TypeError:
        raise ValueError("each piece must be bytes, bytearray or memoryview") from None

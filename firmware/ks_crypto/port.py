"""The agent's `crypto` port in plain Python, for either interpreter."""

import hashlib

from . import ed25519


class PureCrypto:
    """public_key, sign, verify as `ks_crypto.ed25519` has them, and SHA-256. Holds no key itself.

    Not constant time: see `ks_crypto.ed25519`.
    """

    def public_key(self, seed):
        """The 32-byte public key of a 32-byte seed; ValueError for anything else."""
        return ed25519.public_key(seed)

    def sign(self, seed, pieces):
        """64 bytes over the concatenated pieces, which must be re-iterable; else ValueError."""
        return ed25519.sign(seed, pieces)

    def verify(self, public, pieces, signature):
        """True or False for any content; ValueError for a wrong length or type."""
        return ed25519.verify(public, pieces, signature)

    def sha256(self):
        """A new SHA-256 with `update` and `digest`; take the digest once (MicroPython's rule)."""
        return hashlib.sha256()

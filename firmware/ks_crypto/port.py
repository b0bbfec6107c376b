"""The agent's `crypto` port, for either interpreter."""

import gc
import hashlib

from . import ed25519

# Heaps that have less left at import have no room for the table of a key, nor for loading code when
# it is needed: they keep in memory what does without.
_ROOM_BYTES = 112 * 1024


def _has_room():
    free = getattr(gc, "mem_free", None)  # MicroPython's
    return free is None or free() > _ROOM_BYTES


HAS_ROOM = _has_room()
# Taken at import, while the heap is in one piece; the first port has it.
_tables = [bytearray(ed25519.TABLE_BYTES if HAS_ROOM else 0)]
if not HAS_ROOM:
    ed25519.load()


class Ed25519Crypto:
    """public_key, sign, verify as `ks_crypto.ed25519` has them, and SHA-256. Holds no seed itself.

    One public key at a time, the server's, can be prepared: its signatures verify several times
    faster. In a small heap there is no room for that, and `prepare` does nothing. The table is kept
    in a file, after a hash over the key and the table, and is made anew
    where that is missing or damaged.
    """

    def __init__(self, fs=None, path=None):
        """`fs` and `path` say where the table is kept; without them it is in memory only."""
        self.fs = fs
        self.path = path
        self.table = _tables.pop() if _tables else bytearray(ed25519.TABLE_BYTES)
        self.prepared = None  # whole
        self.making = None
        self.given_up = None  # a key that cannot be prepared

    def public_key(self, seed):
        """The 32-byte public key of a 32-byte seed; ValueError for anything else."""
        return ed25519.public_key(seed)

    def sign(self, seed, pieces, check=False):
        """64 bytes over the concatenated pieces, which must be re-iterable; else ValueError.

        With `check`, for a new key, the signature is verified first: FaultError.
        """
        return ed25519.sign(seed, pieces, check)

    def verify(self, public, pieces, signature):
        """True or False for any content; ValueError for a wrong length or type."""
        verdict = ed25519.verify(public, pieces, signature, self.prepared)
        if HAS_ROOM and not self.is_prepared(public):
            ed25519.let_go()
        return verdict

    def sha256(self):
        """A new SHA-256 with `update` and `digest`; take the digest once (MicroPython's rule)."""
        return hashlib.sha256()

    def forget(self):
        """Wipe the expanded private key that is kept."""
        ed25519.forget()

    def prepare(self, public):
        """Do one piece of work, some milliseconds, to verify `public` fast; True when all is done.

        Nothing is lost where it cannot be done, or kept: verifying takes longer then.
        """
        if not self.table or public == self.given_up or self.is_prepared(public):
            return True
        from . import kept_table

        try:
            return kept_table.piece(self, public)
        except (MemoryError, ValueError):
            self.making = None
            self.given_up = public
            return True
        finally:
            if HAS_ROOM and self.making is None:
                ed25519.let_go()

    def make_room(self):
        """Let go of the prepared key's table, until the next start."""
        self.table = bytearray()
        self.prepared = self.making = None

    def is_prepared(self, public):
        """Whether this key is the one that verifies fast."""
        return self.prepared is not None and self.prepared.public == public

"""The agent's `crypto` port, for either interpreter."""

import hashlib

from . import ed25519

_HASH_BYTES = 32
# Taken at import, while the heap is in one piece; the first port has it.
_tables = [bytearray(ed25519.TABLE_BYTES)]


class Ed25519Crypto:
    """public_key, sign, verify as `ks_crypto.ed25519` has them, and SHA-256. Holds no seed itself.

    One public key at a time, the server's, can be prepared: its signatures verify several times
    faster. Its table is kept in a file, after a hash over the key and the table, and is made anew
    where that is missing or damaged.
    """

    def __init__(self, fs=None, path=None):
        """`fs` and `path` say where the table is kept; without them it is in memory only."""
        self._fs = fs
        self._path = path
        self._table = _tables.pop() if _tables else bytearray(ed25519.TABLE_BYTES)
        self._prepared = None  # whole
        self._making = None
        self._given_up = None  # a key that cannot be prepared

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
        verdict = ed25519.verify(public, pieces, signature, self._prepared)
        if not self._is(self._prepared, public):
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
        if not self._table or public == self._given_up or self._is(self._prepared, public):
            return True
        try:
            return self._piece(public)
        except (MemoryError, ValueError):
            self._making = None
            self._given_up = public
            return True

    def _piece(self, public):
        if not self._is(self._making, public):
            self._prepared = self._making = None  # their table is where the new one goes
            if self._load(public):
                return True
            self._making = ed25519.prepare(public, self._table)
        elif self._making.step():
            self._prepared = self._making
            self._making = None
            ed25519.let_go()
            self._keep()
            return True
        return False

    def _is(self, key, public):
        return key is not None and key.public == public

    def _load(self, public):
        """Whether the table was kept, for this key, undamaged."""
        if self._fs is None:
            return False
        try:
            with self._fs.open(self._path, "rb") as file:
                kept_hash = file.read(_HASH_BYTES)
                if file.readinto(self._table) != len(self._table):
                    return False
        except OSError:
            return False
        if kept_hash != self._hash(public):
            return False
        prepared = ed25519.prepare(public, self._table, whole=True)
        if prepared.is_valid():
            self._prepared = prepared
        return self._prepared is not None

    def _keep(self):
        if self._fs is None:
            return
        try:
            with self._fs.open(self._path, "wb") as file:
                file.write(self._hash(self._prepared.public))
                file.write(self._table)
        except OSError:
            pass  # it is made anew at the next start

    def _hash(self, public):
        running = hashlib.sha256(public)
        running.update(self._table)
        return running.digest()

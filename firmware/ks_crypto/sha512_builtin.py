"""SHA-512 for `sha512` where the interpreter has its own."""

from hashlib import sha512

_BYTES_LIKE = (bytes, bytearray, memoryview)


class Sha512:
    """As `ks_crypto.sha512.BlockSha512`, on the interpreter's own SHA-512."""

    def __init__(self):
        self._running = sha512()

    def update(self, data):
        """Append bytes, bytearray or memoryview (of bytes). Anything else raises TypeError."""
        if not isinstance(data, _BYTES_LIKE):
            raise TypeError("data must be bytes, bytearray or memoryview")
        self._running.update(data)

    def digest(self):
        """The 64 bytes of the hash of everything given so far."""
        return self._running.digest()

    def wipe(self):
        """Let go of what was hashed; its memory is not zeroed. The hash is of no use afterwards."""
        self._running = sha512()

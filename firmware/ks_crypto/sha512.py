"""SHA-512 (FIPS 180-4), streaming, for interpreters whose `hashlib` lacks it.

ENGINE says what does the work, chosen at import:
    "viper"    native code from `ks_viper`. Its instructions and the memory it touches depend on
               the length of the data and on nothing else.
    "hashlib"  the interpreter's own, where it has one (CPython).
    "words"    plain Python, some forty times slower than viper. Not constant time.

It exists for Ed25519. Do not hash bulk data with it: a chip's built-in SHA-256 is much faster.
"""

try:
    from . import viper_sha512 as _engine

    ENGINE = "viper"
except (ImportError, ValueError):  # none for this architecture, or for another version of .mpy
    try:
        from hashlib import sha512 as _builtin

        if not hasattr(_builtin(), "copy"):  # MicroPython's: its digest ends the hash
            raise ImportError("no digest in the middle")
        ENGINE = "hashlib"
    except ImportError:
        from . import sha512_words as _engine

        ENGINE = "words"

_BLOCK_BYTES = 128
_STATE_BYTES = 64


class BlockSha512:
    """A running hash on an engine: a module like `sha512_words`. Not for threads: they share space.

    `digest` may be called at any time and leaves the hash as it was.
    """

    engine = None

    def __init__(self):
        self._memory = bytearray(_STATE_BYTES + _BLOCK_BYTES)  # the state, the incomplete block
        self._memory[:_STATE_BYTES] = self.engine.INITIAL
        self._length = 0  # bytes hashed so far

    def update(self, data):
        """Append bytes, bytearray or memoryview (of bytes). Anything else raises TypeError."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("data must be bytes, bytearray or memoryview")
        size = len(data)
        memory = self._memory
        filled = self._length % _BLOCK_BYTES
        self._length += size
        end = _STATE_BYTES + filled
        if filled + size < _BLOCK_BYTES:
            memory[end : end + size] = data
            return
        compress = self.engine.compress
        position = 0
        if filled:
            position = _BLOCK_BYTES - filled
            memory[end:] = memoryview(data)[:position]
            compress(_STATE_BYTES, 1, memory, memory, memory)
        count = (size - position) // _BLOCK_BYTES
        if count:
            compress(position, count, memory, memory, data)
            position += count * _BLOCK_BYTES
        if position < size:
            memory[_STATE_BYTES : _STATE_BYTES + size - position] = memoryview(data)[position:]

    def digest(self):
        """The 64 bytes of the hash of everything given so far."""
        engine = self.engine
        scratch = engine.SCRATCH
        length = self._length
        count = engine.pad(length % _BLOCK_BYTES, length // _BLOCK_BYTES, self._memory, scratch)
        engine.compress(_STATE_BYTES, count, self._memory, scratch, scratch)
        engine.to_digest(0, _STATE_BYTES, scratch)
        return bytes(memoryview(scratch)[:_STATE_BYTES])

    def wipe(self):
        """Zero what is kept of the data, in place; the hash is of no use afterwards.

        With the engine "viper" nothing of it is left in memory but what `digest` returned.
        """
        for memory in (self._memory, self.engine.SCRATCH):
            self.engine.wipe(0, len(memory), memory)


class BuiltinSha512:
    """The same on the interpreter's own SHA-512."""

    def __init__(self):
        self._running = _builtin()

    def update(self, data):
        """Append bytes, bytearray or memoryview (of bytes). Anything else raises TypeError."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("data must be bytes, bytearray or memoryview")
        self._running.update(data)

    def digest(self):
        """The 64 bytes of the hash of everything given so far."""
        return self._running.digest()

    def wipe(self):
        """Forget what was hashed. Memory is not zeroed: that is for the built-in hash to do."""
        self._running = _builtin()


if ENGINE == "hashlib":
    Sha512 = BuiltinSha512
else:
    Sha512 = BlockSha512
    BlockSha512.engine = _engine


def sha512(data=b""):
    """A new `Sha512`, already fed with `data` (called like `hashlib.sha512`)."""
    running = Sha512()
    running.update(data)
    return running

"""Raw deflate, unpacked piece by piece: with MicroPython's `deflate`, on CPython with `zlib`."""

import sys

READ_BYTES = 256
EINVAL = 22


class ZlibInflater:
    """What `deflate.DeflateIO` is for reading, on CPython."""

    def __init__(self, file, window_bits):
        import zlib  # type: ignore[import-not-found, unused-ignore]

        self._file = file
        self._unpacker = zlib.decompressobj(-window_bits)
        self._error = zlib.error

    def readinto(self, buffer):
        """The number of bytes put into the buffer, 0 at the end of the stream."""
        unpacker = self._unpacker
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail or self._file.read(READ_BYTES)
            try:
                data = unpacker.decompress(packed, len(buffer))
            except self._error as problem:
                raise OSError(EINVAL, str(problem))
            if data:
                buffer[: len(data)] = data
                return len(data)
            if not packed:
                raise OSError(EINVAL, "the stream ends early")
        return 0


class DeflateInflater:
    """What MicroPython has, with one kind of error for every stream that is none."""

    def __init__(self, file, window_bits):
        import deflate

        self._stream = deflate.DeflateIO(file, deflate.RAW, window_bits)

    def readinto(self, buffer):
        try:
            return self._stream.readinto(buffer)
        except EOFError:
            raise OSError(EINVAL, "the stream ends early")


Inflater = DeflateInflater if sys.implementation.name == "micropython" else ZlibInflater

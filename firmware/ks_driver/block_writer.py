"""Writing an image into a partition, which is erased and programmed in whole blocks."""

BLOCK_BYTES = 4096


class BlockWriter:
    """Takes pieces of any size. `write_block(number, block)` erases a block and programs it; of
    `size` bytes in all, no more are taken, so what lies behind them is never touched.
    """

    def __init__(self, write_block, size):
        self._write_block = write_block
        self._left = size
        self._block = bytearray(BLOCK_BYTES)
        self._filled = 0
        self._number = 0

    def write(self, piece):
        """Raises OSError (no space) for a byte too many, and before it is written."""
        if len(piece) > self._left:
            raise OSError(28, "larger than it was to be")
        self._left -= len(piece)
        start = 0
        while start < len(piece):
            count = min(BLOCK_BYTES - self._filled, len(piece) - start)
            self._block[self._filled : self._filled + count] = piece[start : start + count]
            self._filled += count
            start += count
            if self._filled == BLOCK_BYTES:
                self._flush()

    def close(self):
        """The last block, filled up as an erased one is."""
        if self._filled:
            for index in range(self._filled, BLOCK_BYTES):
                self._block[index] = 0xFF
            self._flush()

    def _flush(self):
        self._write_block(self._number, self._block)
        self._number += 1
        self._filled = 0

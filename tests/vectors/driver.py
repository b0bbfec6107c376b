"""Ask an engine through its facade: `python driver.py FOLDER FILE`, on CPython or MicroPython.

FOLDER holds the package ks_crypto. FILE has one question in each line and is read by small blocks,
for a heap of 128 KiB. The first line that is printed names the engine; then each has its answer:

    sign SEED PIECES                  -> PUBLIC SIGNATURE
    verify PUBLIC PIECES SIGNATURE    -> True or False
    prepared PUBLIC PIECES SIGNATURE  -> the same by a prepared key, or "no key" if there is none
    table PUBLIC                      -> whether the prepared key's table is valid
    call EXPRESSION                   -> what it gives; `ed25519` is the facade

Everything is hex; PIECES are separated by commas, a dash is none. Pieces are handed over as bytes,
bytearray and memoryview in turn. What raises is answered with the exception's name.
"""

import sys
from binascii import hexlify, unhexlify

sys.path.insert(0, sys.argv[1])

from ks_crypto import ed25519

BLOCK_BYTES = 2048
KINDS = (bytes, bytearray, memoryview)


class PreparedKeys:
    """Keeps the last key's table, in the one buffer that a small heap has room for."""

    def __init__(self) -> None:
        self._table = bytearray(ed25519.TABLE_BYTES)
        self._public = b""
        self._prepared: object = None

    def of(self, public: bytes) -> object:
        """The key, prepared to the end; None if it cannot be."""
        if public != self._public:
            self._public = public
            self._prepared = self._made(public)
        return self._prepared

    def _made(self, public: bytes) -> object:
        try:
            prepared = ed25519.prepare(public, self._table if self._table else None)
            while not prepared.step():
                pass
        except ValueError:
            return None
        return prepared


def pieces_of(text: str) -> list:
    """The pieces that the text stands for."""
    if text == "-":
        return []
    pieces: list = []
    for part in text.split(","):
        pieces.append(KINDS[len(pieces) % 3](unhexlify(part)))
    return pieces


def answer(line: str, keys: PreparedKeys) -> str:
    """The answer to one question."""
    question, _, rest = line.partition(" ")
    if question == "call":
        return str(eval(rest, {"ed25519": ed25519}))
    fields = rest.split(" ")
    first = unhexlify(fields[0])
    if question == "table":
        return str(keys.of(first).is_valid())  # type: ignore[attr-defined]
    pieces = pieces_of(fields[1])
    if question == "verify":
        return str(ed25519.verify(first, pieces, unhexlify(fields[2])))
    if question == "prepared":
        prepared = keys.of(first)
        if prepared is None:
            return "no key"
        return str(ed25519.verify(first, pieces, unhexlify(fields[2]), prepared))
    public = ed25519.public_key(first)
    return (hexlify(public) + b" " + hexlify(ed25519.sign(first, pieces))).decode()


def lines_of(file: str):  # type: ignore[no-untyped-def]
    """The file's lines, by blocks: MicroPython's own reads one byte at a time from the system."""
    rest = b""
    with open(file, "rb") as stream:
        while True:
            block = stream.read(BLOCK_BYTES)
            if not block:
                return
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            for line in lines:
                yield line.decode()


def main(file: str) -> None:
    """Answer each line of the file."""
    print(ed25519.ENGINE)
    keys = PreparedKeys()
    for line in lines_of(file):
        try:
            said = answer(line, keys)
        except Exception as error:
            said = type(error).__name__
        print(said)


if __name__ == "__main__":
    main(sys.argv[2])

"""Reads .mpy files (MicroPython's format 6) as far as it takes to know the size of native code.

When a module is imported, each native function is one allocation of exactly its code, so the
largest function is the largest piece of memory that the module asks for.
"""

from dataclasses import dataclass

VERSION = 6
ARCHITECTURE_FLAGS = 0x40  # in the third byte: a number follows the header
NO_CONTENT = range(5)  # the function table, None, False, True, Ellipsis
TEXTS = (5, 6)  # str and bytes: a zero follows
NUMBERS = (7, 8, 9)  # int, float, complex: as text
TUPLE = 10
BYTECODE, NATIVE, VIPER, ASSEMBLER = range(4)


class Malformed(ValueError):
    """Not an .mpy file of format 6, or one with parts that this reader does not know."""


@dataclass(frozen=True)
class Sizes:
    """Bytes of the native functions of one or more modules."""

    functions: tuple

    @property
    def total(self):
        return sum(self.functions)

    @property
    def largest(self):
        return max(self.functions, default=0)

    def __add__(self, other):
        return Sizes(self.functions + other.functions)


def sizes(module):
    """What the module's native functions take. Raises Malformed."""
    try:
        reader = _Reader(module)
        found = tuple(reader.native_functions())
    except IndexError:
        raise Malformed("the file ends too early") from None
    if not reader.is_at_end:
        raise Malformed("something follows the last function")
    return Sizes(found)


class _Reader:
    def __init__(self, module):
        if module[:2] != bytes((ord("M"), VERSION)):
            raise Malformed("not an .mpy file of format 6")
        self._module = module
        self._position = 4
        if module[2] & ARCHITECTURE_FLAGS:
            self._number()

    @property
    def is_at_end(self):
        return self._position == len(self._module)

    def native_functions(self):
        """Bytes of each, the outer function before those within it."""
        names, objects = self._number(), self._number()
        for _ in range(names):
            self._skip_name()
        for _ in range(objects):
            self._skip_object()
        yield from self._function()

    def _function(self):
        header = self._number()
        kind, has_children, length = header & 3, header & 4, header >> 3
        self._skip(length)
        if kind != BYTECODE:
            yield length
            self._number()  # where the prelude is, or viper's flags
        if kind == ASSEMBLER:
            self._number()  # positional arguments
            self._number()  # their types
        if has_children:
            for _ in range(self._number()):
                yield from self._function()

    def _skip_name(self):
        length = self._number()
        if not length & 1:  # otherwise the number of one that every interpreter has
            self._skip((length >> 1) + 1)

    def _skip_object(self):
        kind = self._byte()
        if kind in TEXTS:
            self._skip(self._number() + 1)
        elif kind in NUMBERS:
            self._skip(self._number())
        elif kind == TUPLE:
            for _ in range(self._number()):
                self._skip_object()
        elif kind not in NO_CONTENT:
            raise Malformed(f"an object of the unknown kind {kind}")

    def _number(self):
        value = 0
        while True:
            byte = self._byte()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value

    def _byte(self):
        self._position += 1
        return self._module[self._position - 1]

    def _skip(self, length: int):
        self._position += length

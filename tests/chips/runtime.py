"""What MicroPython is to a native function: the objects around it, and the functions it calls.

The layout is that of MicroPython 1.25 to 1.29 on a chip with 32-bit words. A native function gets
the function object, two counts and the address of its arguments. The function object leads to the
module's context, and that to the globals, the table of names and the table of objects, in which
the function table is found (py/obj.h, py/objfun.h, py/nativeglue.h).

Every buffer has a MiB of addresses to itself, so that whatever is read or written outside of it is
noticed. Those of bytes and bytearray begin where the heap would put them, at a multiple of 16; a
memoryview, which may be a slice, begins at an odd address.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

WORD = 0xFFFFFFFF
REGION_BITS = 20
# No memory: what runs there, or dereferences these, is noticed.
RETURN = 0x7F000000  # where a function returns to
TRAPS = 0x7E000000  # the functions of the function table, two words for each
HANDLES = 0x7D000000  # objects
STACK = 0x7C000000  # the end of the stack

# Members of mp_fun_table.
FROM_OBJECT, TO_OBJECT, SWAP_GLOBALS, LOAD_GLOBAL = 3, 4, 5, 7
PUSH_HANDLER, POP_HANDLER, RAISE, CHECK_ARGUMENTS, SET_JUMP = 32, 33, 34, 44, 49
MEMBERS = 80
# Types of viper, as they are given to the conversions.
SIGNED, UNSIGNED, POINTERS = 2, 3, (4, 5, 6, 7)

Buffer = bytes | bytearray | memoryview


class Fault(Exception):
    """The code did what would stop a chip, or what this runtime does not have."""


@dataclass(frozen=True)
class Region:
    """Memory that a function may use; `content` is written through to the buffer."""

    address: int
    content: memoryview
    writable: bool


@dataclass
class Trace:
    """What one call did: the offsets of its blocks, and each address loaded from or stored to."""

    path: list[int] = field(default_factory=list)
    addresses: list[int] = field(default_factory=list)


class Call:
    """One call of a native function: its memory, its arguments, and the traps it goes into."""

    def __init__(
        self,
        code: bytes,
        names: Sequence[str | None],
        function_table: int,
        variables: Mapping[str, object],
        arguments: Sequence[object],
    ) -> None:
        self.regions: list[Region] = []
        self.traps = 0
        self.added: Callable[[Region], None] = lambda region: None
        self._names = names
        self._variables = variables
        self._handles: list[object] = [None, False, True]
        self._places: dict[int, int] = {}
        self._kept: list[Buffer] = []
        self.code = self._place(code)
        own_globals = self._handle(variables)
        self._current_globals = self._handle(object())  # those of the caller, another module
        # ARM wants bit 0 of a function's address set, RISC-V ignores it, `trap` too.
        members = [TRAPS + 8 * member + 1 for member in range(MEMBERS)]
        members[:3] = [self._handle(constant) for constant in (None, False, True)]
        table = self._place(_words(members))
        objects = self._place(_words([*(0,) * function_table, table]))
        qstrs = self._place(struct.pack(f"<{len(names)}H", *range(len(names))))
        context = self._place(_words([0, own_globals, qstrs, objects]))
        self.function_object = self._place(_words([0, context]))
        self.count = len(arguments)
        self.arguments = self._place(_words([self._object(value) for value in arguments]))

    def trap(self, address: int, arguments: Sequence[int]) -> int:
        """What a function of the table returns. Raises Fault."""
        member, rest = divmod((address & ~1) - TRAPS, 8)
        if rest or not 0 <= member < MEMBERS:
            raise Fault(f"a call of {address:#x}")
        self.traps += 1
        if member == FROM_OBJECT:
            return self._converted(self._value(arguments[0]), arguments[1])
        if member == TO_OBJECT:
            return self._object(_signed(arguments[0]) if arguments[1] == SIGNED else arguments[0])
        if member == LOAD_GLOBAL:
            name = self._names[arguments[0]]
            if name is None or name not in self._variables:
                raise Fault(f"no global {name}")
            return self._handle(self._variables[name])
        if member == SWAP_GLOBALS:
            before, self._current_globals = self._current_globals, arguments[0]
            return 0 if before == arguments[0] else before  # zero: nothing to swap back
        if member in (PUSH_HANDLER, POP_HANDLER, SET_JUMP):
            return 0
        raise Fault(f"a call of member {member} of the function table, {arguments}")

    def region(self, buffer: Buffer) -> Region:
        """Where a buffer is that was an argument."""
        address = self._places[id(buffer)]
        return self.regions[(address >> REGION_BITS) - 1]

    def result(self, value: int) -> object:
        """The object that a function returned."""
        return self._value(value)

    def _place(self, buffer: Buffer) -> int:
        """The address of a buffer, the same for the same buffer."""
        if id(buffer) not in self._places:
            content = memoryview(buffer)
            address = (len(self.regions) + 1 << REGION_BITS) + isinstance(buffer, memoryview)
            if len(content) >= 1 << REGION_BITS:
                raise Fault("a buffer of a MiB or more")
            region = Region(address, content, not content.readonly)
            self.regions.append(region)
            self._places[id(buffer)] = address
            self._kept.append(buffer)  # so that its id stays its own
            self.added(region)
        return self._places[id(buffer)]

    def _converted(self, value: object, kind: int) -> int:
        if kind in (SIGNED, UNSIGNED) and isinstance(value, int):
            return value & WORD
        if kind in POINTERS and isinstance(value, Buffer):
            return self._place(value)
        raise Fault(f"{type(value).__name__} cannot be converted to type {kind}")

    def _object(self, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            if not -(2**30) <= value < 2**30:
                raise Fault(f"{value} is not a small integer")
            return value << 1 & WORD | 1
        return self._handle(value)

    def _handle(self, value: object) -> int:
        for number, known in enumerate(self._handles):
            if known is value:
                return HANDLES + 4 * number
        self._handles.append(value)
        return HANDLES + 4 * (len(self._handles) - 1)

    def _value(self, handle: int) -> object:
        if handle & 1:
            return _signed(handle) >> 1
        number, rest = divmod(handle - HANDLES, 4)
        if rest or not 0 <= number < len(self._handles):
            raise Fault(f"{handle:#x} is no object")
        return self._handles[number]


def _words(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _signed(value: int) -> int:
    return (value ^ 0x80000000) - 0x80000000

"""Takes the viper functions out of an .mpy file: their code, and the tables it refers to."""

from __future__ import annotations

from dataclasses import dataclass

from ks_viper import native
from ks_viper.native import Malformed

FUNCTION_TABLE = 0  # the kind of the object that stands for MicroPython's `mp_fun_table`


@dataclass(frozen=True)
class Function:
    """One function; `code` is empty for bytecode. Native code starts at its first byte."""

    kind: int
    code: bytes
    children: tuple[Function, ...]

    @property
    def is_viper(self) -> bool:
        return bool(self.kind == native.VIPER)


@dataclass(frozen=True)
class Module:
    """`names` has None for those that every interpreter knows by a number."""

    names: tuple[str | None, ...]
    object_kinds: tuple[int, ...]
    outer: Function

    @property
    def function_table(self) -> int:
        """The number of the object that is the function table."""
        return self.object_kinds.index(FUNCTION_TABLE)


def read(content: bytes) -> Module:
    """The parts of an .mpy file. Raises Malformed."""
    reader = native._Reader(content)
    try:
        names, objects = reader._number(), reader._number()
        module = Module(
            tuple(_name(reader) for _ in range(names)),
            tuple(_object(reader) for _ in range(objects)),
            _function(reader),
        )
    except IndexError:
        raise Malformed("the file ends too early") from None
    if not reader.is_at_end:
        raise Malformed("something follows the last function")
    return module


def _name(reader: native._Reader) -> str | None:
    length = reader._number()
    if length & 1:
        return None
    first = reader._position
    reader._skip((length >> 1) + 1)
    text: bytes = reader._module[first : reader._position - 1]
    return text.decode()


def _object(reader: native._Reader) -> int:
    kind: int = reader._module[reader._position]
    reader._skip_object()
    return kind


def _function(reader: native._Reader) -> Function:
    header = reader._number()
    kind, has_children, length = header & 3, header & 4, header >> 3
    first = reader._position
    reader._skip(length)
    code = b""
    if kind != native.BYTECODE:
        code = reader._module[first : reader._position]
        reader._number()  # viper's flags
    count = reader._number() if has_children else 0
    return Function(kind, code, tuple(_function(reader) for _ in range(count)))

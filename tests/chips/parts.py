"""The engine of Ed25519 on native code for a chip: each viper function is executed by a program.

What is bytecode on a chip is run by CPython here, from the same text.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Protocol
from unittest import mock

from ks_viper import build

from . import mpy, xtensa
from .runtime import Call, Trace

KS_CRYPTO = Path(build.__file__).parent.parent / "ks_crypto"
TYPES = ("ptr8", "ptr16", "ptr32", "uint")  # of viper; the compiler knows them, Python does not
END = -1
_packages = itertools.count()


class Program(Protocol):
    """Machine code that can be executed."""

    def run(self, call: Call) -> tuple[object, Trace]:
        """What the function returns, and what it did. Raises Fault."""


Named = tuple[str, bytes, Program]


@dataclass
class Native:
    """One viper function; called like the function itself.

    `steps` counts pairs of blocks executed one after the other, in all calls; each call ends with
    END. `recorded` takes each call and what it did, while `recording`.
    """

    name: str
    code: bytes
    program: Program
    module: mpy.Module
    variables: dict[str, object]
    steps: Counter[tuple[int, int]] = field(default_factory=Counter)
    calls: int = 0
    traps: int = 0
    recording: bool = False
    recorded: list[tuple[Call, Trace]] = field(default_factory=list)

    def __call__(self, *arguments: object) -> object:
        """What the function returns. Raises Fault."""
        module = self.module
        call = Call(self.code, module.names, module.function_table, self.variables, arguments)
        result, trace = self.program.run(call)
        self.calls += 1
        self.traps += call.traps
        self.steps.update(itertools.pairwise([*trace.path, END]))
        if self.recording:
            self.recorded.append((call, trace))
        return result

    def forget(self) -> None:
        """Start counting and recording anew."""
        self.steps.clear()
        self.recorded.clear()
        self.calls = self.traps = 0


@dataclass(frozen=True)
class Engine:
    """`ks_crypto` with native code; `functions` are all of them, by module and name."""

    ed25519: ModuleType
    engine: ModuleType
    functions: dict[str, Native]


def engine(architecture: str, tables: int) -> Engine:
    """A new copy of the facade, its engine and the parts; nothing is shared but programs."""
    package = ModuleType(f"ks_crypto_on_a_chip_{next(_packages)}")
    package.__path__ = [str(KS_CRYPTO)]
    functions: dict[str, Native] = {}
    sys.modules[package.__name__] = package
    for part in build.PARTS:
        module = load(part, architecture, tables)
        sys.modules[f"{package.__name__}.{part}"] = module
        setattr(package, part, module)
        for name, value in vars(module).items():
            if isinstance(value, Native):
                functions[f"{part}.{name}"] = value
    return Engine(
        importlib.import_module(f"{package.__name__}.ed25519"),
        importlib.import_module(f"{package.__name__}.viper"),
        functions,
    )


def load(part: str, architecture: str, tables: int = build.TABLES) -> ModuleType:
    """One of `build.PARTS`, imported, with its viper functions executed by programs."""
    return _imported(*_compiled(part, architecture, tables))


def load_text(text: str, content: bytes, architecture: str) -> ModuleType:
    """A module of the given source, compiled to `content`, an .mpy file."""
    return _imported(*_paired(text, content, architecture))


def _imported(text: str, module: mpy.Module, programs: list[Named]) -> ModuleType:
    made = ModuleType("native")
    variables = vars(made)
    variables.update(dict.fromkeys(TYPES, int))
    waiting = iter(programs)

    def viper(function: Callable[..., object]) -> Native:
        name, code, program = next(waiting)
        assert function.__name__ == name
        return Native(name, code, program, module, variables)

    micropython = ModuleType("micropython")
    micropython.viper = viper  # type: ignore[attr-defined]
    variables["micropython"] = micropython  # a decorator needs no import on MicroPython
    with mock.patch.dict(sys.modules, micropython=micropython):
        exec(text, variables)
    return made


@contextmanager
def recording(functions: Sequence[Native]) -> Iterator[None]:
    """Traces of what is called meanwhile are kept, and no others."""
    for function in functions:
        function.forget()
        function.recording = True
    yield
    for function in functions:
        function.recording = False


@cache
def _compiled(part: str, architecture: str, tables: int) -> tuple[str, mpy.Module, list[Named]]:
    text = build.source(part, architecture, tables)
    return _paired(text, build.compiled(part, architecture, tables), architecture)


def _paired(text: str, content: bytes, architecture: str) -> tuple[str, mpy.Module, list[Named]]:
    """The text, its compiled module, and the name, code and program of each viper function."""
    module = mpy.read(content)
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    programs = []
    for node, function in zip(functions, module.outer.children, strict=True):
        decorated = any("viper" in ast.unparse(item) for item in node.decorator_list)
        assert decorated == function.is_viper
        if function.is_viper:
            program = _program(function.code, architecture)
            programs.append((node.name, function.code, program))
    return text, module, programs


def _program(code: bytes, architecture: str) -> Program:
    if architecture == "xtensawin":
        return xtensa.Program(code)
    from . import emulated  # which needs Unicorn

    return emulated.Program(code, architecture)

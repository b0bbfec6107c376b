"""Proof that the code under test keeps nothing in its modules: a cut leaves flash and vault."""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

PREFIXES = ("ks_agent",)
NAMES = ("stage0",)


def modules() -> list[ModuleType]:
    """The device's code that is loaded, by name."""
    found = []
    for name in sorted(sys.modules):
        if name.partition(".")[0] in PREFIXES or name in NAMES:
            found.append(sys.modules[name])
    return found


def load_all() -> None:
    """What is loaded only when it is needed, too: so that loading it is no change."""
    import importlib
    import pkgutil

    import ks_agent

    for info in pkgutil.iter_modules(ks_agent.__path__):
        importlib.import_module(f"ks_agent.{info.name}")
    importlib.import_module("stage0")


def fingerprint() -> dict[str, str]:
    """`module.name` -> what it holds, deeply; for classes, their attributes."""
    found = {}
    for module in modules():
        for name, value in vars(module).items():
            if name.startswith("__"):
                continue
            found[f"{module.__name__}.{name}"] = _of(value, ())
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Names that hold something else, or came, or went."""
    names = sorted(set(before) | set(after))
    return [name for name in names if before.get(name) != after.get(name)]


def _of(value: Any, above: tuple[int, ...]) -> str:
    if id(value) in above or len(above) > 12:
        return "..."
    above = (*above, id(value))
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    if isinstance(value, bytearray | memoryview):
        return f"bytes {bytes(value)!r}"
    if isinstance(value, FunctionType):
        cells = [_of(cell.cell_contents, above) for cell in value.__closure__ or ()]
        defaults = _of(value.__defaults__, above)
        return f"function {id(value.__code__)} {cells} {defaults} {_of(value.__dict__, above)}"
    if isinstance(value, BuiltinFunctionType | MethodType | ModuleType):
        return f"{type(value).__name__} {value.__name__}"
    if isinstance(value, type):
        if not value.__module__.startswith((*PREFIXES, *NAMES)):
            return f"class {value.__name__}"
        own = {name: each for name, each in vars(value).items() if name[:2] != "__"}
        return f"class {value.__name__} {_of(own, above)}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_of(k, above)}:{_of(v, above)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({','.join(_of(each, above) for each in value)})"
    if isinstance(value, set | frozenset):
        return f"set({sorted(_of(each, above) for each in value)})"
    return f"{type(value).__name__} {_of(getattr(value, '__dict__', None), above)}"

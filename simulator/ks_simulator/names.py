"""Gives functions, methods and attributes of an application short names, the same everywhere.

On a terminal each name is a text in memory. A name is only changed where nothing outside of the
application can mean it too: what the entry uses, what any text in the application mentions, and
what anything in the standard libraries is called stays, as do classes, which crash reports name.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import keyword
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import product
from pathlib import PurePosixPath
from string import ascii_letters

from . import chip_names, naming, rom_names, syntax
from .attributes import bound_in_class, class_level, classes, is_linked
from .scopes import own_statements

Trees = Mapping[str, ast.Module]
Function = ast.FunctionDef | ast.AsyncFunctionDef
SHORT = 2  # characters
WORD = re.compile(r"[A-Za-z_]\w*")
# Where objects come from that an application on either interpreter uses.
LIBRARIES = (
    "array", "asyncio", "asyncio.streams", "binascii", "collections", "errno", "gc", "hashlib",
    "io", "json", "math", "os", "random", "re", "select", "socket", "ssl", "struct", "sys", "time",
    "traceback", "zlib",
)  # fmt: skip
# What MicroPython has besides, what it calls on objects that it is given, and what the benchmarks
# look at in an application (`unload`).
MICROPYTHON = frozenset((
    "active", "alloc_emergency_exception_buf", "chdir", "config", "connect", "const", "deinit",
    "erase_key", "freq", "ifconfig", "ilistdir", "ioctl", "irq", "isconnected", "mem_alloc",
    "mem_free", "mount", "native", "off", "on", "opt_level", "print_exception", "readblocks",
    "reset", "reset_cause", "scan", "status", "statvfs", "ticks_add", "ticks_diff", "ticks_ms",
    "ticks_us", "umount", "unload", "value", "viper", "wdt_feed", "writeblocks",
))  # fmt: skip


class _Fields(dict[type[ast.AST], tuple[str, ...]]):
    """By kind of node, the fields that may have a name."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        names = ("id", "attr", "name", "asname", "arg")
        self[kind] = found = tuple(name for name in names if name in kind._fields)
        return found


_FIELDS = _Fields()


def shorten(trees: Trees, entry: str, given: naming.Naming | None = None) -> None:
    """Rename in place, but in the entry's tree."""
    given = given or naming.Naming()
    uses = Counter(
        name for path, tree in trees.items() if path != entry for name in _identifiers(tree)
    )
    meant = _kept(trees, entry)
    kept = of_libraries(trees) | meant | set(rom_names.NAMES)
    attributes = {
        node.attr for tree in trees.values() for node in syntax.walk(tree)
        if isinstance(node, ast.Attribute)
    }  # fmt: skip
    defined = {name for path, tree in trees.items() if path != entry for name in _defined(tree)}
    for path, tree in trees.items():
        if path != entry:
            defined.update(set(_set_by_module(tree)) - attributes)
    chosen = sorted(
        {name for name in defined - kept if not is_linked(name)},
        key=lambda name: (-uses[name], name),
    )
    taken = set(uses) | meant | set(keyword.kwlist)
    new = map("".join, product(ascii_letters, repeat=SHORT))
    unfree = taken | kept
    free = [
        *(name for name in rom_names.NAMES if name not in taken),
        *(name for name in new if name not in unfree),
    ]
    names = given.give(
        naming.FUNCTIONS,
        [name for name in chosen if len(name) > SHORT],
        free,
        avoided=(naming.PRIVATE,),
    )
    for path, tree in trees.items():
        if path != entry:
            _rename(tree, names)


def reuse(trees: Trees, earlier: naming.Naming | None = None) -> None:
    """Give the names that `linked` made up to those that are there anyway.

    A global has nothing to do with an attribute of the same name: on a terminal it is one text for
    both. Names of attributes are taken in turn, then those that the interpreter has, a new one when
    there are no more; none that a module which has the global uses in another way.
    """
    earlier = earlier or naming.Naming()
    homes: dict[str, set[str]] = defaultdict(set)
    uses: Counter[str] = Counter()
    plain: dict[str, set[str]] = {path: set(keyword.kwlist) for path in trees}
    attributes: Counter[str] = Counter()
    hidden = _hidden_in_classes(trees)
    for path, tree in trees.items():
        inside = set(_names_of_attributes(tree))
        for node in syntax.walk(tree):
            if isinstance(node, ast.Attribute):
                attributes[node.attr] += 1
                continue
            if node in inside:
                attributes[getattr(node, "name", "") or getattr(node, "id", "")] += 1
                continue
            for name in _identifiers_of(node):
                if is_linked(name):
                    homes[name].add(path)
                    uses[name] += 1
                else:
                    plain[path].add(name)
    there = sorted(
        (name for name in attributes if not name.startswith("__")),
        key=lambda name: (-attributes[name], name),
    )
    new = map("".join, product(ascii_letters, repeat=SHORT))
    rest = (*rom_names.NAMES, *new)
    given = earlier.give(
        naming.GLOBALS,
        sorted(homes, key=lambda name: (-len(homes[name]), -uses[name], name)),
        [*there, *(name for name in rest if name not in attributes)],
        homes=homes.__getitem__,
        refused=lambda name, new: (
            new in hidden[name] or any(new in plain[path] for path in homes[name])
        ),
    )
    for tree in trees.values():
        _rename(tree, given)


def _names_of_attributes(tree: ast.Module) -> Iterator[ast.AST]:
    """Where classes bind or read their own: no name of a module's or a function's."""
    for node in classes(tree):
        bound = bound_in_class(node)
        for inner in class_level(node):
            if getattr(inner, "name", getattr(inner, "id", "")) in bound:
                yield inner


def _hidden_in_classes(trees: Trees) -> dict[str, set[str]]:
    """For each name that is read in the scope of a class, what that scope binds itself."""
    hidden: dict[str, set[str]] = defaultdict(set)
    for tree in trees.values():
        for node in classes(tree):
            bound = bound_in_class(node)
            for inner in class_level(node):
                if isinstance(inner, ast.Name):
                    hidden[inner.id] |= bound
    return hidden


def _identifiers(tree: ast.AST) -> Iterator[str]:
    for node in syntax.walk(tree):
        yield from _identifiers_of(node)


def _identifiers_of(node: ast.AST) -> Iterator[str]:
    for field in _FIELDS[type(node)]:
        value = getattr(node, field, None)
        if isinstance(value, str):
            yield value
    if isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names


def _defined(tree: ast.Module) -> Iterator[str]:
    """Functions and methods, and what is set on objects; nothing with an underscore in front."""
    for node in syntax.walk(tree):
        name = ""
        if isinstance(node, Function):
            name = node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            name = node.attr
        if name and not name.startswith("_"):
            yield name


def _set_by_module(tree: ast.Module) -> Iterator[str]:
    """What the top level sets; nothing with an underscore in front."""
    for node in own_statements(tree.body):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id[0] != "_":
            yield node.id


def _kept(trees: Trees, entry: str) -> set[str]:
    kept: set[str] = set(_identifiers(trees[entry]))
    for path in trees:
        kept.update(PurePosixPath(path).with_suffix("").parts)
    inside = {module.rpartition(".")[2] for module in map(_module, trees)}
    for tree in trees.values():
        for node in syntax.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                kept.update(WORD.findall(node.value))
            elif isinstance(node, ast.arg | ast.keyword):
                kept.add(node.arg or "")
            elif isinstance(node, ast.ClassDef):
                kept.add(node.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    kept.update(alias.name.split("."))
            elif isinstance(node, ast.ImportFrom):
                own = (node.module or "").rpartition(".")[2]
                if own not in inside and not (node.level and not own):
                    kept.update(alias.name for alias in node.names)
    return kept


def _module(path: str) -> str:
    return ".".join(PurePosixPath(path).with_suffix("").parts)


def of_libraries(trees: Trees | None = None) -> set[str]:
    """What objects that are not the application's may have, on either interpreter; what those of a
    chip have, where the application imports its modules."""
    if _imported(trees or {}) & chip_names.OF_CHIPS:
        return {*_of_libraries(), *chip_names.NAMES}
    return set(_of_libraries())


@lru_cache(maxsize=1)
def _of_libraries() -> frozenset[str]:
    objects: list[object] = [*vars(builtins).values()]
    found = set(dir(builtins)) | MICROPYTHON
    for name in LIBRARIES:
        module = importlib.import_module(name)
        found.update(dir(module))
        objects.extend(vars(module).values())
    for thing in objects:
        if isinstance(thing, type):
            found.update(dir(thing))
    found.update(dir(re.compile("")), dir(re.match("", "")))
    return frozenset(found)


def _imported(trees: Trees) -> set[str]:
    """The modules that the application imports by their names, anywhere."""
    found: set[str] = set()
    for node in (node for tree in trees.values() for node in syntax.walk(tree)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def _rename(tree: ast.Module, names: Mapping[str, str]) -> None:
    for node in syntax.walk(tree):
        for field in _FIELDS[type(node)]:
            if field != "arg":
                value = getattr(node, field)
                if isinstance(value, str):
                    setattr(node, field, names.get(value, value))
        if isinstance(node, ast.Global | ast.Nonlocal):
            node.names = [names.get(name, name) for name in node.names]

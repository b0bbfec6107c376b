"""Takes modules out of their packages, in one application.

On a terminal a package is a folder, of two blocks of flash, and each module of it costs one name
more: "ks_agent.toon" beside "toon". Names take room for as long as the terminal runs, and with
some hundred of them the interpreter doubles what it sets aside for them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Set

from . import naming, rom_names, syntax
from .application import ReleaseError
from .modules import LEFT_OUT, Name, Trees, name_of, source_of

PACKAGES = LEFT_OUT
# Lets go of modules of CORE, which it gets as a tuple of texts; what a package lets go of by
# itself, it keeps as SELDOM.
UNLOAD, CORE = "unload", "ks_agent"
SELDOM = "_SELDOM"
# Modules that MicroPython has on one port or another, beside those that CPython has too.
FOREIGN = frozenset((
    "apa106", "bluetooth", "boot", "btree", "cryptolib", "deflate", "dht", "ds18x20", "esp",
    "esp32", "espnow", "ffi", "flashbdev", "framebuf", "inisetup", "jni", "lwip", "machine", "main",
    "mip", "micropython", "neopixel", "network", "ntptime", "onewire", "openamp", "port_diag",
    "requests", "termios", "tls", "uasyncio", "uctypes", "umqtt", "upip", "urequests", "vfs",
    "webrepl", "webrepl_setup", "websocket", "lib", "stage0", "volumes", "recovery",
))  # fmt: skip


# Which module a text means: (package, name).
Marks = Mapping[ast.expr, Name]


def marks(trees: Trees) -> Marks:
    """The texts that name modules; found only as long as all things still have their names."""
    found: dict[ast.expr, Name] = {}
    passed = {SELDOM: ""}
    for node in (node for tree in trees.values() for node in syntax.walk(tree)):
        if isinstance(node, ast.Call) and _called(node) == UNLOAD:
            for argument in node.args:
                found.update(_texts(argument, CORE))
                if isinstance(argument, ast.Name):
                    passed[argument.id] = CORE
    for path, tree in trees.items():
        for node in tree.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            name = target.id if isinstance(target, ast.Name) else ""
            if isinstance(node, ast.Assign) and name in passed:
                found.update(_texts(node.value, passed[name] or name_of(path)[0]))
    return found


def _called(node: ast.Call) -> str:
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def _texts(node: ast.expr, package: str) -> Marks:
    if not isinstance(node, ast.Tuple):
        return {}
    texts = [element for element in node.elts if isinstance(element, ast.Constant)]
    return {element: (package, str(element.value)) for element in texts}


def flatten(trees: Trees, given: naming.Naming | None = None, marked: Marks | None = None) -> None:
    """Change the trees, which are given by path, in place. Raises ReleaseError where two modules
    would have one name. `marked`: texts that are to name the same modules as before.

    What a package does by itself, it does before any module of its own, as ever.
    """
    given = given or naming.Naming()
    packages = {name_of(path)[0] for path in trees} & set(PACKAGES)
    moved = _moved(trees, packages, given)
    kept = {
        name_of(path)[0]
        for path, tree in trees.items()
        if len(name_of(path)) == 1 and name_of(path)[0] in packages and not _is_empty(tree)
    }
    for path in list(trees):
        tree = trees.pop(path)
        _import_packages(path, tree, kept)
        _Renamer(path, moved, packages).visit(tree)
        _name_again(tree, moved, packages, marked or {})
        name = name_of(path)
        if name in moved:
            trees[moved[name] + ".py"] = tree
        elif name[0] not in packages or len(name) > 1:
            trees[path] = tree
        elif not _is_empty(tree):
            trees[name[0] + ".py"] = tree


def _moved(trees: Trees, packages: Set[str], given: naming.Naming) -> dict[Name, str]:
    """The new name of each module that leaves its package."""
    alone = {name_of(path)[0] for path in trees} - packages
    names = {".".join(name): name for name in map(name_of, trees) if len(name) > 1}
    leaving = [text for text, name in sorted(names.items()) if name[0] in packages]
    foreign = FOREIGN | sys.stdlib_module_names | alone | packages
    free = [name for name in rom_names.NAMES if name.islower() and name not in foreign]
    free.sort(key=lambda name: (len(name), name))  # it is in each path, too
    new = given.give(naming.MODULES, leaving, free)
    own = [names[text][-1] for text in leaving if text not in new]
    clash = {name for name in own if own.count(name) > 1 or name in {*alone, *new.values()}}
    if clash:
        raise ReleaseError(f"two modules have the name {min(clash)}")
    return {names[text]: new.get(text, names[text][-1]) for text in leaving}


def _name_again(
    tree: ast.Module, moved: dict[Name, str], packages: Set[str], marked: Marks
) -> None:
    """What became a part of another module is not named any more."""
    for node in syntax.walk(tree):
        if isinstance(node, ast.Tuple) and marked.keys() & set(node.elts):
            left = []
            for element in node.elts:
                name = marked.get(element)
                if name is None or name[0] not in packages:
                    left.append(element)
                elif name in moved:
                    left.append(ast.Constant(moved[name]))
            node.elts = left


def _is_empty(tree: ast.Module) -> bool:
    return all(isinstance(node, ast.Pass | ast.Expr) for node in tree.body)


def _import_packages(path: str, tree: ast.Module, kept: set[str]) -> None:
    for package in sorted(kept):
        for number, node in enumerate(tree.body):
            if isinstance(node, ast.ImportFrom) and source_of(path, node)[:1] == (package,):
                tree.body.insert(number, ast.Import([ast.alias(package)]))
                break


class _Renamer(syntax.Quick, ast.NodeTransformer):
    """Imports from where things are then."""

    def __init__(self, path: str, moved: dict[Name, str], packages: set[str]) -> None:
        self._path = path
        self._moved = moved
        self._packages = packages

    def visit_Import(self, node: ast.Import) -> ast.Import:
        for alias in node.names:
            name = tuple(alias.name.split("."))
            if name[0] in self._packages:
                if len(name) == 1:
                    continue
                if name not in self._moved or not alias.asname:
                    raise ReleaseError(f"{self._path}: import {alias.name}")
                alias.name = self._moved[name]
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        source = source_of(self._path, node)
        inside = any((*source, alias.name) in self._moved for alias in node.names)
        if source in self._moved and not inside:
            return [ast.ImportFrom(self._moved[source], node.names, 0)]
        if source not in self._moved and (len(source) != 1 or source[0] not in self._packages):
            return [node]
        made: list[ast.stmt] = []
        for alias in node.names:
            whole = self._moved.get((*source, alias.name))
            if whole is None:
                made.append(ast.ImportFrom(self._moved.get(source, source[0]), [alias], 0))
                continue
            asname = alias.asname or alias.name
            made.append(ast.Import([ast.alias(whole, asname if asname != whole else None)]))
        return made

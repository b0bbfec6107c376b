"""Puts the values of constants where they are used, in the modules of one application.

On a terminal the name of a constant is a text in memory, an entry in its module and one more in
each module that imports it. A number of few bits or a short text costs nothing where it is used.
"""

from __future__ import annotations

import ast
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from . import syntax

Value = int | str
Name = tuple[str, ...]
Modules = Mapping[str, ast.Module]
Constants = dict[Name, dict[str, Value]]

SMALL_INT = range(-(2**30), 2**30)  # others are objects, made for each module that has them
# MicroPython keeps one copy of a text up to this length, whoever has it.
INTERNED_CHARACTERS = 10
OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.BitOr: operator.or_,
}


def inline(trees: Modules, entry: str) -> None:
    """Change the trees, which are given by path, in place; that of `entry` stays as it is.

    A constant is a name in capitals with one assignment, which is at a module's top level. The
    assignments stay: whoever leaves out what is not used finds that they are not.
    """
    with syntax.unchanged():
        constants = _resolved(trees)
    read_by_entry = {
        node.attr for node in syntax.walk(trees[entry]) if isinstance(node, ast.Attribute)
    }
    for node in syntax.walk(trees[entry]):
        if isinstance(node, ast.ImportFrom):
            read_by_entry.update(alias.name for alias in node.names)
    for path, tree in trees.items():
        if path != entry:
            _Inliner(path, constants, read_by_entry).visit(tree)


def _resolved(trees: Modules) -> Constants:
    """The constants of each module, its own and those that it imports."""
    found: Constants = {_module(path): {} for path in trees}
    bound = {path: _bound(syntax.walk(tree)) for path, tree in trees.items()}
    while True:
        before = sum(map(len, found.values()))
        for path, tree in trees.items():
            known = found[_module(path)]
            for name, value in _constants(path, tree, found):
                if bound[path][name] == 1 and name.isupper() and _is_cheap(value):
                    known[name] = value
        if sum(map(len, found.values())) == before:
            return found


def _constants(path: str, tree: ast.Module, found: Constants) -> Iterator[tuple[str, Value]]:
    """Every name whose value can be told by now."""
    known = found[_module(path)]
    for node in syntax.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = found.get(_source(path, node), {})
            for alias in node.names:
                if alias.name in source:
                    yield alias.asname or alias.name, source[alias.name]
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            value = _value(statement.value, known)
            if value is not None:
                yield statement.targets[0].id, value


def _source(path: str, node: ast.ImportFrom) -> Name:
    """The module that is imported from."""
    folder = PurePosixPath(path).parts[: -node.level] if node.level else ()
    return (*folder, *(node.module.split(".") if node.module else ()))


def _module(path: str) -> Name:
    """("ks_agent", "toon") of ks_agent/toon.py, ("ks_agent",) of the package's __init__.py."""
    parts = PurePosixPath(path).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def _bound(nodes: Iterable[ast.AST]) -> Counter[str]:
    """How often each name is given a value, anywhere in a module."""
    found: Counter[str] = Counter()
    for node in nodes:
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                found[node.id] += 1
        elif isinstance(node, ast.arg):
            found[node.arg] += 1
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] += 1
        elif isinstance(node, ast.Global | ast.Nonlocal):
            found.update(node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found[node.name] += 1
    return found


def _is_cheap(value: Value) -> bool:
    if isinstance(value, str):
        return len(value) <= INTERNED_CHARACTERS
    return value in SMALL_INT


def _value(node: ast.expr, known: Mapping[str, Value]) -> Value | None:
    """What an expression of constants is worth; None for any other."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) in (int, str) else None  # type: ignore[return-value]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, known)
        return -value if isinstance(value, int) else None
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, known), _value(node.right, known)
        if isinstance(left, int) and isinstance(right, int) and type(node.op) in OPERATIONS:
            return OPERATIONS[type(node.op)](left, right)
    return None


class _Inliner(syntax.Quick, ast.NodeTransformer):
    """Replaces `X`, and `a.X` of a module `a`, and leaves out the imports that this makes idle."""

    def __init__(self, path: str, constants: Constants, kept: set[str]) -> None:
        self._path = path
        self._constants = constants
        self._known = constants[_module(path)]
        self._kept = kept
        self._bound: Counter[str] = Counter()
        self._modules: dict[str, Mapping[str, Value]] = {}

    def visit_Module(self, node: ast.Module) -> ast.Module:
        nodes = syntax.walk(node)
        self._bound = _bound(nodes)
        for statement in nodes:
            if isinstance(statement, ast.ImportFrom):
                self._note_modules(statement)
        self.generic_visit(node)
        return node

    def _note_modules(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            name, whole = alias.asname or alias.name, (*_source(self._path, node), alias.name)
            if whole in self._constants and self._bound[name] == 1:
                self._modules[name] = self._constants[whole]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        source = self._constants.get(_source(self._path, node), {})
        left = []
        for alias in node.names:
            name = alias.asname or alias.name
            if alias.name not in source or name not in self._known or name in self._kept:
                left.append(alias)
        if not left:
            return ast.Pass()
        node.names = left
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self._known:
            return ast.Constant(self._known[node.id])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load):
            value = self._modules.get(node.value.id, {}).get(node.attr)
            if value is not None:
                return ast.Constant(value)
        self.generic_visit(node)
        return node

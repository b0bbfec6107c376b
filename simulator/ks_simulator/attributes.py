"""Gives the attributes of an application names that the interpreter has anyway.

On a terminal each name is a text in memory, but for those in the interpreter's read-only memory.
An attribute may have any name, as long as different ones stay different: objects, not names, tell
what is meant. Renamed is what the application itself sets on objects or defines in classes, where
nothing outside of it can mean it too.
"""

from __future__ import annotations

import ast
import keyword
from collections import Counter
from collections.abc import Iterator, Mapping

from . import naming, rom_names, syntax
from .scopes import own_statements

Trees = Mapping[str, ast.Module]
Function = ast.FunctionDef | ast.AsyncFunctionDef
# What looks for an attribute by a text.
BY_TEXT = frozenset(("getattr", "hasattr", "setattr", "delattr"))
# What the benchmarks look at in a release, besides what names.MICROPYTHON has.
WATCHED = frozenset(("board",))


def rename(trees: Trees, foreign: set[str], given: naming.Naming | None = None) -> None:
    """Rename in place. `foreign`: names that objects from elsewhere may have."""
    given = given or naming.Naming()
    uses = Counter(
        node.attr
        for tree in trees.values()
        for node in syntax.walk(tree)
        if isinstance(node, ast.Attribute)
    )
    ours = {name for tree in trees.values() for name in _defined(tree)}
    there = set(rom_names.NAMES)
    kept = foreign | there | WATCHED
    for tree in trees.values():
        kept.update(_by_text(tree))
        kept.update(_of_modules(tree))
    chosen = sorted(
        (name for name in ours - kept if not name.startswith("_")),
        key=lambda name: (-uses[name], name),
    )
    taken = ours | set(uses) | _read_in_classes(trees) | set(keyword.kwlist)
    free = [name for name in rom_names.NAMES if name not in taken]
    avoided = (naming.FUNCTIONS, naming.PRIVATE)
    names = given.give(naming.ATTRIBUTES, chosen, free, avoided=avoided)
    for tree in trees.values():
        _rename(tree, names)


def is_linked(name: str) -> bool:
    """Whether it is one that `linked` made up: no source can have it."""
    return "." in name


def class_level(node: ast.ClassDef) -> Iterator[ast.AST]:
    """What is run in the scope of the class: all of its body but the bodies of its functions."""
    for part in node.body:
        if isinstance(part, Function):
            yield part
            for inner in (*part.decorator_list, *part.args.defaults, *part.args.kw_defaults):
                if inner is not None:
                    yield from syntax.walk(inner)
        else:
            yield from syntax.walk(part)


def bound_in_class(node: ast.ClassDef) -> set[str]:
    """The names of its attributes."""
    bound = {part.name for part in node.body if isinstance(part, Function | ast.ClassDef)}
    for part in own_statements(node.body):
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            bound.add(part.id)
    return bound


def classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    return (node for node in syntax.walk(tree) if isinstance(node, ast.ClassDef))


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in syntax.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from bound_in_class(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _by_text(tree: ast.Module) -> Iterator[str]:
    for node in syntax.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in BY_TEXT:
            yield from (str(each.value) for each in node.args if isinstance(each, ast.Constant))


def _of_modules(tree: ast.Module) -> Iterator[str]:
    """What is read from modules, imported, or bound where modules have it."""
    modules = set()
    for node in syntax.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules.add(alias.asname or alias.name.partition(".")[0])
                yield from alias.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if not is_linked(alias.name):
                    modules.add(alias.asname or alias.name)
                    yield alias.name
    for node in syntax.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id in modules:
            yield node.attr
    for node in own_statements(tree.body):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, Function | ast.ClassDef):
            yield node.name


def _read_in_classes(trees: Trees) -> set[str]:
    return {
        inner.id
        for tree in trees.values()
        for node in classes(tree)
        for inner in class_level(node)
        if isinstance(inner, ast.Name)
    }


def _rename(tree: ast.Module, names: Mapping[str, str]) -> None:
    """Where attributes are used and where a class binds them."""
    for node in syntax.walk(tree):
        if isinstance(node, ast.Attribute):
            node.attr = names.get(node.attr, node.attr)
        elif isinstance(node, ast.ClassDef):
            bound = bound_in_class(node)
            for inner in class_level(node):
                if isinstance(inner, ast.Name) and inner.id in bound:
                    inner.id = names.get(inner.id, inner.id)
                elif isinstance(inner, Function):
                    inner.name = names.get(inner.name, inner.name)

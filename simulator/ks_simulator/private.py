"""Gives private attributes (`self._name`) the same few names in all classes of an application.

Classes that inherit from each other share theirs. What is read from another object than `self`
has one name in all classes.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from . import naming, rom_names, syntax

PARAMETERS = 7  # `parameters` has no more of these names in all but few functions
# Of `sys.implementation`, and a module.
INTERPRETERS = frozenset({"_build", "_machine", "_mpy", "_thread"})
SHARED = ""  # family of what is read from other objects than `self`
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def shorten(trees: Iterable[ast.Module], given: naming.Naming | None = None) -> None:
    """Rename in place: to `_0`, `_1` ..., and when these are many to what is there anyway."""
    given = given or naming.Naming()
    trees = list(trees)
    short = _short_names(trees)
    classes = [
        node for tree in trees for node in syntax.walk(tree) if isinstance(node, ast.ClassDef)
    ]
    families = _families(classes)
    own: dict[str, Counter[str]] = defaultdict(Counter)
    ours: set[ast.AST] = set()
    within = {each: list(_private(each)) for each in classes}
    for each, found in within.items():
        for node, name in found:
            own[families[each.name]][name] += 1
            ours.add(node)
    shared = {
        node.attr
        for tree in trees
        for node in syntax.walk(tree)
        if isinstance(node, ast.Attribute) and node not in ours and is_private(node.attr)
    }
    everywhere = [*own, SHARED]
    homes = {_key(SHARED, name): everywhere for name in sorted(shared)}
    for family, uses in own.items():
        left = sorted((name for name in uses if name not in shared), key=lambda n: (-uses[n], n))
        homes.update({_key(family, name): [family] for name in left})
    new = given.give(naming.PRIVATE, homes, short, homes=homes.__getitem__)

    def renamed(family: str, name: str) -> str:
        return new[_key(SHARED if name in shared else family, name)]

    changes = [
        (node, renamed(families[each.name], name))
        for each, found in within.items()
        for node, name in found
    ]
    for tree in trees:
        for node in syntax.walk(tree):
            if isinstance(node, ast.Attribute) and node not in ours and is_private(node.attr):
                changes.append((node, renamed(SHARED, node.attr)))
    for node, name in changes:
        for field in ("attr", "name", "id"):
            if hasattr(node, field):
                setattr(node, field, name)


def _key(family: str, name: str) -> str:
    return f"{family}.{name}"


def _short_names(trees: list[ast.Module]) -> list[str]:
    nodes = [node for tree in trees for node in syntax.walk(tree)]
    taken = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    taken |= {node.id for node in nodes if isinstance(node, ast.Name)}
    taken |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    numbers = [f"_{number}" for number in range(len(taken))]
    free = [name for name in rom_names.NAMES if name not in taken]
    return [*numbers[:PARAMETERS], *free, *numbers[PARAMETERS:]]


def is_private(name: str) -> bool:
    """Whether it is ours alone, by its underscore."""
    if name in INTERPRETERS or name.startswith("__"):
        return False
    return name.startswith("_") and name != "_"


def _families(classes: list[ast.ClassDef]) -> dict[str, str]:
    """By class name, that of the eldest ancestor here."""
    parents = {
        each.name: [base.id for base in each.bases if isinstance(base, ast.Name)]
        for each in classes
    }

    def eldest(name: str) -> str:
        here = [base for base in parents[name] if base in parents and base != name]
        return eldest(here[0]) if here else name

    return {name: eldest(name) for name in parents}


def _private(node: ast.ClassDef) -> Iterator[tuple[ast.AST, str]]:
    """Where a class defines a private attribute or method, or uses its own."""
    bound = {
        inner.id
        for part in node.body
        for inner in _within(part)
        if isinstance(part, ast.Assign) and isinstance(inner, ast.Name)
        and isinstance(inner.ctx, ast.Store)
    }  # fmt: skip
    for part in node.body:
        if isinstance(part, Definition) and is_private(part.name):
            yield part, part.name
        if not isinstance(part, Definition):
            for inner in syntax.walk(part):
                if isinstance(inner, ast.Name) and inner.id in bound and is_private(inner.id):
                    yield inner, inner.id
        for inner in _within(part):
            if (
                isinstance(inner, ast.Attribute)
                and isinstance(inner.value, ast.Name)
                and inner.value.id == "self"
                and is_private(inner.attr)
            ):
                yield inner, inner.attr


def _within(node: ast.AST) -> list[ast.AST]:
    """A part of a class without the classes in it."""
    found: list[ast.AST] = []
    left = [node]
    while left:
        each = left.pop()
        if not isinstance(each, ast.ClassDef):
            found.append(each)
            left += syntax.children(each)
    return found

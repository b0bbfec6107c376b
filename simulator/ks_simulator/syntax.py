"""Walks through syntax trees quickly: making a release walks through each some fifty times.

As `ast.walk` and `ast.NodeTransformer` do, but contexts and operators are passed over, which are
half of a tree's nodes: neither names anything.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

# Fields that have a text, a number, contexts or operators, whatever node has them.
_WITHOUT_NODES = frozenset((
    "arg", "asname", "attr", "conversion", "ctx", "id", "is_async", "kind", "level", "module", "op",
    "ops", "simple", "type_comment", "type_ignores",
))  # fmt: skip


class _Fields(dict[type[ast.AST], tuple[str, ...]]):
    """By kind of node, the fields that may have nodes."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        fields = () if kind is ast.Constant else kind._fields
        self[kind] = found = tuple(name for name in fields if name not in _WITHOUT_NODES)
        return found


_FIELDS = _Fields()
_found_below: ContextVar[dict[ast.AST, list[ast.AST]] | None] = ContextVar("below", default=None)


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below one, in the order of its fields."""
    found: list[ast.AST] = []
    for field in _FIELDS[type(node)]:
        value = getattr(node, field, None)
        if isinstance(value, list):
            found += [part for part in value if isinstance(part, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


@contextmanager
def unchanged() -> Iterator[None]:
    """Meanwhile nothing is put into modules or taken out: `walk` goes through each once."""
    token = _found_below.set({})
    try:
        yield
    finally:
        _found_below.reset(token)


def walk(*roots: ast.AST) -> list[ast.AST]:
    """The nodes and all below them, level by level; not to be changed."""
    known = _found_below.get()
    if known is None or len(roots) > 1 or not isinstance(roots[0], ast.Module):
        return _walked(roots)
    found = known.get(roots[0])
    if found is None:
        known[roots[0]] = found = _walked(roots)
    return found


def _walked(roots: tuple[ast.AST, ...]) -> list[ast.AST]:
    found = list(roots)
    for node in found:  # it grows meanwhile
        found += children(node)
    return found


class Quick(ast.NodeTransformer):
    """In front of `ast.NodeTransformer` among the bases of a class: the same, but quicker."""

    _visitors: ClassVar[dict[type[ast.AST], Callable[[Any, Any], Any]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._visitors = {
            getattr(ast, name.removeprefix("visit_")): getattr(cls, name)
            for name in dir(cls)
            if name.startswith("visit_") and not hasattr(ast.NodeTransformer, name)
        }

    def visit(self, node: ast.AST) -> Any:
        visitor = self._visitors.get(type(node))
        return self.generic_visit(node) if visitor is None else visitor(self, node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in _FIELDS[type(node)]:
            value = getattr(node, field, None)
            if isinstance(value, list):
                value[:] = self._visited(value)
            elif isinstance(value, ast.AST):
                made = self.visit(value)
                if made is None:
                    delattr(node, field)
                elif made is not value:
                    setattr(node, field, made)
        return node

    def _visited(self, values: list[Any]) -> list[Any]:
        """What becomes of nodes; anything else stays."""
        found: list[Any] = []
        for value in values:
            made = self.visit(value) if isinstance(value, ast.AST) else value
            if made is None and value is not None:
                continue
            if isinstance(made, list):
                found += made
            else:
                found.append(made)
        return found


class QuickOverStatements(Quick):
    """As Quick, for what looks at no expressions."""

    def visit(self, node: ast.AST) -> Any:
        return node if isinstance(node, ast.expr) else super().visit(node)

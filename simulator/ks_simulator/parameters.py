"""Gives the parameters of functions short names, the same few in all functions of an application.

On a terminal each function keeps the names of its parameters, for calls that use them: those stay.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from itertools import count

from . import scopes, syntax

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
SHORT = 2  # characters; such a name takes no more room than another


def keywords(trees: Iterable[ast.AST]) -> set[str] | None:
    """The names that calls use; None where a call does not tell them (`f(**names)`)."""
    found: set[str] = set()
    for tree in trees:
        for node in syntax.walk(tree):
            if isinstance(node, ast.keyword):
                if node.arg is None:
                    return None
                found.add(node.arg)
    return found


def shorten(tree: ast.AST, kept: set[str]) -> None:
    """Rename in place, but for the names in `kept`."""
    for node in syntax.walk(tree):  # an outer function comes before those within it
        if isinstance(node, Function) and not node.args.kwarg:
            _shorten_one(node, kept)


def shorten_locals(tree: ast.AST) -> None:
    """Rename in place what functions bind for themselves alone, to `v0`, `v1` ... in each.

    Bytecode has no names of these. A global may take the place of each: it must not be hidden.
    """
    for node in syntax.children(tree):
        if isinstance(node, Function):
            _shorten_locals(node)
        else:
            shorten_locals(node)


def _shorten_locals(function: Function) -> None:
    inside = list(syntax.walk(function))
    if any(isinstance(node, ast.ClassDef) for node in inside):
        return  # what it binds are attributes
    fixed = {node.id for node in scopes.names_outside([function])}
    stored: dict[str, None] = {}
    handlers = [node for node in inside if isinstance(node, ast.ExceptHandler) and node.name]
    for node in inside:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stored[node.id] = None
        elif isinstance(node, ast.arg):
            fixed.add(node.arg)
        elif node not in handlers:
            fixed.update(_bound_as_text(node))
    stored.update(dict.fromkeys(str(node.name) for node in handlers))
    taken = fixed | {node.id for node in inside if isinstance(node, ast.Name)}
    free = (name for name in map("v{}".format, count()) if name not in taken)
    names = {name: next(free) for name in stored if name not in fixed}
    for node in inside:
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    for handler in handlers:
        handler.name = names.get(str(handler.name), handler.name)


def _shorten_one(function: Function, kept: set[str]) -> None:
    parameters = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    if function.args.vararg:
        parameters.append(function.args.vararg)
    inside = list(syntax.walk(function))
    if any(isinstance(node, ast.ClassDef) for node in inside):
        return  # what it binds are attributes
    taken = {node.id for node in inside if isinstance(node, ast.Name)}
    taken.update(node.arg for node in inside if isinstance(node, ast.arg))
    fixed = kept | {"self"}
    for node in inside:
        fixed.update(_bound_as_text(node))
    free = (name for name in map("_{}".format, count()) if name not in taken)
    names = {
        parameter.arg: next(free)
        for parameter in parameters
        if parameter.arg not in fixed and len(parameter.arg) > SHORT
    }
    for parameter in parameters:
        parameter.arg = names.get(parameter.arg, parameter.arg)
    renamer = _Renamer(names)
    body = function.body if isinstance(function.body, list) else [function.body]
    for part in body:
        renamer.visit(part)


def _bound_as_text(node: ast.AST) -> Iterable[str]:
    """Names that a node binds otherwise than by a Name."""
    if isinstance(node, ast.Global | ast.Nonlocal):
        return node.names
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    name = getattr(node, "name", None)  # of a function or of a caught exception
    return [name] if isinstance(name, str) else []


class _Renamer(syntax.Quick, ast.NodeTransformer):
    """Renames within a function, except where a function within it has a parameter of that name."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        node.defaults = [self.visit(default) for default in node.defaults]
        node.kw_defaults = [default and self.visit(default) for default in node.kw_defaults]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self._visit_within(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        self._visit_within(node)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        self._visit_within(node)
        return node

    def _visit_within(self, node: Function) -> None:
        self.visit(node.args)
        own = {part.arg for part in syntax.walk(node.args) if isinstance(part, ast.arg)}
        within = _Renamer({old: new for old, new in self._names.items() if old not in own})
        for part in node.body if isinstance(node.body, list) else [node.body]:
            within.visit(part)

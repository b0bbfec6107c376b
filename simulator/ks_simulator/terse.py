"""Empties the explanations that exceptions are raised with: a terminal keeps their codes alone."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from . import syntax


class Terse(syntax.Quick, ast.NodeTransformer):
    """Empties the explanations that exceptions are raised with; a code has no blank in it.

    `raising`: the names of functions and methods that do nothing but raise.
    """

    def __init__(self, raising: set[str]) -> None:
        self._raising = raising

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        if isinstance(node.exc, ast.Call):
            node.exc.args = [_emptied(argument) for argument in node.exc.args]
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in self._raising:
            node.args = [_emptied(argument) for argument in node.args]
        return node


def only_raising(trees: Iterable[ast.Module]) -> set[str]:
    """The names that all functions of that name have which do nothing but raise."""
    found: dict[str, bool] = {}
    for node in (node for tree in trees for node in syntax.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [part for part in node.body if not isinstance(part, ast.Pass)]
            raises = len(body) == 1 and isinstance(body[0], ast.Raise)
            found[node.name] = raises and found.get(node.name, True)
    return {name for name, raises in found.items() if raises}


def _emptied(argument: ast.expr) -> ast.expr:
    if isinstance(argument, ast.JoinedStr | ast.BinOp):
        texts = [part for part in syntax.walk(argument) if isinstance(part, ast.Constant)]
        return ast.Constant("") if any(isinstance(text.value, str) for text in texts) else argument
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return ast.Constant("") if " " in argument.value else argument
    return argument

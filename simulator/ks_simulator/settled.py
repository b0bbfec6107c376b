"""Takes the branches of an application that are known when it is made.

`try: from . import a` with a handler is the module itself where the release has it, and a condition
that compares constants is decided.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Set

from .modules import Name, name_of, source_of

Trees = Mapping[str, ast.Module]


def settle(trees: Trees, present: Set[str]) -> None:
    """Change the modules, which are given by path, in place.

    `present` are the paths, without the ending, of modules that can be imported for certain.
    """
    there = {tuple(path.split("/")) for path in present} | {name_of(path) for path in trees}
    for path, tree in trees.items():
        _Settler(path, there).visit(tree)


class _Settler(ast.NodeTransformer):
    def __init__(self, path: str, there: Set[Name]) -> None:
        self._path = path
        self._there = there

    def visit_Try(self, node: ast.Try) -> ast.Try | list[ast.stmt]:
        self.generic_visit(node)
        imports = [part for part in node.body if isinstance(part, ast.ImportFrom)]
        rest = [part for part in node.body if part not in imports]
        plain = all(isinstance(part, ast.Assign | ast.Pass) for part in rest)
        if imports and plain and not node.finalbody and all(map(self._succeeds, imports)):
            return [*node.body, *node.orelse]
        return node

    def _succeeds(self, node: ast.ImportFrom) -> bool:
        source = source_of(self._path, node)
        if not node.level:
            return False  # of somebody else, perhaps
        return source in self._there and (
            bool(node.module) or all((*source, alias.name) in self._there for alias in node.names)
        )

    def visit_If(self, node: ast.If) -> ast.If | list[ast.stmt]:
        self.generic_visit(node)
        test = node.test
        if not isinstance(test, ast.Compare) or len(test.ops) != 1:
            return node
        left, right = test.left, test.comparators[0]
        if not isinstance(left, ast.Constant) or not isinstance(right, ast.Constant):
            return node
        if not isinstance(test.ops[0], ast.Eq | ast.NotEq):
            return node
        holds = (left.value == right.value) == isinstance(test.ops[0], ast.Eq)
        return (node.body if holds else node.orelse) or [ast.Pass()]

"""Takes the branches of an application that are known when it is made.

`try: from . import a` with a handler is the module itself where the release has it, and a condition
that compares constants is decided. So is what tells MicroPython from CPython: each name that only
one of them needs would take room on the other.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Set
from typing import Final, TypeGuard

from . import syntax
from .modules import Name, name_of, source_of

Trees = Mapping[str, ast.Module]


# What `hasattr` says on MicroPython, its unix port and the ESP32's alike.
_HAS: Final = {
    ("os", "fsync"): False,
    ("os", "chmod"): False,
    ("os", "fchmod"): False,
    ("os", "O_DIRECTORY"): False,
    ("os", "ilistdir"): True,
    ("sys", "dont_write_bytecode"): False,
    ("sys", "print_exception"): True,
}
_NAME: Final = "sys.implementation.name"


def for_micropython(trees: Trees) -> None:
    """Change the modules in place: what is for CPython stays behind."""
    for tree in trees.values():
        facts = _Facts()
        facts.visit(tree)
        if facts.flags:
            facts.visit(tree)


class _Facts(syntax.Quick, ast.NodeTransformer):
    """`flags`: names that a module binds to a fact, once and for all."""

    def __init__(self) -> None:
        self.flags: dict[str, ast.Constant] = {}

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "hasattr" and len(node.args) == 2:
            what, name = node.args
            if isinstance(what, ast.Name) and isinstance(name, ast.Constant):
                found = _HAS.get((what.id, str(name.value)))
                if found is not None:
                    return ast.Constant(found)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        right = node.comparators[0]
        if isinstance(right, ast.Constant) and _is_name_of_interpreter(node.left):
            is_said_equal = isinstance(node.ops[0], ast.Eq)
            return ast.Constant((right.value == "micropython") == is_said_equal)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        self.generic_visit(node)
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id.isupper() and _is_flag(node.value):
            self.flags[target.id] = node.value
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.flags.get(node.id, node) if isinstance(node.ctx, ast.Load) else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and _is_flag(node.operand):
            return ast.Constant(not node.operand.value)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        decisive = isinstance(node.op, ast.Or)
        left = [part for part in node.values if not (_is_flag(part) and part.value != decisive)]
        if any(_is_flag(part) for part in left):
            return ast.Constant(decisive)
        if not left:
            return ast.Constant(not decisive)
        node.values = left
        return node if len(left) > 1 else left[0]

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        if _is_flag(node.test):
            return node.body if node.test.value else node.orelse
        return node

    def visit_If(self, node: ast.If) -> ast.If | list[ast.stmt]:
        self.generic_visit(node)
        if _is_flag(node.test):
            return (node.body if node.test.value else node.orelse) or [ast.Pass()]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        for number, part in enumerate(node.body):
            if isinstance(part, ast.Return):
                rest = node.body[number + 1 :]
                if not any(
                    isinstance(inner, ast.Yield) for each in rest for inner in syntax.walk(each)
                ):
                    del node.body[number + 1 :]  # else it makes the function a generator
                break
        return node


def _is_name_of_interpreter(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == _NAME


def _is_flag(node: ast.expr) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def settle(trees: Trees, present: Set[str]) -> None:
    """Change the modules, which are given by path, in place.

    `present` are the paths, without the ending, of modules that can be imported for certain.
    """
    there = {tuple(path.split("/")) for path in present} | {name_of(path) for path in trees}
    for path, tree in trees.items():
        _Settler(path, there).visit(tree)


class _Settler(syntax.QuickOverStatements, ast.NodeTransformer):
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

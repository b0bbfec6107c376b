"""Which names of a module mean what its top level binds, and how such names are changed."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, get_args

from . import syntax

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Scope = Function | ast.ClassDef | Comprehension
_SCOPES = frozenset((*get_args(Function), ast.ClassDef, *get_args(Comprehension)))
# What an import within a function becomes; new names for its names, and for attributes of modules.
# It is given the names that mean something else in that function, too.
Local = Callable[
    [ast.ImportFrom, Set[str]], tuple[list[ast.stmt], Mapping[str, str], Mapping[str, str]]
]


def bound_outside(tree: ast.Module) -> Counter[str]:
    """How often each name is bound at the top level, or as a global of a function."""
    found = Counter(_bound(tree.body))
    for function in syntax.walk(tree):
        if isinstance(function, Function):
            statements = own_statements(_body(function))
            if declared := _globals(statements):
                stored = Counter(_stored(statements))
                for name in declared:
                    found[name] += stored[name]
    return found


def bound_inside(tree: ast.Module) -> set[str]:
    """What functions, classes and comprehensions bind for themselves."""
    found: set[str] = set()
    for node in syntax.walk(tree):
        if isinstance(node, Scope):
            found |= _own(node)
    return found


def names_outside(roots: Iterable[ast.AST]) -> list[ast.Name]:
    """The names that mean what the top level binds, or what these nodes are in."""
    found: list[ast.Name] = []
    left: list[tuple[ast.AST, Set[str]]] = [(root, frozenset()) for root in roots]
    while left:
        node, hidden = left.pop()
        if isinstance(node, ast.Name):
            if node.id not in hidden:
                found.append(node)
            continue
        inner = hidden
        parts = syntax.children(node)
        if isinstance(node, Scope):
            if isinstance(node, ast.ClassDef):  # what it binds, its methods do not see
                methods = [part for part in node.body if isinstance(part, Function)]
                left += [(part, hidden) for part in methods]
                parts = [part for part in parts if part not in methods]
            inner = hidden | _hidden(node)
        left += [(part, inner) for part in parts]
    return found


def own_statements(body: Iterable[ast.AST]) -> list[ast.AST]:
    """All nodes but those within functions, classes and comprehensions (these themselves are)."""
    found: list[ast.AST] = []
    left = list(body)
    left.reverse()
    while left:
        node = left.pop()
        found.append(node)
        if type(node) in _SCOPES:
            if isinstance(node, Comprehension):
                found += [each for each in syntax.walk(node) if isinstance(each, ast.NamedExpr)]
            continue
        below = syntax.children(node)
        below.reverse()
        left += below
    return found


def _body(function: Function) -> list[ast.AST]:
    return list(function.body) if isinstance(function.body, list) else [function.body]


def _globals(statements: Iterable[ast.AST]) -> set[str]:
    return {name for node in statements if isinstance(node, ast.Global) for name in node.names}


def _stored(statements: Iterable[ast.AST]) -> Iterator[str]:
    for node in statements:
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                yield node.id
        elif isinstance(node, ast.NamedExpr):
            yield node.target.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def _meaning_several(statements: Sequence[ast.AST]) -> set[str]:
    """The names to which a scope gives what it imports, and something else besides."""
    imported: dict[str, set[tuple[int, str | None, str]]] = defaultdict(set)
    times: Counter[str] = Counter()
    for node in statements:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                imported[name].add((node.level, node.module, alias.name))
                times[name] += 1
    stored = Counter(_stored(statements))
    return {
        name for name, sources in imported.items() if len(sources) > 1 or stored[name] > times[name]
    }


def _bound(body: Iterable[ast.AST]) -> list[str]:
    statements = own_statements(body)
    outer = _globals(statements)
    return [name for name in _stored(statements) if name not in outer]


def _own(scope: Scope) -> set[str]:
    """The names that a scope binds for itself."""
    if isinstance(scope, Comprehension):
        targets = syntax.walk(*(generator.target for generator in scope.generators))
        return {node.id for node in targets if isinstance(node, ast.Name)}
    if isinstance(scope, ast.ClassDef):
        return set(_bound(scope.body))
    return _parameters(scope) | set(_bound(_body(scope)))


def _parameters(function: Function) -> set[str]:
    return {node.arg for node in syntax.walk(function.args) if isinstance(node, ast.arg)}


def _hidden(scope: Scope) -> set[str]:
    """The names that mean something else in a scope than outside."""
    if not isinstance(scope, Function):
        return _own(scope)
    statements = own_statements(_body(scope))
    return (_parameters(scope) | set(_stored(statements))) - _globals(statements)


class Renamer(syntax.Quick, ast.NodeTransformer):
    """Changes the names of a module's top level, and what is read from other modules.

    `names`: the new name of each. `modules`: for the name of an imported module and a dot in
    front of an attribute ("toon.encode"), the name that is now used instead of both. `local` says
    the same for an import within a function.
    """

    def __init__(self, names: Mapping[str, str], modules: Mapping[str, str], local: Local) -> None:
        self._names = dict(names)
        self._modules = dict(modules)
        self._local = local
        self._imports: dict[ast.ImportFrom, list[ast.stmt]] = {}
        self._function = False
        self._outside = True

    def _within(self, scope: Scope) -> Renamer:
        hidden = _hidden(scope)
        names = {old: new for old, new in self._names.items() if old not in hidden}
        modules = {
            path: new for path, new in self._modules.items() if path.partition(".")[0] not in hidden
        }
        inner = Renamer(names, modules, self._local)
        inner._outside = False
        inner._function = self._function or isinstance(scope, Function)
        return inner

    def visited(self, body: Iterable[ast.stmt]) -> list[ast.stmt]:
        """The statements as they become."""
        found: list[ast.stmt] = []
        for statement in body:
            made = self.visit(statement)
            found.extend(made if isinstance(made, list) else [made])
        return found

    def _new(self, name: str) -> str:
        return self._names.get(name, name)

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._new(node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name):
            new = self._modules.get(f"{node.value.id}.{node.attr}")
            if new is not None:
                return ast.Name(new, node.ctx)
        self.generic_visit(node)
        return node

    def visit_Global(self, node: ast.Global) -> ast.Global:
        node.names = [self._new(name) for name in node.names]
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.ExceptHandler:
        if node.name:
            node.name = self._new(node.name)
        self.generic_visit(node)
        return node

    def visit_Import(self, node: ast.Import) -> ast.Import:
        if self._outside:
            for alias in node.names:
                name = alias.asname or alias.name
                if self._new(name) != name:
                    alias.asname = self._new(name)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | list[ast.stmt]:
        if self._function:
            return self._imports[node]
        for alias in node.names:
            name = alias.asname or alias.name
            if self._new(name) != name:
                alias.asname = self._new(name)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.name = self._new(node.name)
        node.bases = [self.visit(base) for base in node.bases]
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        # What a method reads is never what its class binds.
        inner = self._within(node)
        for part in node.body:
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                name = part.name
                self.visit(part)
                part.name = name
            else:
                inner.visit(part)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self._visit_function(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        self._visit_function(node)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        self._visit_function(node)
        return node

    def _visit_function(self, node: Function) -> None:
        arguments = node.args
        arguments.defaults = [self.visit(default) for default in arguments.defaults]
        arguments.kw_defaults = [each and self.visit(each) for each in arguments.kw_defaults]
        inner = self._within(node)
        if isinstance(node, ast.Lambda):
            node.body = inner.visit(node.body)
            return
        node.name = self._new(node.name)
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        # First the imports, wherever they are: then the names they bind are known.
        statements = own_statements(node.body)
        several = _meaning_several(statements)
        for part in statements:
            if isinstance(part, ast.ImportFrom):
                inner._imports[part], names, modules = self._local(part, several)
                inner._names.update(names)
                inner._modules.update(modules)
        node.body = inner.visited(node.body)

    def _visit_comprehension(self, node: Comprehension) -> ast.expr:
        first = node.generators[0]
        outer = self.visit(first.iter)
        first.iter = ast.Constant(None)
        inner = self._within(node)
        inner.generic_visit(node)
        first.iter = outer
        return node

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, Comprehension):
            return self._visit_comprehension(node)
        return super().visit(node)

"""Makes one module of those that are always loaded together, in one application.

On a terminal each module takes memory of its own: the module, its dictionary, its path, and each
name that another module imports from it once more. `modules` tells which belong together; the one
that imports all others of them gives its name.

What such a module binds is called by a name that no source can have, "ks_agent.toon.encode", but
for exceptions, which crash reports name: whoever links has to give them others (`names.reuse`).
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set

from . import scopes, syntax
from .modules import Modules, name_of, source_of


def link(trees: dict[str, ast.Module], entry: str, joined: int = 0) -> None:
    """Change the trees, which are given by path, in place; merged ones are left out. `joined`: see
    `modules`."""
    if joined:  # modules of different packages may become one
        for path, tree in trees.items():
            _name_packages(path, tree)
    with syntax.unchanged():
        program = Modules(trees, entry, joined)
        while program.dissolve_cycle():
            pass
        linker = _Linker(program)
    linker.link()


def _name_packages(path: str, tree: ast.Module) -> None:
    """Instead of dots in front."""
    for node in syntax.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            node.module, node.level = ".".join(source_of(path, node)), 0


class _Linker:
    """Gives what the merged modules bind names that are nobody else's, and puts them together."""

    def __init__(self, program: Modules) -> None:
        self._program = program
        self._inside = set().union(*map(scopes.bound_inside, program.trees.values()))
        self._imported = {path: self._imports_of(path) for path in program.trees}
        self._finals = {path: self._named(path) for path in sorted(program.trees)}

    def link(self) -> None:
        program = self._program
        for path, tree in program.trees.items():
            self._rewrite(path, tree)
        for head, members in program.groups.items():
            merged = _merged([program.trees[path] for path in members])
            for path in members:
                del program.trees[path]
            program.trees[head] = merged

    def _imports_of(self, path: str) -> dict[str, tuple[str, str]]:
        """What top-level imports of ours bind once and for all: (path, name) or (path, "")."""
        bound, alone = self._program.bound[path], self._program.alone
        found = {}
        for node in self._program.trees[path].body:
            if isinstance(node, ast.ImportFrom):
                for alias, target, name in self._program.modules(path, node):
                    local = alias.asname or alias.name
                    lasting = not name or self._program.bound[target][name] == 1
                    if bound[local] == 1 and lasting and not (name and path in alone):
                        found[local] = (target, name)
        return found

    def _named(self, path: str) -> dict[str, str]:
        """A name for each that a merged module binds by itself."""
        program = self._program
        if path not in program.head:
            return {}
        imported = self._imported[path]
        tree = program.trees[path]
        plain = {
            alias.name
            for node in tree.body
            if isinstance(node, ast.Import)
            for alias in node.names
            if not alias.asname and "." not in alias.name and program.bound[path][alias.name] == 1
        }
        errors = {
            node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.bases
        }  # only exceptions inherit here
        finals = {}
        for name in program.bound[path]:
            if name in imported or name in plain or name.startswith("__"):
                continue
            if name in errors and self._is_unique(name):
                finals[name] = name
                continue
            finals[name] = ".".join((*name_of(path), name))
        return finals

    def _is_unique(self, name: str) -> bool:
        """Whether one module binds this name, and nothing within it does."""
        users = [
            path
            for path, bound in self._program.bound.items()
            if bound[name] > self._program.taken_over(path)[name]
        ]
        return len(users) == 1 and name not in self._inside

    def _resolved(self, path: str, name: str) -> tuple[str, str]:
        """The module that binds the name by itself, and the name there."""
        while True:
            target, there = self._imported[path].get(name, ("", ""))
            if not target or not there:
                return path, name
            path, name = target, there

    def _rewrite(self, path: str, tree: ast.Module) -> None:
        names = dict(self._finals[path])
        modules: dict[str, str] = {}
        needed: dict[str, set[str]] = defaultdict(set)
        gone: set[str] = set()
        used = _used_attributes(tree)
        for local, (target, name) in self._imported[path].items():
            if name:
                where, there = self._resolved(target, name)
                if there in self._finals[where]:
                    gone.add(local)
                    names[local] = self._finals[where][there]
                    needed[self._home(where)].add(names[local])
            elif target in self._program.head:
                gone.add(local)
                for old, (where, final) in self._attributes(local, target, used).items():
                    modules[old] = final
                    needed[self._home(where)].add(final)
        needed.pop(self._home(path), None)
        self._drop_imports(path, tree, gone)
        tree.body = _Splitter(self, path).visited(tree.body)
        renamer = scopes.Renamer(
            names, modules, lambda node, several: self._local(path, node, several, used)
        )
        tree.body = renamer.visited(tree.body)
        tree.body[:0] = [_import(where, finals) for where, finals in needed.items()]

    def _home(self, path: str) -> str:
        return self._program.head.get(path, path)

    def _attributes(
        self, local: str, target: str, used: Mapping[str, set[str]]
    ) -> dict[str, tuple[str, str]]:
        """For each "module.name" that is used: where that name is now, and what it is there."""
        found = {}
        for attribute in sorted(used[local]):
            where, there = self._resolved(target, attribute)
            if self._program.bound[where][there]:
                found[f"{local}.{attribute}"] = where, self._finals[where].get(there, there)
        return found

    def _drop_imports(self, path: str, tree: ast.Module, gone: set[str]) -> None:
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                ours = {alias for alias, _, _ in self._program.modules(path, node)}
                node.names = [
                    alias
                    for alias in node.names
                    if alias not in ours or (alias.asname or alias.name) not in gone
                ]
        tree.body = [
            node for node in tree.body if not isinstance(node, ast.ImportFrom) or node.names
        ]

    def split(self, path: str, node: ast.ImportFrom) -> list[ast.stmt]:
        """The same names, from where they are now."""
        ours = {alias: (target, name) for alias, target, name in self._program.modules(path, node)}
        kept: list[ast.alias] = []
        made: list[ast.stmt] = []
        for alias in node.names:
            target, name = ours.get(alias, ("", ""))
            where, there = self._resolved(target, name) if name else ("", "")
            final = self._finals[where].get(there) if where else None
            if final is None:
                kept.append(alias)
                continue
            local = alias.asname or alias.name
            if self._home(where) == self._home(path):
                made.append(ast.Assign([ast.Name(local, ast.Store())], ast.Name(final, ast.Load())))
            else:
                imported = _import(self._home(where), [final])
                imported.names[0].asname = local if local != final else None
                made.append(imported)
        if kept:
            node.names = kept
            made.insert(0, node)
        return made

    def _local(
        self, path: str, node: ast.ImportFrom, several: Set[str], used: Mapping[str, set[str]]
    ) -> tuple[list[ast.stmt], dict[str, str], dict[str, str]]:
        """An import within a function takes the new names, which hide nothing there. What the
        function binds in several places (`several`) keeps its own name."""
        names: dict[str, str] = {}
        modules: dict[str, str] = {}
        kept: list[ast.alias] = []
        needed: dict[str, set[str]] = defaultdict(set)
        made: list[ast.stmt] = []
        ours = {alias: (target, name) for alias, target, name in self._program.modules(path, node)}
        for alias in node.names:
            local = alias.asname or alias.name
            target, name = ours.get(alias, ("", ""))
            where, there = self._resolved(target, name) if name else ("", "")
            if local in several:
                made += self.split(path, ast.ImportFrom(node.module, [alias], node.level))
            elif name and there in self._finals[where]:
                names[local] = self._finals[where][there]
                needed[self._home(where)].add(names[local])
            elif not name and target in self._program.head:
                for old, (where, final) in self._attributes(local, target, used).items():
                    modules[old] = final
                    needed[self._home(where)].add(final)
            else:
                kept.append(alias)
        needed.pop(self._home(path), None)
        made += [_import(where, finals) for where, finals in needed.items()]
        if kept:
            node.names = kept
            made.append(node)
        return made or [ast.Pass()], names, modules


class _Splitter(syntax.QuickOverStatements, ast.NodeTransformer):
    """Outside of functions: what is still imported comes from where it is now."""

    def __init__(self, linker: _Linker, path: str) -> None:
        self._linker = linker
        self._path = path

    def visited(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return list(self.visit(ast.Module(body, [])).body)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        return self._linker.split(self._path, node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        return node


def _import(path: str, finals: Iterable[str]) -> ast.ImportFrom:
    names = [ast.alias(name) for name in sorted(finals)]
    return ast.ImportFrom(".".join(name_of(path)), names, 0)


def _used_attributes(tree: ast.Module) -> dict[str, set[str]]:
    used: dict[str, set[str]] = defaultdict(set)
    for node in syntax.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used[node.value.id].add(node.attr)
    return used


def _merged(trees: list[ast.Module]) -> ast.Module:
    """One after the other, with equal imports only once and in front."""
    imports: dict[str, ast.stmt] = {}
    body: list[ast.stmt] = []
    taken: dict[str, ast.ImportFrom] = {}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and not node.level and node.module in taken:
                known = {(alias.name, alias.asname) for alias in taken[node.module].names}
                more = [each for each in node.names if (each.name, each.asname) not in known]
                taken[node.module].names.extend(more)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                imports.setdefault(ast.unparse(node), node)
                if isinstance(node, ast.ImportFrom) and not node.level:
                    taken[str(node.module)] = node
            elif not _is_all(node):
                body.append(node)
    return ast.Module([*imports.values(), *body], [])


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"

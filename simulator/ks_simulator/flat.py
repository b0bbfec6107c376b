"""Takes modules out of their packages, in one application.

On a terminal a package is a folder, of two blocks of flash, and each module of it costs one name
more: "ks_agent.toon" beside "toon". Names take room for as long as the terminal runs, and with
some hundred of them the interpreter doubles what it sets aside for them.
"""

from __future__ import annotations

import ast

from .application import ReleaseError
from .modules import Name, Trees, name_of, source_of

# ks_crypto stays: its native code is compiled apart, and knows where it lies.
PACKAGES = ("ks_agent", "ks_driver", "ks_board")


def flatten(trees: Trees) -> None:
    """Change the trees, which are given by path, in place. Raises ReleaseError where two modules
    would have one name.

    What a package does by itself, it does before any module of its own, as ever.
    """
    packages = {name_of(path)[0] for path in trees} & set(PACKAGES)
    moved: dict[Name, str] = {}
    for path in trees:
        name = name_of(path)
        if len(name) == 2 and name[0] in packages:
            moved[name] = name[1]
    taken = [*moved.values(), *(name_of(path)[0] for path in trees if len(name_of(path)) == 1)]
    twice = {name for name in taken if taken.count(name) > 1}
    if twice:
        raise ReleaseError(f"two modules have the name {min(twice)}")
    kept = {
        name_of(path)[0]
        for path, tree in trees.items()
        if len(name_of(path)) == 1 and name_of(path)[0] in packages and not _is_empty(tree)
    }
    for path in list(trees):
        tree = trees.pop(path)
        _import_packages(path, tree, kept)
        _Renamer(path, moved, packages).visit(tree)
        name = name_of(path)
        if name in moved:
            trees[moved[name] + ".py"] = tree
        elif name[0] not in packages or len(name) > 1:
            trees[path] = tree
        elif not _is_empty(tree):
            trees[name[0] + ".py"] = tree


def _is_empty(tree: ast.Module) -> bool:
    return all(isinstance(node, ast.Pass | ast.Expr) for node in tree.body)


def _import_packages(path: str, tree: ast.Module, kept: set[str]) -> None:
    for package in sorted(kept):
        for number, node in enumerate(tree.body):
            if isinstance(node, ast.ImportFrom) and source_of(path, node)[:1] == (package,):
                tree.body.insert(number, ast.Import([ast.alias(package)]))
                break


class _Renamer(ast.NodeTransformer):
    """Imports from where things are then."""

    def __init__(self, path: str, moved: dict[Name, str], packages: set[str]) -> None:
        self._path = path
        self._moved = moved
        self._packages = packages

    def visit_Import(self, node: ast.Import) -> ast.Import:
        for alias in node.names:
            name = tuple(alias.name.split("."))
            if name[0] in self._packages:
                if len(name) == 1:
                    continue
                if name not in self._moved or not alias.asname:
                    raise ReleaseError(f"{self._path}: import {alias.name}")
                alias.name = self._moved[name]
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        source = source_of(self._path, node)
        if source in self._moved:
            return [ast.ImportFrom(self._moved[source], node.names, 0)]
        if len(source) != 1 or source[0] not in self._packages:
            return [node]
        made: list[ast.stmt] = []
        for alias in node.names:
            whole = self._moved.get((*source, alias.name))
            if whole is None:
                made.append(ast.ImportFrom(source[0], [alias], 0))
                continue
            asname = alias.asname or alias.name
            made.append(ast.Import([ast.alias(whole, asname if asname != whole else None)]))
        return made

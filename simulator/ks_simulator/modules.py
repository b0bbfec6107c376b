"""Which modules of one application load which others, and which are always loaded together.

Modules of one package belong together where the same things load them: the entry, at its start, or
the same imports within functions. What is imported under a condition counts as imported within a
function.

Where the flash has room for few files only, two things more: what the entry imports within
functions are the lives it may lead, and what the same lives load at their start belongs together,
whatever its package; and a module of fewer than `joined` characters counts as loaded by what
imports it anywhere, or goes with what is loaded wherever it is.

A module that is used as a value, changed from outside, or that looks at its own name, is for
itself.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from . import scopes, syntax

Trees = dict[str, ast.Module]
Name = tuple[str, ...]
Together = dict[tuple[str, frozenset[str]], list[str]]  # by package, and by what loads them first
OWN_NAME = frozenset(("__name__", "__file__", "__path__", "__import__", "globals"))
INIT = "__init__"
# Packages that `flat` leaves out. ks_crypto stays: its native code is compiled apart, and knows
# where it lies.
LEFT_OUT = ("ks_agent", "ks_driver", "ks_board")
OF_A_PACKAGE = 2  # parts of a name; of what lies deeper only some is ever loaded


def source_of(path: str, node: ast.ImportFrom) -> Name:
    """The module that is imported from."""
    folder = PurePosixPath(path).parts[: -node.level] if node.level else ()
    return (*folder, *(node.module.split(".") if node.module else ()))


def name_of(path: str) -> Name:
    """("ks_agent", "toon") of ks_agent/toon.py, ("ks_agent",) of the package's __init__.py."""
    parts = PurePosixPath(path).with_suffix("").parts
    return parts[:-1] if parts[-1] == INIT else parts


def _is_shorter(tree: ast.Module, characters: int) -> bool:
    return characters > 0 and len(ast.unparse(tree)) < characters


class Modules:
    """The modules by path.

    `alone`: those that stay as they are. `eager`: what each imports at its start. `groups`: which
    are to be one, by the path of the one that imports the others; `head` has that path for each.
    """

    def __init__(self, trees: Trees, entry: str, joined: int = 0) -> None:
        self.trees = trees
        self._few = joined > 0
        self._small = {
            path
            for path, tree in trees.items()
            if len(name_of(path)) <= OF_A_PACKAGE and _is_shorter(tree, joined)
        }
        self.entry = entry
        self.paths = {name_of(path): path for path in trees}
        self.bound = {path: scopes.bound_outside(tree) for path, tree in trees.items()}
        self.alone = {path for path in trees if path == entry or path.endswith(INIT + ".py")}
        self.eager: dict[str, list[str]] = {path: [] for path in trees}
        self.roots = {entry}
        self._late: dict[str, set[str]] = defaultdict(set)  # who imports a root within functions
        self.lives: set[str] = set()  # what the entry imports within functions: it goes on there
        for path in trees:
            self._read(path)
        self._group()

    def modules(self, path: str, node: ast.ImportFrom) -> Iterator[tuple[ast.alias, str, str]]:
        """(alias, path, name in it, "" for the module itself) of what is ours."""
        source = source_of(path, node)
        for alias in node.names:
            whole = self.paths.get((*source, alias.name))
            if whole is not None:
                yield alias, whole, ""
            elif source in self.paths:
                yield alias, self.paths[source], alias.name

    def taken_over(self, path: str) -> Counter[str]:
        """How often top-level imports of ours bind each name to its namesake."""
        return Counter(
            alias.name
            for node in self.trees[path].body
            if isinstance(node, ast.ImportFrom)
            for alias, _, name in self.modules(path, node)
            if name and alias.asname in (None, name)
        )

    def _read(self, path: str) -> None:
        tree = self.trees[path]
        at_once = {node for node in tree.body if isinstance(node, ast.ImportFrom)}
        nodes = syntax.walk(tree)
        for node in nodes:
            if isinstance(node, ast.Name):
                if node.id in OWN_NAME:
                    self.alone.add(path)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self._read_plain(path, alias, node in tree.body)
            elif isinstance(node, ast.Constant) and (str(node.value),) in self.paths:
                self._keep_mentioned(self.paths[(str(node.value),)])
            elif isinstance(node, ast.ImportFrom):
                for _, target, _ in self.modules(path, node):
                    if node in at_once or (target in self._small and path != self.entry):
                        self.eager[path].append(target)
                        continue
                    self.roots.add(target)
                    self._late[target].add(path)
                    if path == self.entry and self._few:
                        self.lives.add(target)
        self._keep_values(path, tree.body)
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._keep_values(path, node.body)

    def _read_plain(self, path: str, alias: ast.alias, at_once: bool) -> None:
        """`import a.b` gives whole modules."""
        parts = tuple(alias.name.split("."))
        for end in range(1, len(parts) + 1):
            target = self.paths.get(parts[:end])
            if target is not None:
                self.alone.add(target)
                if at_once:
                    self.eager[path].append(target)
                else:
                    self.roots.add(target)

    def _keep_mentioned(self, target: str) -> None:
        """A text may be the argument of `__import__`."""
        if target != self.entry:
            self.alone.add(target)
            self.roots.add(target)

    def _keep_values(self, path: str, body: list[ast.stmt]) -> None:
        """A module may only stand before a dot, and what comes after it never change."""
        aliases = {
            alias.asname or alias.name: target
            for node in scopes.own_statements(body)
            if isinstance(node, ast.ImportFrom)
            for alias, target, name in self.modules(path, node)
            if not name
        }
        if not aliases:
            return
        read = {
            node.value: node.attr
            for statement in body
            for node in syntax.walk(statement)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        }
        for node in scopes.names_outside(body):
            if node.id in aliases and not self._is_lasting(aliases[node.id], read.get(node)):
                self.alone.add(aliases[node.id])

    def _is_lasting(self, path: str, name: str | None) -> bool:
        """Whether a module has a name that never changes its value."""
        return name is not None and self.bound[path][name] == 1

    def _group(self) -> None:
        reached: dict[str, set[str]] = {path: set() for path in self.trees}
        for root in sorted(self.roots):
            for path in self._closure(root):
                reached[path].add(root)
        before = self._before(reached) if self._few else {}
        together: Together = defaultdict(list)
        for path in self._ordered():
            if path not in self.alone:
                by = {self.entry} & reached[path] or reached[path]
                by = {root for root in by if path not in before.get(root, ())}
                together[self._package(path), frozenset(by)].append(path)
        if self._few:
            self._put_small_ones_elsewhere(together)
        self.groups = {members[-1]: members for members in together.values()}
        self.head = {path: head for head, members in self.groups.items() for path in members}

    def _put_small_ones_elsewhere(self, together: Together) -> None:
        """A small module goes with others that are loaded wherever it is, and load what it does."""
        order = {path: number for number, path in enumerate(self._ordered())}
        for key, members in sorted(together.items(), key=lambda item: order[item[1][0]]):
            if len(members) > 1 or members[0] not in self._small:
                continue
            wanted = self._closure(members[0]) - {*members, *self.alone}
            others = [
                (len(roots), order[found[-1]], (package, roots))
                for (package, roots), found in together.items()
                if package == key[0]
                and (package, roots) != key
                and (key[1] <= roots or self.entry in roots)
                and wanted <= set().union(*map(self._closure, found))
            ]
            if others:
                home = min(others)[-1]
                together[home] = sorted(together[home] + together.pop(key), key=order.__getitem__)

    def _before(self, reached: Mapping[str, set[str]]) -> dict[str, set[str]]:
        """What is loaded for good before a root may be: then it is not the first to load it.

        What is loaded late, but by the entry, may be let go of again, and does not count.
        """
        lasting = self.lives | {self.entry}
        loads = {root: self._closure(root) for root in lasting}
        before = {root: set(self.trees) for root in self.roots if self._late[root]}

        def surely(importer: str) -> set[str]:
            found = set(self.trees)
            for root in reached[importer]:
                found &= before.get(root, set()) | loads.get(root, set())
            return found | self._closure(importer) if reached[importer] & lasting else found

        changed = True
        while changed:
            changed = False
            for root, known in before.items():
                found = set.intersection(*map(surely, self._late[root]))
                if found != known:
                    before[root] = found
                    changed = True
        return before

    def _package(self, path: str) -> str:
        """What belongs to packages that are left out may become one module across them."""
        package = str(PurePosixPath(path).parent)
        return "" if self._few and package in LEFT_OUT else package

    def _closure(self, root: str) -> set[str]:
        found, left = set(), [root]
        while left:
            path = left.pop()
            if path not in found:
                found.add(path)
                left.extend(self.eager[path])
        return found

    def _ordered(self) -> list[str]:
        """In the order in which importing everything runs them."""
        order: dict[str, None] = {}
        begun: set[str] = set()

        def visit(path: str) -> None:
            if path not in begun:
                begun.add(path)
                for other in self.eager[path]:
                    visit(other)
                order[path] = None

        for path in (self.entry, *sorted(self.trees)):
            visit(path)
        return list(order)

    def dissolve_cycle(self) -> bool:
        """Leave the modules of one group as they are that would have to be loaded before itself."""
        after = defaultdict(set)
        for path, others in self.eager.items():
            for other in others:
                here, there = self.head.get(path, path), self.head.get(other, other)
                if here != there:
                    after[here].add(there)
        for head, members in self.groups.items():
            found, left = set(), list(after[head])
            while left:
                each = left.pop()
                if each not in found:
                    found.add(each)
                    left.extend(after[each])
            if head in found:
                self.alone.update(members)
                self._group()
                return True
        return False

"""An application as bytecode: what a terminal with a small heap installs.

Source has to be compiled on the terminal, which takes more memory than running it: mpy-cross does
it here. Every function, text and name takes room on the terminal, so what is not needed stays
behind: what nothing in the release names, the names of constants, the explanations in exceptions
(their codes tell the cause, and docs/protocol.md what a code means), the names of parameters,
of functions, of classes that are no exceptions and of attributes, and what is private to a module.
Modules that are always loaded together become one, and packages are left out.

With an architecture, the terminal's processor does Ed25519 and SHA-512 by native code
(`ks_viper`), and what does them in plain Python stays behind: such a release starts on this
architecture alone.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ks_viper import base, build, package

from . import (
    attributes,
    constants,
    flat,
    linked,
    names,
    naming,
    parameters,
    private,
    scopes,
    settled,
    syntax,
    terse,
    tracing,
)  # fmt: skip
from .application import ENTRY, ReleaseError

# Only the server, or only CPython, reads these.
NOT_ON_A_TERMINAL = (
    "ks_agent/schema.py", "ks_crypto/sodium.py", "ks_crypto/sha512_builtin.py",
    "ks_driver/link_transport.py",
)  # fmt: skip
# Of the crypto, a terminal needs the modules of the one engine that it has.
NATIVE_ENGINE = "ks_crypto/viper"
PLAIN_ENGINE = ("ks_crypto/bigint", "ks_crypto/sha512_words")
ARCHITECTURES = tuple(build.WORD_BITS)
NUMBERED = re.compile("_[0-9]+")  # the name of a private attribute
ONE_BYTE = 122  # of 128 texts; some come before all others
# More are faster, but the small heap has no room for them.
TABLES = 1


@dataclass(frozen=True)
class Compiled:
    """An application as bytecode, and what things are called in it.

    `names`: by table of `naming`, the new name of each old one. `code`: by module as crash reports
    name it, then by function, where it comes from ("ks_agent/toon.py:12 encode"); functions of one
    name in one module cannot be told apart.
    """

    files: dict[str, bytes]
    names: dict[str, dict[str, str]]
    code: dict[str, dict[str, list[str]]]


def compiled(
    files: Mapping[str, bytes],
    entry: str = ENTRY,
    architecture: str = "",
    tables: int = TABLES,
    joined: int = 0,
) -> dict[str, bytes]:
    """The files of `compiled_with_names`."""
    return compiled_with_names(files, entry, architecture, tables, joined=joined).files


def compiled_with_names(
    files: Mapping[str, bytes],
    entry: str = ENTRY,
    architecture: str = "",
    tables: int = TABLES,
    like: Mapping[str, Mapping[str, str]] | None = None,
    joined: int = 0,
) -> Compiled:
    """The files with all Python modules but the entry merged and compiled for MicroPython.

    The entry stays source, which imports from where things are then.

    `architecture` is one of ARCHITECTURES, or "" for any and no native code; `tables` is 1, 2 or
    4; `like` are the names of another release, which are kept where they can be; what is loaded
    late and is shorter than `joined` characters becomes part of what loads it. Raises
    ReleaseError for what does not compile, and for any complaint of the compiler: versions before
    1.26 say that the code is bad and succeed all the same.
    """
    if architecture:
        _check_native(architecture, tables)
    made = {path: content for path, content in files.items() if not path.endswith(".py")}
    trees = {
        path: _parsed(path, content)
        for path, content in sorted(files.items())
        if path.endswith(".py") and _is_needed(path, architecture)
    }
    natives = {f"{package.NAME}/{part}" for part in build.PARTS} if architecture else set()
    given = naming.Naming(like)
    origins = {path: tracing.origins(path, tree) for path, tree in trees.items()}
    _reduce(trees, entry, natives, given, joined)
    for path, tree in trees.items():
        if path == entry:
            made[path] = (ast.unparse(tree) + "\n").encode()
        else:
            made[path[: -len(".py")] + ".mpy"] = _compile(path, tree)
    if architecture:
        made = with_native_code(made, architecture, tables)
    return Compiled(made, given.given, tracing.code(trees, entry, origins))


def _reduce(
    trees: dict[str, ast.Module],
    entry: str,
    natives: set[str],
    given: naming.Naming,
    joined: int,
) -> None:
    """Change the modules, which are given by path, to fewer that do the same in less memory.

    `natives`: the paths of the modules that are there besides, without the ending.
    """
    modules = flat.marks(trees)
    for tree in trees.values():
        _Silent().visit(tree)
    settled.for_micropython(trees)
    if natives:
        settled.settle(trees, natives)
    constants.inline(trees, entry)
    if natives:
        settled.settle(trees, natives)
    _leave_out_unused(trees, entry)
    linked.link(trees, entry, joined)
    with syntax.unchanged():
        attributes.rename(trees, names.of_libraries(trees), given)
        names.shorten(trees, entry, given)
        private.shorten((tree for path, tree in trees.items() if path != entry), given)
        named = parameters.keywords(trees.values())
        raising = terse.only_raising(trees.values())
    for path, tree in trees.items():
        if path != entry:
            terse.Terse(raising).visit(tree)
            _shorten(tree, named)
            parameters.shorten_locals(tree)
    names.reuse(trees, given)
    flat.flatten(trees, given, modules)
    for tree in trees.values():
        ast.fix_missing_locations(tree)


def with_native_code(
    files: Mapping[str, bytes], architecture: str, tables: int = TABLES
) -> dict[str, bytes]:
    """The files and the native code of `ks_crypto`, which another architecture passes over.

    Raises ReleaseError, also when `ks_crypto` is not among the files.
    """
    _check_native(architecture, tables)
    if not any(path.startswith("ks_crypto/") for path in files):
        raise ReleaseError("the files have no ks_crypto that native code would be for")
    try:
        build.check_compiler()
        return {**files, **package.native_files(architecture, tables)}
    except build.CompileError as error:
        raise ReleaseError(str(error)) from None


def _check_native(architecture: str, tables: int) -> None:
    if architecture not in ARCHITECTURES:
        raise ReleaseError(f"no architecture {architecture!r}: one of {', '.join(ARCHITECTURES)}")
    if tables not in base.SIZES:
        raise ReleaseError(f"{tables} tables: one of {', '.join(map(str, base.SIZES))}")


def _is_needed(path: str, architecture: str) -> bool:
    if path in NOT_ON_A_TERMINAL:
        return False
    return not path.startswith(PLAIN_ENGINE if architecture else NATIVE_ENGINE)


def _parsed(path: str, content: bytes) -> ast.Module:
    try:
        return ast.parse(content)
    except SyntaxError as error:
        raise ReleaseError(f"{path}: {error.msg}, line {error.lineno}") from error


def _leave_out_unused(trees: Mapping[str, ast.Module], entry: str) -> None:
    """Drop functions, methods, classes and constants that nothing names, until all are named."""
    used = {path: _names_used(tree) for path, tree in trees.items()}
    changed = True
    while changed:
        changed = False
        by_any = set().union(*used.values())
        for path, tree in trees.items():
            if path != entry:
                dropper = _Dropper(by_any)
                dropper.visit(tree)
                if dropper.dropped:
                    used[path] = _names_used(tree)
                    changed = True


def _names_used(tree: ast.Module) -> set[str]:
    used: set[str] = set()
    for node in syntax.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            used.add(node.id)
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Store):
            used.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            used.update(alias.name for alias in node.names)
    return used


class _Dropper(syntax.Quick, ast.NodeTransformer):
    """Removes definitions outside functions whose names are not used."""

    def __init__(self, used: set[str]) -> None:
        self._used = used
        self.dropped = False

    def _keeps(self, name: str) -> bool:
        kept = name in self._used or name.startswith("__")
        self.dropped = self.dropped or not kept
        return kept

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef | None:
        return node if self._keeps(node.name) else None

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef | None:
        return node if self._keeps(node.name) else None

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef | None:
        if not self._keeps(node.name):
            return None
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
        target = node.targets[0]
        constant = not any(isinstance(part, ast.Call) for part in syntax.walk(node.value))
        if isinstance(target, ast.Name) and constant and not self._keeps(target.id):
            return None
        return node


def _shorten(tree: ast.Module, named: set[str] | None) -> None:
    """`named` are the parameters that calls name; None if nobody knows."""
    _Short().visit(tree)
    if named is not None:
        parameters.shorten(tree, named)


def _compile(path: str, tree: ast.Module) -> bytes:
    try:
        # The source's name is kept on the terminal: its last part is a word that is there anyway.
        text = _frequent_first(tree) + ast.unparse(tree)
        return bytes(build.bytecode(text, PurePosixPath(path).stem))
    except build.CompileError as error:
        raise ReleaseError(f"{path} does not compile: {error}") from error


def _frequent_first(tree: ast.Module) -> str:
    """A statement that does nothing, and names first what the module uses most.

    Bytecode numbers the texts of a module as they come, and the first 128 in one byte.
    """
    uses = Counter(node.id for node in scopes.names_outside(tree.body))  # locals have no texts
    for node in syntax.walk(tree):
        if isinstance(node, ast.Attribute):
            uses[node.attr] += 1
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            short = len(node.value) <= constants.INTERNED_CHARACTERS
            if short and node.value.isidentifier() and not keyword.iskeyword(node.value):
                uses[node.value] += 1
    if len(uses) <= ONE_BYTE:
        return ""
    often = sorted(uses, key=lambda name: (-uses[name], name))[:ONE_BYTE]
    return "__name__ or __name__." + ".".join(often) + "\n"


class _Silent(syntax.QuickOverStatements, ast.NodeTransformer):
    """Leaves out what is said to readers."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | ast.Pass:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return ast.Pass() if is_text else node


class _Short(syntax.Quick, ast.NodeTransformer):
    """Renames what is private to one module, `_name`, to `_0`, `_1` ...: the same few in all."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def _short(self, name: str) -> str:
        if not private.is_private(name) or NUMBERED.fullmatch(name):
            return name
        return self._names.setdefault(name, f"_{len(self._names)}")

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in ("id", "name", "arg"):
            if isinstance(getattr(node, field, None), str):
                setattr(node, field, self._short(getattr(node, field)))
        if isinstance(node, ast.Global | ast.Nonlocal):
            node.names = [self._short(name) for name in node.names]
        return node

"""Where the functions of a release come from, so that crash reports can be read in the sources.

Bytecode has no line numbers, and short names for functions and modules.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from . import naming, syntax

Function = ast.FunctionDef | ast.AsyncFunctionDef
Origins = Mapping[ast.AST, str]
# By module as crash reports name it, then by function: "ks_agent/toon.py:12 encode".
Code = Mapping[str, Mapping[str, list[str]]]
MODULE = "<module>"
# As MicroPython prints a line of a trace; in a message, quotes have a backslash in front.
_FRAME = re.compile(
    r'File (?P<quote>\\?")(?P<path>[^"\\\n]{1,256})\\?", '
    r"line [0-9]{1,9}, in (?P<name>[\w<>]{1,128})"
)
_MISSING = re.compile(
    r"(?P<what>has no attribute|\bname|\bimport name) (?P<quote>\\?')(?P<name>\w{1,64})(?P=quote)"
)
ATTRIBUTES = (naming.ATTRIBUTES, naming.FUNCTIONS, naming.PRIVATE)
MOST = 4


def origins(path: str, tree: ast.Module) -> dict[ast.AST, str]:
    """Of each function in a module that is still as it was written."""
    return {node: f"{path}:{node.lineno} {name}" for node, name in _functions(tree, ())}


def _functions(node: ast.AST, outer: tuple[str, ...]) -> Iterator[tuple[Function, str]]:
    for child in syntax.children(node):
        if isinstance(child, ast.expr):
            continue  # has none
        inner = outer
        if isinstance(child, Function | ast.ClassDef):
            inner = (*outer, child.name)
            if isinstance(child, Function):
                yield child, ".".join(inner)
        yield from _functions(child, inner)


def code(
    trees: Mapping[str, ast.Module], entry: str, found: Mapping[str, Origins]
) -> dict[str, dict[str, list[str]]]:
    """The functions of the modules as they are compiled; the entry's keep their names."""
    known = {node: origin for each in found.values() for node, origin in each.items()}
    made: dict[str, dict[str, list[str]]] = {}
    for path, tree in trees.items():
        if path == entry:
            continue
        functions: dict[str, set[str]] = defaultdict(set)
        for node in syntax.walk(tree):
            if isinstance(node, Function) and node in known:
                functions[node.name].add(known[node])
                functions[MODULE].add(known[node].partition(":")[0])
        here = made.setdefault(PurePosixPath(path).stem, {})
        for name, places in sorted(functions.items()):
            here[name] = sorted({*here.get(name, ()), *places})
    return made


def readable(text: str, code: Code, names: Mapping[str, naming.Table]) -> str:
    """A crash report with the names of the sources, as far as they can be told.

    The line is that where the function begins. Where more than one thing can be meant, all are
    named, but of attributes and globals no more than MOST.
    """

    def frame(match: re.Match[str]) -> str:
        places = code.get(PurePosixPath(match["path"]).stem, {}).get(match["name"], [])
        return " or ".join(_place(place, match) for place in places) or match[0]

    def missing(match: re.Match[str]) -> str:
        tables = ATTRIBUTES if match["what"].endswith("attribute") else (naming.GLOBALS,)
        return _told(match, tables, names)

    return _MISSING.sub(missing, _FRAME.sub(frame, text))


def _place(place: str, match: re.Match[str]) -> str:
    quote = match["quote"]
    where, _, function = place.partition(" ")
    path, _, line = where.partition(":")
    if not function:
        return f"File {quote}{path}{quote}, in {match['name']}"
    return f"File {quote}{path}{quote}, line {line}, in {function}"


def _told(match: re.Match[str], tables: Iterable[str], names: Mapping[str, naming.Table]) -> str:
    found = sorted(
        old for table in tables for old, new in names[table].items() if new == match["name"]
    )
    return f"{match[0]} ({' or '.join(found)})" if 0 < len(found) <= MOST else match[0]

"""The map of names that is written beside a compiled release.

Bytecode has short names, which are given over the whole release. The next release keeps them, so
that a small change stays a small download, and crash reports are read with them. The release
itself does without the map: no terminal ever sees it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ks_simulator.application import Release
from ks_simulator.compiled import Compiled
from ks_simulator.naming import TABLES

from .console import ToolError

ENDING = ".names.json"
FORM = "ks-names-1"
MAX_BYTES = 4 * 1024 * 1024
MAX_ENTRIES = 20_000  # of one table
MAX_CHARACTERS = 300
NEW_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
MEMBERS = {"form", "fw1", "manifest", "names", "code"}


@dataclass(frozen=True)
class Names:
    """The map of the release `fw1` whose manifest has the hash `manifest`.

    `names` and `code` are `Compiled`'s.
    """

    fw1: str
    manifest: str
    names: Mapping[str, Mapping[str, str]]
    code: Mapping[str, Mapping[str, list[str]]]

    def encode(self) -> bytes:
        """The file: the same bytes for the same names."""
        content = {
            "form": FORM,
            "fw1": self.fw1,
            "manifest": self.manifest,
            "names": self.names,
            "code": self.code,
        }
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode("ascii")


def beside(folder: Path) -> Path:
    """Where the map of the release in this folder, or of the bundle in this file, lies."""
    if folder.name in ("", ".."):
        folder = folder.resolve()
    return folder.with_name(folder.name.removesuffix(".bundle") + ENDING)


def write(folder: Path, release: Release, made: Compiled) -> Path:
    """Write the map beside the release's folder; returns where."""
    target = beside(folder)
    names = Names(release.token("FW1"), release.manifest_hash, made.names, made.code)
    target.write_bytes(names.encode())
    return target


def read(path: Path) -> Names:
    """Raises ToolError for what is no such map."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ToolError(f"{path}: more than {MAX_BYTES} bytes are no map of names")
    try:
        return _parsed(json.loads(data))
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, _Unfit) else "not JSON"
        raise ToolError(f"{path} is no map of a release's names: {why}") from None


def of_release(path: Path) -> Names:
    """The map at this path, or the one beside the release's folder or bundle at this path.

    Raises ToolError, also when the map beside is another release's.
    """
    from .release import open_release

    if path.is_file() and path.name.endswith(".json"):
        return read(path)
    release = open_release(path)
    there = beside(path)
    if not there.is_file():
        raise ToolError(
            f"{there} is missing: `ks release build --bytecode` writes it beside the release"
        )
    names = read(there)
    if names.manifest != release.manifest_hash:
        raise ToolError(f"{there} is the map of {names.fw1}, and not of this build of {path}")
    return names


class _Unfit(ValueError):
    """Says what is wrong with a map."""


def _parsed(content: Any) -> Names:
    if not isinstance(content, dict) or content.get("form") != FORM:
        raise _Unfit(f"it does not begin with the form {FORM}")
    if set(content) != MEMBERS:
        raise _Unfit(f"it has other members than {', '.join(sorted(MEMBERS))}")
    for member in ("fw1", "manifest"):
        if not _is_text(content[member]):
            raise _Unfit(f"{member} is no text")
    names = _tables(content["names"], "names")
    if set(names) != set(TABLES):
        raise _Unfit(f"names has other tables than {', '.join(TABLES)}")
    for table, entries in names.items():
        for old, new in entries.items():
            if not isinstance(new, str) or not NEW_NAME.fullmatch(new):
                raise _Unfit(f"{old} in {table} has no name")
    code = _tables(content["code"], "code")
    for functions in code.values():
        for places in functions.values():
            if not isinstance(places, list) or not all(map(_is_text, places)):
                raise _Unfit("code has a function without a place")
    return Names(content["fw1"], content["manifest"], names, code)


def _tables(content: Any, member: str) -> dict[str, dict[str, Any]]:
    if not isinstance(content, dict) or len(content) > MAX_ENTRIES:
        raise _Unfit(f"{member} has no tables")
    for table, entries in content.items():
        if not isinstance(entries, dict) or len(entries) > MAX_ENTRIES:
            raise _Unfit(f"{table} in {member} is no table")
        if not _is_text(table) or not all(map(_is_text, entries)):
            raise _Unfit(f"a name in {member} is longer than {MAX_CHARACTERS} characters")
    return content


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_CHARACTERS

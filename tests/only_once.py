"""What several processes of a test run need, made once: by the first that asks."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from ks_simulator.application import ENTRY
from ks_simulator.compiled import TABLES, Compiled, compiled_with_names, with_native_code

Names = Mapping[str, Mapping[str, str]]
Made = TypeVar("Made")


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for this run of the tests, in however many processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "only-once"
    folder.mkdir(exist_ok=True)
    return folder


def only_once(folder: Path, name: str, make: Callable[[], Made]) -> Made:
    """What `make` gives, from the file of this name if that was called in this run before."""
    kept = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            found: Made = pickle.loads(kept.read_bytes())
            return found
        made = make()
        kept.write_bytes(pickle.dumps(made))
        return made


class Compiler:
    """`ks_simulator.compiled` for tests that need what it makes and are not about it.

    It is seconds of work for the whole firmware, and but for the native code the same for all
    architectures, which test_compiled.py holds it to.
    """

    ANY = "x64"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(
        self,
        files: Mapping[str, bytes],
        entry: str = ENTRY,
        architecture: str = "",
        tables: int = TABLES,
        joined: int = 0,
    ) -> dict[str, bytes]:
        """`compiled`."""
        _, made = self._made(files, Asked(entry, bool(architecture), None, joined))
        return native(made, architecture, tables).files

    def with_names(
        self,
        files: Mapping[str, bytes],
        entry: str = ENTRY,
        architecture: str = "",
        tables: int = TABLES,
        like: Names | None = None,
        joined: int = 0,
    ) -> Compiled:
        """`compiled_with_names`."""
        asked = Asked(entry, bool(architecture), like, joined)
        exactly = digest(sorted(files.items()))
        those, made = self._made(files, asked)
        if those != exactly:  # their lines have other numbers
            name = digest((exactly, asked))
            made = only_once(self._folder, name, lambda: self._make(files, asked))
        return native(made, architecture, tables)

    def _made(self, files: Mapping[str, bytes], asked: Asked) -> tuple[str, Compiled]:
        """What files of this meaning become, and the digest of those that it was made of."""
        meant = [(path, meaning(path, files[path])) for path in sorted(files)]
        return only_once(
            self._folder,
            digest((meant, asked)),
            lambda: (digest(sorted(files.items())), self._make(files, asked)),
        )

    def _make(self, files: Mapping[str, bytes], asked: Asked) -> Compiled:
        any_of_them = self.ANY if asked.native else ""
        return compiled_with_names(
            files, asked.entry, any_of_them, like=asked.like, joined=asked.joined
        )


class Asked(NamedTuple):
    """What `compiled_with_names` is told besides the files."""

    entry: str
    native: bool
    like: Names | None
    joined: int


def native(made: Compiled, architecture: str, tables: int) -> Compiled:
    """With the native code of this architecture, if any."""
    if not architecture:
        return made
    return replace(made, files=with_native_code(made.files, architecture, tables))


def digest(what: object) -> str:
    """For all that has the same `repr`."""
    return hashlib.sha256(repr(what).encode()).hexdigest()


@lru_cache(maxsize=1024)
def meaning(path: str, content: bytes) -> str:
    """The same for files that compile to the same: comments are nothing to a compiler."""
    text = ast.dump(ast.parse(content)).encode() if path.endswith(".py") else content
    return hashlib.sha256(text).hexdigest()

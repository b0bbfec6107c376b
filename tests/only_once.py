"""What several processes of a test run need, made once: by the first that asks."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import pickle
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import pytest

from ks_simulator.application import ENTRY
from ks_simulator.compiled import TABLES, with_native_code
from ks_simulator.compiled import compiled as compiled_anew

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
    """`ks_simulator.compiled.compiled` for tests that need what it makes and are not about it.

    It is nearly ten seconds of work for the whole firmware, and but for the native code the same
    for all architectures, which test_compiled.py holds it to.
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
        meant = [(path, meaning(path, files[path])) for path in sorted(files)]
        asked = (meant, entry, bool(architecture), joined)
        name = hashlib.sha256(repr(asked).encode()).hexdigest()
        any_of_them = self.ANY if architecture else ""
        made = only_once(
            self._folder, name, lambda: compiled_anew(files, entry, any_of_them, joined=joined)
        )
        return with_native_code(made, architecture, tables) if architecture else made


@lru_cache(maxsize=1024)
def meaning(path: str, content: bytes) -> str:
    """The same for files that compile to the same: comments are nothing to a compiler."""
    text = ast.dump(ast.parse(content)).encode() if path.endswith(".py") else content
    return hashlib.sha256(text).hexdigest()

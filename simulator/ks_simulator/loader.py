"""Runs the code that lies in a terminal's slot, not the one installed here.

A slot's `ks_agent` is loaded under a private name that follows from its content, so that an update
really changes the code that runs, and a release that crashes really crashes. Terminals with the
same content share the modules; the installed package is used where the content is the same.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ks_agent import bundle

from .application import firmware_folder, installed_files

PACKAGE = "ks_agent"
PRIVATE_PREFIX = "_ks_slot_"
FOLDER = PACKAGE + "/"


class SlotLoader(importlib.abc.InspectLoader):
    """Loads the modules of one content from memory."""

    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self._sources = sources

    def get_source(self, fullname: str) -> str:
        return self._sources[_path_of(fullname)].decode("utf-8")

    def is_package(self, fullname: str) -> bool:
        return "." not in fullname

    def get_code(self, fullname: str) -> CodeType:
        name = f"<{fullname.partition('.')[0]}>/{_path_of(fullname)}"
        return compile(self._sources[_path_of(fullname)], name, "exec", dont_inherit=True)

    def has(self, fullname: str) -> bool:
        return _path_of(fullname) in self._sources


class SlotFinder(importlib.abc.MetaPathFinder):
    """Knows the contents loaded so far by their private names."""

    def __init__(self) -> None:
        self._loaders: dict[str, SlotLoader] = {}

    def add(self, name: str, sources: Mapping[str, bytes]) -> None:
        self._loaders.setdefault(name, SlotLoader(sources))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        loader = self._loaders.get(fullname.partition(".")[0])
        if loader is None or not loader.has(fullname):
            return None
        return importlib.util.spec_from_loader(
            fullname, loader, is_package=loader.is_package(fullname)
        )


def _path_of(fullname: str) -> str:
    below = fullname.partition(".")[2]
    return FOLDER + (below.replace(".", "/") if below else "__init__") + ".py"


_finder = SlotFinder()
_names: dict[bytes, str] = {}


def agent_class(fs: Any, slot: str) -> Any:
    """The class Agent of the application in "a" or "b", through the `fs` port.

    Raises whatever the slot's code raises when it is imported, and ImportError, OSError or
    Malformed where there is none.
    """
    folder = f"slot_{slot}/"
    with fs.open(folder + "manifest.toon", "rb") as file:
        manifest = file.read()
    key = hashlib.sha256(manifest).digest()
    name = _names.get(key)
    if name is None:
        name = _names[key] = _register(fs, folder, manifest)
    return importlib.import_module(name + ".agent").Agent


def _register(fs: Any, folder: str, manifest: bytes) -> str:
    sources = {}
    for row in bundle.parse_manifest(manifest)["FILE"]:
        path = str(row["PATH"])
        if path.startswith(FOLDER):
            with fs.open(folder + path, "rb") as file:
                sources[path] = file.read()
    content = content_hash(sources)
    if content == content_hash(installed_files()):
        return PACKAGE
    name = PRIVATE_PREFIX + content[:16]
    _finder.add(name, sources)
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)
    return name


def content_hash(files: Mapping[str, bytes]) -> str:
    """Hex SHA-256 over the files of `ks_agent` among these."""
    digest = hashlib.sha256()
    for path in sorted(files):
        if path.startswith(FOLDER):
            digest.update(hashlib.sha256(path.encode()).digest())
            digest.update(hashlib.sha256(files[path]).digest())
    return digest.hexdigest()


def stage_0() -> ModuleType:
    """The module stage0.py, with `choose(fs, sha256)`; what it prints is left out."""
    module = _load_file("_ks_stage_0", firmware_folder() / "stage0.py")
    vars(module)["print"] = _say_nothing
    return module


def _say_nothing(*words: object) -> None:
    """The terminals' observers hear of rollbacks; a fleet's stdout is for its report."""


def _load_file(name: str, path: Path) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module

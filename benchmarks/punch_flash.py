"""What punches do to the flash: the real journal on the real LittleFS on a simulated NOR flash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from random import Random
from statistics import mean
from typing import Any, Final, NamedTuple

from ks_agent.journal import Full, Journal
from ks_agent.journal_read import batch, settle
from ks_simulator.littlefs import LittleFsPort, make_filesystem
from ks_simulator.nor import BLOCK_BYTES, NorFlash
from ks_tools.boards import Board, read_boards

from .figure import Figure

# A 3 V serial flash of the W25Q family: tSE of a sector of 4 KiB and tPP of a page of 256 bytes,
# typical and at most, and the cycles of a sector, as drivers and notes cite its data sheets (some
# say 0.8 ms for a page, typically). Nothing here was measured on a chip.
ERASE_MS: Final = (45.0, 400.0)
PROGRAM_MS: Final = (0.4, 3.0)
CYCLES: Final = 100_000

BEEP_MS: Final = 200
PUNCHES_A_DAY: Final = 500
APART_MS: Final = 172_800
CREDENTIAL: Final = "12E45678"  # as random as those that Bench.punch makes
DAYS: Final = 14
# Segments that fit yet when a terminal counts as nearly full: a week's punches.
LAST_SEGMENTS: Final = 10
BATCH: Final = 20
START_MS: Final = 1_795_000_000_000


class _Crypto:
    def sha256(self) -> Any:
        return hashlib.sha256()


class _Rng:
    def random_bytes(self, count: int) -> bytes:
        return Random(1).randbytes(count)


class Cost(NamedTuple):
    """Operations of the flash, and bytes programmed. Each read is of 32 to 128 bytes."""

    erases: int
    programs: int
    written: int
    reads: int

    def time_ms(self, chip: int) -> float:
        """Without the reads: how long those take lies with the interpreter and the bus."""
        return self.erases * ERASE_MS[chip] + self.programs * PROGRAM_MS[chip]


class _Filling(Journal):
    """Syncs each segment once: the flash ends up with the same bytes, sooner."""

    def _write(self, data: bytes) -> None:
        if self._file is None:
            path: Any = self.path
            self._file = self.fs.open(path(self.last), "ab")
        self._file.write(data)
        self.size += len(data)


class Bench:
    """A terminal's journal on a partition of so many bytes, as configured when it is new."""

    def __init__(self, data_bytes: int) -> None:
        self.flash = NorFlash(data_bytes // BLOCK_BYTES)
        make_filesystem(self.flash)
        self._fs = LittleFsPort(self.flash)
        self._random = Random(data_bytes)
        self._up_ms = 0
        self.open(Journal)

    def open(self, kind: type[Any]) -> None:
        """Go on with another class of journal."""
        self.journal = kind(self._fs, _Crypto(), _Rng())
        self.journal.recover()

    def punch(self) -> None:
        """By somebody, some time after the one before. Raises Full."""
        self._up_ms += self._random.randrange(1, 2 * APART_MS)
        card = f"{self._random.randrange(2**32):08X}"
        up_ms = self._up_ms
        self.journal.append(card, "IN", "RFID", True, 1, up_ms, START_MS + up_ms)

    def upload(self) -> None:
        """Everything, acknowledged."""
        while not self.journal.is_settled():
            punches, place, _ = batch(self.journal, BATCH)
            settle(self.journal, place, int(punches[-1]["SEQ"]))

    def fill(self, spare: int = 0) -> int:
        """How many punches fit until the first is refused, or until so many segments are left."""
        count = 0
        self.open(_Filling)
        try:
            while self._segments_left() >= spare:
                self.punch()
                count += 1
        except Full:
            assert spare == 0
        self.journal.close()
        self.open(Journal)
        return count

    def _segments_left(self) -> int:
        journal = self.journal
        return int(journal.capacity - (journal.last - journal.first + 1))

    def costs(self, count: int) -> list[Cost]:
        """Of each of so many punches."""
        rows = []
        flash = self.flash
        for _ in range(count):
            before = Cost(
                sum(flash.erases), sum(flash.programs), flash.bytes_programmed, flash.reads
            )
            self.punch()
            after = Cost(
                sum(flash.erases), sum(flash.programs), flash.bytes_programmed, flash.reads
            )
            rows.append(Cost(*(new - old for new, old in zip(after, before, strict=True))))
        return rows

    def years(self, days: int, upload: bool = True) -> float:
        """Until the block that is erased most has had all its cycles, going on like this."""
        before = list(self.flash.erases)
        for _ in range(days):
            for number in range(PUNCHES_A_DAY):
                self.punch()
                if upload and number % BATCH == BATCH - 1:
                    self.upload()
        worst = max(after - old for after, old in zip(self.flash.erases, before, strict=True))
        return CYCLES / (worst / days * 365)


def _figure(name: str, value: float, unit: str, at_most: float | None = None) -> Figure:
    return Figure.limited(f"punch/{name}", round(value, 1), unit, at_most)


def _append(data_bytes: int) -> Iterator[Figure]:
    bench = Bench(data_bytes)
    bench.years(DAYS)  # a terminal in service: some segments that are acknowledged are held
    rows = bench.costs(2000)
    yield _figure("append/erases", 100 * mean(row.erases for row in rows), "per 100 punches")
    yield _figure("append/programs", mean(row.programs for row in rows), "of at most 128 bytes")
    most = max(row.programs for row in rows)
    yield _figure("append/programs/most", most, "of at most 128 bytes")
    yield _figure("append/bytes", mean(row.written for row in rows), "bytes programmed")
    for chip, name in enumerate(("typical", "slowest")):
        times = [row.time_ms(chip) for row in rows]
        goal = BEEP_MS if name == "typical" else None
        yield _figure(f"append/{name} chip", mean(times), "ms, estimated")
        yield _figure(f"append/{name} chip/most", max(times), "ms, estimated", goal)
    yield _figure("append/reads", mean(row.reads for row in rows), "reads of flash")
    yield _figure("append/reads/most", max(row.reads for row in rows), "reads of flash")
    bench.fill(LAST_SEGMENTS)
    rows = bench.costs(1000)
    yield _figure("append/reads, nearly full", mean(row.reads for row in rows), "reads of flash")
    most = max(row.reads for row in rows)
    yield _figure("append/reads, nearly full/most", most, "reads of flash")


def _wear(data_bytes: int) -> Iterator[Figure]:
    """A lower bound: LittleFS moves what is erased most elsewhere, in the course of months."""
    bench = Bench(data_bytes)
    bench.years(1)
    yield _figure("wear", bench.years(DAYS), "years at 500 punches a day")
    bench.fill(LAST_SEGMENTS)
    # The blocks that take turns are few then.
    years = bench.years(DAYS // 2, upload=False)
    yield _figure("wear, nearly full", years, "years at 500 punches a day")


def _capacity(boards: Sequence[Board]) -> Iterator[Figure]:
    """Punches until the first is refused, beside what the table of boards promises."""
    for board in boards:
        reached = Bench(board.data).fill()
        told = board.capacity(CREDENTIAL)
        name = f"punch/capacity/{board.name}"
        yield Figure.compared(name, reached, "punches", "told by `ks boards`", reached / told)


def measure() -> Iterator[Figure]:
    """Flash operations, time and wear of punches, and how many of them fit."""
    boards = read_boards()
    smallest = min(board.data for board in boards)
    yield from _append(smallest)
    yield from _wear(smallest)
    yield from _capacity(boards)

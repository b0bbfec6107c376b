"""What punches do to the flash: the real journal on the real LittleFS on a simulated NOR flash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random
from statistics import mean
from typing import Any, Final

from ks_agent.journal import Full, Journal
from ks_agent.journal_read import batch, settle
from ks_simulator.littlefs import LittleFsPort, make_filesystem
from ks_simulator.nor import BLOCK_BYTES, NorFlash

from .figure import Figure

# W25Q32JV, 3 V 32M-bit serial flash, AC electrical characteristics: tSE of a sector of 4 KiB and
# tPP of a page of 256 bytes, typical and at most, and the erase cycles that a sector endures.
ERASE_MS: Final = (45.0, 400.0)
PROGRAM_MS: Final = (0.4, 3.0)
CYCLES: Final = 100_000

BEEP_MS: Final = 200
PUNCHES_A_DAY: Final = 500
DAYS: Final = 14
# Segments that fit yet when a terminal counts as nearly full: a week's punches.
LAST_SEGMENTS: Final = 10
DATA_KIB: Final = (1024, 1536, 2048)
BATCH: Final = 20
START_MS: Final = 1_795_000_000_000
DAY_MS: Final = 86_400_000


class _Crypto:
    def sha256(self) -> Any:
        return hashlib.sha256()


class _Rng:
    def random_bytes(self, count: int) -> bytes:
        return Random(1).randbytes(count)


class _Filling(Journal):
    """Syncs each segment once: the flash ends up with the same bytes, sooner."""

    def _write(self, data: bytes) -> None:
        file: Any = self._file
        file.write(data)
        self.size += len(data)


class Bench:
    """A terminal's journal on a flash of so many KiB; people come a minute apart, on average."""

    def __init__(self, data_kib: int) -> None:
        self.flash = NorFlash(data_kib * 1024 // BLOCK_BYTES)
        make_filesystem(self.flash)
        self._data_kib = data_kib
        self._fs = LittleFsPort(self.flash)
        self._random = Random(data_kib)
        self._up_ms = 0
        self.open(Journal)

    def open(self, kind: type[Any]) -> None:
        """Go on with another class of journal."""
        self.journal = kind(self._fs, _Crypto(), _Rng())
        self.journal.limit_kib = self._data_kib
        self.journal.recover()

    def punch(self, apart_ms: int = 60_000) -> None:
        """Raises Full."""
        self._up_ms += self._random.randrange(1, 2 * apart_ms)
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

    def costs(self, count: int) -> list[tuple[int, int, int]]:
        """(erases, programs, bytes programmed) of each of so many punches."""
        rows = []
        flash = self.flash
        for _ in range(count):
            before = (sum(flash.erases), sum(flash.programs), flash.bytes_programmed)
            self.punch()
            rows.append(
                (
                    sum(flash.erases) - before[0],
                    sum(flash.programs) - before[1],
                    flash.bytes_programmed - before[2],
                )
            )
        return rows

    def years(self, days: int, upload: bool = True) -> float:
        """Until the block that is erased most has had all its cycles, going on like this."""
        before = list(self.flash.erases)
        for _ in range(days):
            for number in range(PUNCHES_A_DAY):
                self.punch(DAY_MS // PUNCHES_A_DAY)
                if upload and number % BATCH == BATCH - 1:
                    self.upload()
        worst = max(after - old for after, old in zip(self.flash.erases, before, strict=True))
        return CYCLES / (worst / days * 365)


def _figure(name: str, value: float, unit: str, at_most: float | None = None) -> Figure:
    return Figure.limited(f"punch/{name}", round(value, 1), unit, at_most)


def _append() -> Iterator[Figure]:
    rows = Bench(1024).costs(3000)
    erases, programs, written = zip(*rows, strict=True)
    yield _figure("append/erases", 100 * mean(erases), "erases per 100 punches")
    yield _figure("append/programs", mean(programs), "programs of at most 128 bytes")
    yield _figure("append/programs/most", max(programs), "programs of at most 128 bytes")
    yield _figure("append/bytes", mean(written), "bytes programmed")
    for index, chip in enumerate(("typical", "slowest")):
        times = [row[0] * ERASE_MS[index] + row[1] * PROGRAM_MS[index] for row in rows]
        goal = BEEP_MS if chip == "typical" else None
        yield _figure(f"append/{chip} chip", mean(times), "ms, estimated")
        yield _figure(f"append/{chip} chip/most", max(times), "ms, estimated", goal)


def _wear() -> Iterator[Figure]:
    for data_kib in DATA_KIB:
        bench = Bench(data_kib)
        bench.years(1)
        years = bench.years(DAYS)
        yield _figure(f"wear/{data_kib} KiB", years, "years at 500 punches a day")
    bench = Bench(DATA_KIB[0])
    bench.fill(LAST_SEGMENTS)
    # The blocks that take turns are few then.
    years = bench.years(DAYS // 2, upload=False)
    yield _figure(f"wear/{DATA_KIB[0]} KiB, nearly full", years, "years at 500 punches a day")


def _capacity() -> Iterator[Figure]:
    for data_kib in DATA_KIB:
        yield _figure(f"capacity/{data_kib} KiB", Bench(data_kib).fill(), "punches")


def measure() -> Iterator[Figure]:
    """Flash operations, time and wear of punches, and how many of them fit."""
    yield from _append()
    yield from _wear()
    yield from _capacity()

"""What a terminal may do to its flash: a change that wears it faster fails here."""

from collections.abc import Iterator

import pytest

from ks_simulator.nor import BLOCK_BYTES
from ks_simulator.wear import FlashUse, WornTerminal, idle_days, release_of, update

VFS_BYTES, DATA_BYTES = 192 * BLOCK_BYTES, 320 * BLOCK_BYTES


@pytest.fixture(scope="module")
def terminal() -> Iterator[WornTerminal]:
    found = WornTerminal(release_of("1.0.0"), VFS_BYTES, DATA_BYTES)
    yield found
    found.fs.unmount()


def test_an_idle_day_writes_the_time_once_and_nothing_else(terminal: WornTerminal) -> None:
    beats = terminal.server.heartbeats
    vfs, data = idle_days(terminal, 1)
    assert terminal.server.heartbeats - beats >= 2 * 1435
    assert (vfs.programs, vfs.erases) == (0, 0)
    assert data.programs <= 4
    assert data.erases <= 1


def test_an_update_erases_each_block_once_or_twice(terminal: WornTerminal) -> None:
    vfs, data = update(terminal, release_of("1.1.0"))
    assert "OK confirmed" in terminal.server.acknowledged
    assert 0 < vfs.worst <= 2
    assert vfs.erases <= 90
    assert data.worst <= 3
    assert data.erases <= 12
    assert data.times_to_wear_out() > 30_000


def test_a_block_that_is_never_erased_lasts_for_ever() -> None:
    use = FlashUse("data", 6, 576, 0, 0, 0, 320, (0,) * 320, (0,) * 320)
    assert use.times_to_wear_out() == float("inf")

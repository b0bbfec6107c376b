"""A part of `make sweep`: some cuts of every phase on every board, and every planted bug."""

import subprocess
import sys
from random import Random

import pytest
import sweep_phases

from ks_agent import tokens
from ks_simulator.nor import Erase, NorFlash, NotErased, Program
from tests.sweep import residue
from tests.sweep.cutting import TORN, positions
from tests.sweep.flash import SharedFlash
from tests.sweep.planted import MISTAKES
from tests.sweep.runner import Unit, count_cuts, do_mistake, do_unit, is_on, recorded, replay
from tests.sweep.world import VAULT, geometries
from tools.micropython import ROOT

PHASES = [phase.name for phase in sweep_phases.PHASES]
BOARDS = [geometry.board for geometry in geometries()]
CUTS = 6
# Each so many-th cut of one recovery.
SECOND = 7


@pytest.mark.parametrize(("number", "phase"), list(enumerate(PHASES)))
def test_a_power_cut_leaves_a_terminal_that_goes_on(number: int, phase: str) -> None:
    boards = [each for each in geometries() if is_on(phase, each)]
    board = boards[number % len(boards)].board  # in turn
    total = count_cuts(phase, board)
    first = number % max(total // CUTS, 1)  # other places each
    result = do_unit(Unit(phase, board, 1, first, max(total // CUTS, 1), CUTS, seed=number))
    assert result.failures == []
    assert result.cuts == min(CUTS, total) > 0


@pytest.mark.parametrize("phase", [phase.name for phase in sweep_phases.PHASES if phase.deep])
def test_a_power_cut_in_the_recovery_of_a_power_cut_does_so_too(phase: str) -> None:
    result = do_unit(Unit(phase, BOARDS[0], 2, 9, 1, 1, second=SECOND))
    assert result.failures == []
    assert result.cuts >= 5


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_bug_is_caught(name: str) -> None:
    assert do_mistake(name).failed


def test_every_operation_is_cut_before_and_in_two_ways_within() -> None:
    _, recording = recorded("key-rotation", BOARDS[0])
    cuts = list(positions(recording, 0, len(recording.tape)))
    whole = {cut.operation for cut in cuts if cut.how == "before-0"}
    assert whole == set(range(len(recording.tape) + 1))
    vault = {number for number, (name, _) in enumerate(recording.tape) if name == VAULT}
    assert len(vault) >= 3
    for how in TORN:
        torn = {cut.operation for cut in cuts if cut.how == how}
        assert torn == set(range(len(recording.tape))) - vault
    # What the server heard between two operations is a place for a cut each.
    messages = sum(1 for _, kind, _ in recording.events if kind == "server")
    assert len([cut for cut in cuts if cut.how.startswith("before")]) == len(whole) + messages


def test_nothing_is_kept_in_modules_and_what_was_kept_would_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    residue.load_all()
    before = residue.fingerprint()
    assert len(before) > 500
    assert not do_unit(Unit("commands", BOARDS[0], 1, 0, 40, 4)).failures
    assert residue.changes(before, residue.fingerprint()) == []
    monkeypatch.setattr(tokens, "KIB", 1000)
    assert residue.changes(before, residue.fingerprint()) == ["ks_agent.tokens.KIB"]


def test_a_fresh_interpreter_ends_in_the_same_bytes_as_one_that_has_swept() -> None:
    asked = [
        f"config-proven:{BOARDS[0]}:17.in-order",
        f"key-rotation-lost:{BOARDS[-1]}:9.before-1",
        f"confirm:{BOARDS[0]}:110.anywhere:3.before-0",
    ]
    assert not do_unit(Unit("switch", BOARDS[0], 1, 0, 30, 2)).failures
    given = [word for text in asked for word in ("--replay", text)]
    fresh = subprocess.run(
        [sys.executable, "-m", "tests.sweep", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert fresh.stdout.split() == [replay(text) for text in asked]


def test_a_flash_that_shares_blocks_is_the_flash_of_the_simulator() -> None:
    random = Random(5)
    plain, shared = NorFlash(3), SharedFlash(3)
    for number in range(400):
        block = random.randrange(3)
        operation: Program | Erase = Erase(block)
        if random.random() < 0.8:
            start = random.randrange(0, 4096, 32)
            data = random.randbytes(random.randrange(1, min(200, 4096 - start)))
            operation = Program(block, start, data)
        failed = []
        how = random.choice(("whole", "whole", *TORN))
        for flash in (plain, shared):
            if how == "whole":
                try:
                    flash.perform(operation)
                except NotErased:
                    failed.append(flash)
            elif how == TORN[0]:
                flash.tear_in_order(operation, Random(number))
            else:
                flash.tear_anywhere(operation, Random(number))
        assert len(failed) in (0, 2)
        assert shared.image() == bytes(plain.memory)
        shared = shared.copy()

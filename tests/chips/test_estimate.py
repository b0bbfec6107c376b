"""The count of what the native code executes, and the cycles that are made of it."""

from __future__ import annotations

from collections import Counter

from . import estimate, parts, xtensa
from .estimate import HIGH, LOW, Cost

SEED = bytes(range(32))


def test_every_instruction_of_every_call_is_counted() -> None:
    chip = parts.engine("xtensawin", tables=1)
    functions = list(chip.functions.values())
    with parts.recording(functions):
        chip.ed25519.public_key(SEED)
    cost, executed, branches = Cost(), 0, 0
    for function in functions:
        cost.add(function)
        assert isinstance(function.program, xtensa.Program)
        for _, trace in function.recorded:
            blocks = [function.program.blocks[at] for at in trace.path]
            executed += sum(block.kinds.total() for block in blocks)
            branches += sum(block.kinds["branch"] for block in blocks)
    assert cost.instructions == executed > 1_000_000
    assert 0 < cost.taken < branches == cost.kinds["branch"]
    assert set(cost.kinds) <= set(estimate.KINDS)


def test_the_secret_makes_no_difference_to_the_cost() -> None:
    chip = parts.engine("xtensawin", tables=1)
    costs = []
    for seed in (SEED, bytes(32), b"\xff" * 32):
        for function in chip.functions.values():
            function.forget()
        chip.ed25519.public_key(seed)
        cost = Cost()
        for function in chip.functions.values():
            cost.add(function)
        costs.append(cost)
    assert costs[0] == costs[1] == costs[2]


def test_cycles_are_those_of_the_instructions_and_what_they_wait_for() -> None:
    kinds = Counter(arithmetic=10, load=3, literal=2, multiplication=1, branch=2, store=1, call=1)
    cost = Cost(kinds, Counter(load=2, multiplication=1, literal=1), taken=1)
    assert cost.cycles(LOW) == 10 + 3 + 2 + 1 + 2 + 1 + 3 + (2 + 1 + 1) + 2
    assert cost.cycles(HIGH) == 10 + 3 + 2 * 8 + 1 + 2 + 1 + 8 + (2 + 1) + 3


def test_the_report_has_instructions_and_milliseconds_for_each_operation() -> None:
    report = estimate.report({"sign": Cost(Counter(arithmetic=2_400_000), traps=7)})
    assert "| sign | 2,400,000 | 2.4 to 2.4 M | 10.0 to 10.0 |" in report
    assert report.count("| sign |") == 2

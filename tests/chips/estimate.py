"""What the native code of Ed25519 costs an ESP32: instructions, counted, and cycles, estimated.

    python -m tests.chips.estimate

prints a table in Markdown. The instructions are those that the machine code of the four parts
executes for xtensawin, all of them and no others: the bytecode around them, the functions of the
interpreter that they call (some for each argument of a call) and SHA-256 are not in it.

The cycles are an estimate, between two models of the processor, with code and data in the chip's
internal memory. What they have in common is GCC's description of the Xtensa pipeline
(gcc/config/xtensa/xtensa.md): an instruction a cycle, the result of a load or of a 32-bit
multiplication a cycle later. They differ in

- branches that are taken: 3 or 4 cycles; on an ESP32 a loop's decrement and branch were measured
  to take 5 together (https://pcm1723.hateblo.jp/entry/20180417/1523947500);
- calls and returns: 3 or 8 cycles, since registers of outer windows may have to be saved;
- literals (`l32r`), which are read from the memory that holds the code: as other loads, or 8
  cycles. Nothing is documented of an ESP32; 6 to 8 were measured on an ESP8266
  (https://github.com/earlephilhower/esp-quick-toolchain/pull/33).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from ks_viper import build

from . import parts, xtensa

ARCHITECTURE = "xtensawin"
CLOCK_HZ = 240_000_000
MESSAGE_BYTES = 300
KINDS = (
    "arithmetic", "multiplication", "load", "literal", "store", "branch", "jump", "call",
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """Cycles of a processor."""

    each: dict[str, int]  # by kind of instruction; a branch that is not taken
    stall: dict[str, int]  # when the next instruction uses the result
    taken: int  # more, for a branch that is taken


LOW = Model(
    dict.fromkeys(KINDS, 1) | {"jump": 3, "call": 3},
    {"load": 1, "literal": 1, "multiplication": 1},
    taken=2,
)
HIGH = Model(
    dict.fromkeys(KINDS, 1) | {"literal": 8, "jump": 4, "call": 8},
    {"load": 1, "literal": 0, "multiplication": 1},
    taken=3,
)


@dataclass
class Cost:
    """What some calls of native functions took."""

    kinds: Counter[str] = field(default_factory=Counter)
    stalls: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    calls: int = 0
    traps: int = 0

    @property
    def instructions(self) -> int:
        return self.kinds.total()

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.kinds + other.kinds,
            self.stalls + other.stalls,
            self.taken + other.taken,
            self.calls + other.calls,
            self.traps + other.traps,
        )

    def cycles(self, model: Model) -> int:
        """An estimate by a model."""
        return (
            sum(model.each[kind] * count for kind, count in self.kinds.items())
            + sum(model.stall[kind] * count for kind, count in self.stalls.items())
            + model.taken * self.taken
        )

    def add(self, function: parts.Native) -> None:
        """Add what a function has done since it last forgot."""
        assert isinstance(function.program, xtensa.Program)
        self.calls += function.calls
        self.traps += function.traps
        for (at, following), count in function.steps.items():
            block = function.program.blocks[at]
            for kind, number in block.kinds.items():
                self.kinds[kind] += number * count
            for kind, number in block.stalls.items():
                self.stalls[kind] += number * count
            self.taken += count * (block.taken == following)


def measure(tables: int = build.TABLES) -> dict[str, Cost]:
    """The cost of each operation, whose results are compared with libsodium's.

    The private key that signs is expanded already, as on a terminal that runs.
    """
    chip = parts.engine(ARCHITECTURE, tables)
    ed25519 = chip.ed25519
    seed, message = bytes(range(32)), bytes(range(100)) * (MESSAGE_BYTES // 100)
    public, secret = crypto_sign_seed_keypair(seed)
    signature = crypto_sign(message, secret)[:64]
    prepared, *steps = _prepared(chip, public)

    def verified(table: object = None) -> object:
        return ed25519.verify(public, [message], signature, table)

    return {
        "public key": _cost(chip, lambda: ed25519.public_key(seed), public),
        "sign": _cost(chip, lambda: ed25519.sign(seed, [message]), signature),
        "verify, key prepared": _cost(chip, lambda: verified(prepared), True),
        "verify, any key": _cost(chip, verified, True),
        "prepare a key": sum(steps, Cost()),
        "the longest step of it": max(steps, key=lambda step: step.cycles(HIGH)),
    }


def report(costs: dict[str, Cost]) -> str:
    """Two tables in Markdown."""
    lines = ["| operation | instructions | cycles | ms at 240 MHz |", "|---|---:|---:|---:|"]
    for name, cost in costs.items():
        low, high = cost.cycles(LOW), cost.cycles(HIGH)
        lines.append(
            f"| {name} | {cost.instructions:,} | {_range(low / 1e6, high / 1e6, 'M')} "
            f"| {_range(low * 1e3 / CLOCK_HZ, high * 1e3 / CLOCK_HZ, '')} |"
        )
    titles = (*KINDS, "taken", "stalls", "calls of the interpreter")
    lines += ["", f"| operation | {' | '.join(titles)} |", "|---|" + "---:|" * len(titles)]
    for name, cost in costs.items():
        numbers = [cost.kinds[kind] for kind in KINDS]
        numbers += [cost.taken, cost.stalls.total(), cost.traps]
        lines.append(f"| {name} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    return "\n".join(lines) + "\n"


def _cost(chip: parts.Engine, operation: Callable[[], object], expected: object) -> Cost:
    for function in chip.functions.values():
        function.forget()
    if operation() != expected:
        raise AssertionError("the code for the chip gives another result than libsodium")
    cost = Cost()
    for function in chip.functions.values():
        cost.add(function)
    return cost


def _prepared(chip: parts.Engine, public: bytes) -> list[Any]:
    """A prepared key, and what each step of it cost, the first one with how it began."""
    made: list[Any] = []
    begun = _cost(chip, lambda: made.append(chip.ed25519.prepare(public)), None)
    done = False
    while not done:
        cost = _cost(chip, lambda: made.append(made[0].step()), None)
        done = made.pop()
        made.append(cost if len(made) > 1 else begun + cost)
    return made


def _range(low: float, high: float, unit: str) -> str:
    return f"{low:.1f} to {high:.1f} {unit}".rstrip()


def main() -> None:
    """Print the tables for each number of tables, or for those given."""
    for tables in [int(argument) for argument in sys.argv[1:]] or [build.TABLES]:
        print(f"{tables} table{'s' * (tables > 1)} for a key\n")
        print(report(measure(tables)))


if __name__ == "__main__":
    main()

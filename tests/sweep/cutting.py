"""Record a phase, cut it anywhere, and see what becomes of the terminal.

A cut is written `OPERATION.HOW`: the number of the operation on the phase's tape, and `in-order`,
`anywhere` (torn) or `before-N`: not begun, with N of the messages that the server got since the
operation before it. Nothing outlives a cut but what world.Image holds and what the server knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import sweep_phases
from fake_ports import CRYPTO
from sweep_server import Server
from sweep_terminal import Terminal

from .world import VAULT, Entry, Geometry, Hardware, Image, factory_new

IN_ORDER, ANYWHERE = "in-order", "anywhere"
TORN = (IN_ORDER, ANYWHERE)

Note = tuple[str, Any]


class Cut(NamedTuple):
    operation: int
    how: str

    def __str__(self) -> str:
        return f"{self.operation}.{self.how}"

    @classmethod
    def parse(cls, text: str) -> Cut:
        operation, _, how = text.partition(".")
        return cls(int(operation), how)


class CutFailed(AssertionError):
    """The text says what went wrong."""


@dataclass
class Start:
    """From where a run begins: what there is without power, the server, and what was seen."""

    image: Image
    server: Server
    elapsed_ms: int
    told: tuple[Note, ...] = ()

    def copy(self) -> Start:
        return Start(self.image.copy(), self.server.copy(), self.elapsed_ms, self.told)


@dataclass
class Recording:
    """A run: `events` are (operations done until then, kind, what); what of "server" is a pair of
    the server as it is after a message and the time.
    """

    start: Start
    tape: list[Entry]
    events: list[tuple[int, str, Any]]
    end: Image

    def window(self, phase: Any) -> tuple[int, int]:
        first, last = phase.window(self.events, len(self.tape))
        return first, min(last, len(self.tape))


def prepared(phase: Any, geometry: Geometry, crypto: Any = CRYPTO) -> Start:
    """The state from which the phase begins."""
    hardware = Hardware(factory_new(geometry))
    phase.setup(hardware, crypto)
    phase.start()
    told: list[Note] = []

    def watch(kind: str, what: Any) -> None:
        if kind in ("try", "beep"):
            told.append((kind, what))

    terminal = Terminal(hardware, Server(crypto), 0, "prepare", watch, crypto)
    phase.prepare(terminal)
    image = hardware.image.copy()
    start = Start(image, terminal.server.copy(), terminal.elapsed_ms, tuple(told))
    terminal.close()
    return start


def run(
    phase: Any, start: Start, label: str, before: dict[str, Any], after_cut: bool, crypto: Any
) -> Recording:
    """From power on to the goal, with everything made anew, and checked all along."""
    start = start.copy()
    image = start.image.copy()
    hardware = Hardware(image)
    events: list[tuple[int, str, Any]] = []
    told: list[Note] = list(start.told)
    tape = hardware.tape

    def watch(kind: str, what: Any) -> None:
        if kind == "server":
            events.append((len(tape), kind, (terminal.server.copy(), terminal.elapsed_ms)))
        else:
            events.append((len(tape), kind, what))
            told.append((kind, what))

    if after_cut:
        phase.resume()
    else:
        phase.start()
    terminal = Terminal(hardware, start.server.copy(), start.elapsed_ms, label, watch, crypto)
    terminal.act = lambda: phase.act(terminal)
    terminal.power_on()
    boots = 0

    def is_done() -> bool:
        nonlocal boots
        if terminal.boots != boots:
            boots = terminal.boots
            sweep_phases.check_boot(terminal, phase, before)
        return bool(phase.is_done(terminal))

    terminal.run(is_done)
    terminal.run(_settled(terminal))
    terminal.check_log()
    sweep_phases.check_once(phase, told)
    phase.check(terminal, told)
    terminal.close()
    return Recording(start, tape, events, image)


def _settled(terminal: Terminal) -> Callable[[], bool]:
    """One more heartbeat, so that what follows the goal is seen, and cut, too."""
    beats, boots = terminal.beats, terminal.boots
    if terminal.server.revoked:  # it has no heartbeats; that it was heard is in its acknowledgement
        return lambda: True
    return lambda: terminal.dormant or terminal.boots > boots or terminal.beats > beats


def facts(start: Start) -> dict[str, Any]:
    vault = start.image.vault
    return {"key": vault.get("key"), "counter": int(vault.get("counter") or b"0")}


def record(phase: Any, start: Start, crypto: Any = CRYPTO) -> Recording:
    return run(phase, start, "first", facts(start), False, crypto)


def positions(recording: Recording, first: int, last: int) -> Iterator[Cut]:
    """Every cut from one operation to another, the end of the tape included."""
    messages: dict[int, int] = {}
    for count, kind, _ in recording.events:
        if kind == "server":
            messages[count] = messages.get(count, 0) + 1
    for number in range(first, last + 1):
        for message in range(messages.get(number, 0) + 1):
            yield Cut(number, f"before-{message}")
        if number < last and recording.tape[number][0] != VAULT:
            for how in TORN:
                yield Cut(number, how)


class Cutter:
    """Gives what is left after each cut of a recording; forward in order is cheap."""

    def __init__(self, recording: Recording, seed: int) -> None:
        self._recording = recording
        self._seed = seed
        self._present = recording.start.image.copy()
        self._done = 0
        self._place = 0
        self._server = (recording.start.server, recording.start.elapsed_ms)
        self._told = list(recording.start.told)

    def after(self, cut: Cut) -> Start:
        recording = self._recording
        if cut.operation < self._done:
            self.__init__(recording, self._seed)  # type: ignore[misc]
        for number in range(self._done, cut.operation):
            self._present.perform(recording.tape[number])
        self._done = cut.operation
        events = recording.events
        while self._place < len(events) and events[self._place][0] < cut.operation:
            self._take(events[self._place])
            self._place += 1
        server, told = self._server, list(self._told)
        messages = None if cut.how in TORN else int(cut.how.rpartition("-")[2])
        total = 0
        for count, kind, what in events[self._place :]:
            if count > cut.operation:
                break
            if kind == "server":
                if messages is not None and total == messages:
                    break
                total += 1
                server = what
            else:
                told.append((kind, what))
        image = self._present.copy()
        if cut.how in TORN:
            random = Random(f"{self._seed} {cut.operation} {cut.how}")
            image.tear(recording.tape[cut.operation], cut.how, random)
        return Start(image, server[0], server[1], tuple(told))

    def _take(self, event: tuple[int, str, Any]) -> None:
        _, kind, what = event
        if kind == "server":
            self._server = what
        else:
            self._told.append((kind, what))


def recover(
    phase: Any,
    left: Start,
    label: str,
    before: dict[str, Any],
    crypto: Any = CRYPTO,
) -> Recording:
    """Raises CutFailed."""
    try:
        return run(phase, left, label, before, True, crypto)
    except Exception as error:
        seen = [kind for kind, _ in left.told][-4:]
        raise CutFailed(f"{type(error).__name__}: {error} (seen before the cut: {seen})") from error

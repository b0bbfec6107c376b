"""Who looks at a light, presses the keys and scans a label: a person, or a fixture."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from .errors import Interrupted, StationFailed, UnitFailed

FIXTURE_S: Final = 120.0
POLL_S: Final = 0.1
YES: Final = ("y", "yes", "j", "ja", "")


class People(Protocol):
    """Everything is about the unit at one port."""

    def act(self, port: str, kind: str, text: str) -> None:
        """Have something done to the unit: a card shown, every key pressed."""

    def confirm(self, port: str, kind: str, text: str) -> bool:
        """Have a light, a tone or a display looked at."""

    def scan(self, port: str, text: str) -> str:
        """What a scanner has read."""


class Console:
    """The person at this terminal; one question at a time, whatever the number of lanes.

    `ask` shows a question, `stop` ends all waiting.
    """

    def __init__(
        self, ask: Callable[[str, str], None], stop: threading.Event, patience_s: float
    ) -> None:
        self._ask = ask
        self._stop = stop
        self._patience_s = patience_s
        self._turn = threading.Lock()
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader: threading.Thread | None = None

    def act(self, port: str, kind: str, text: str) -> None:
        self._answer(port, f"{text}; then Enter")

    def confirm(self, port: str, kind: str, text: str) -> bool:
        return self._answer(port, f"{text} [Y/n]").lower() in YES

    def scan(self, port: str, text: str) -> str:
        return self._answer(port, text)

    def _answer(self, port: str, question: str) -> str:
        with self._turn:
            if self._reader is None:
                self._reader = threading.Thread(target=self._read, daemon=True)
                self._reader.start()
            self._ask(port, question)
            waited_s = 0.0
            while waited_s < self._patience_s:
                if self._stop.is_set():
                    raise Interrupted("interrupted")
                try:
                    line = self._lines.get(timeout=POLL_S)
                except queue.Empty:
                    waited_s += POLL_S
                    continue
                if line is None:
                    self._lines.put(None)
                    raise StationFailed(f"nobody is here to answer: {question}")
                self._ask(port, "")
                return line.strip()
            raise StationFailed(f"nobody has answered: {question}")

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        self._lines.put(None)


class Fixture:
    """A program in place of a person: PROGRAM… PORT KIND; exit status 0 is done, or seen.

    What only a person can do is passed on to one.
    """

    def __init__(self, command: Sequence[str], person: People) -> None:
        self._command = command
        self._person = person

    def act(self, port: str, kind: str, text: str) -> None:
        done = run_program([*self._command, port, kind])
        if done.returncode:
            raise StationFailed(f"the fixture fails at {kind}: {_last(done)}")

    def confirm(self, port: str, kind: str, text: str) -> bool:
        return run_program([*self._command, port, kind]).returncode == 0

    def scan(self, port: str, text: str) -> str:
        return self._person.scan(port, text)


def run_program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """A program of the station's. Raises StationFailed where it is missing or takes too long."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=FIXTURE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StationFailed(f"{command[0]} took more than {FIXTURE_S:.0f} s") from None
    except OSError as error:
        raise StationFailed(f"{command[0]} cannot be run: {error.strerror}") from None


def program(template: Sequence[str], **values: str) -> str:
    """Run a command of batch.toml; what it says. Raises StationFailed."""
    try:
        command = [word.format(**values) for word in template]
    except (KeyError, IndexError, ValueError):
        known = ", ".join("{" + name + "}" for name in values)
        raise StationFailed(f"{' '.join(template)}: only {known} are known") from None
    done = run_program(command)
    if done.returncode:
        raise StationFailed(f"{command[0]} fails: {_last(done)}")
    return done.stdout


def expect(condition: bool, reason: str) -> None:
    """Raises UnitFailed unless it holds."""
    if not condition:
        raise UnitFailed(reason)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1][:160] if lines else f"exit status {done.returncode}"

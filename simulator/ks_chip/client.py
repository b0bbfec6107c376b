"""A tester's connection to a chip, for plain code without asyncio."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from .world import LOCALHOST, BadCommand

TIMEOUT_S: Final = 60.0


class Control:
    """`ask` commands of `world`, `wait_for` events. Events are kept from the connection on."""

    def __init__(self, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._socket = socket.create_connection((LOCALHOST, port))
        self._timeout_s = timeout_s
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._events: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def ask(self, command: str) -> str:
        """Do it; what follows `ok`. Raises BadCommand, TimeoutError, ConnectionError."""
        self._socket.sendall(command.encode() + b"\n")
        try:
            kind, _, text = self._answers.get(timeout=self._timeout_s).partition(" ")
        except queue.Empty:
            raise TimeoutError(f"the chip says nothing to {command}") from None
        if kind == "ok":
            return text
        if kind == "error":
            raise BadCommand(text)
        raise ConnectionError("the chip is gone")

    @property
    def seen(self) -> int:
        """How many events there were: where `wait_for` may begin."""
        with self._changed:
            return len(self._events)

    def events(self, after: int = 0) -> list[str]:
        with self._changed:
            return self._events[after:]

    def wait_for(
        self, matches: str | Callable[[str], bool], after: int = 0, timeout_s: float | None = None
    ) -> str:
        """The first event from number `after` on that is or begins with these words, or matches.

        Raises TimeoutError, which tells what was seen instead.
        """

        def found() -> str | None:
            for event in self._events[after:]:
                if matches(event) if callable(matches) else f"{event} ".startswith(f"{matches} "):
                    return event
            return None

        with self._changed:
            self._changed.wait_for(
                lambda: found() is not None,
                self._timeout_s if timeout_s is None else timeout_s,
            )
            event = found()
        if event is None:
            raise TimeoutError(f"no event {matches}; there were {self._events[after:]}")
        return event

    def _read(self) -> None:
        with (
            self._socket.makefile("r", encoding="utf-8", errors="replace") as lines,
            suppress(OSError),
        ):
            for line in lines:
                self._take(line.rstrip("\n"))
        self._answers.put("gone")

    def _take(self, line: str) -> None:
        if line.split(" ", maxsplit=1)[0] in ("ok", "error"):
            self._answers.put(line)
            return
        with self._changed:
            self._events.append(line)
            self._changed.notify_all()

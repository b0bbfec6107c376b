"""What a World of punch_world is made of: a server's face, a flash, an indicator, a link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from fake_ports import Board, Fs

from ks_agent.effects import Response

FOLDER = "data/journal/"
Key = tuple[str, int]


class Backend(Protocol):
    """A server. `stored`: JID -> SEQ -> row as sent; `named`: what it says that it lacks."""

    crypto: Any
    url: str
    trust: list[dict[str, str]]
    wrong_ms: int

    def expect(self, d1: str, seed: bytes) -> None: ...
    def serve(self, effect: Any, now_ms: int) -> Response: ...
    def snapshot(self) -> None: ...
    def restore(self) -> None: ...
    def restart(self) -> None: ...
    def order(self, d1: str, name: str, payload: str) -> None: ...
    def stored(self) -> dict[str, dict[int, dict[str, str]]]: ...
    def named(self) -> set[Key]: ...


class Flash(Fs):
    """Files that a power cut may leave torn; from then on nothing changes them any more."""

    def __init__(self, removing: Callable[[str], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.torn = 0
        self._left: dict[str, bytes] | None = None
        self._removing = removing

    def sync(self, file: Any) -> None:
        if self.operations_left == 0 and self._left is None:
            old = len(self.files.get(file._path, b""))
            pending = len(file._data) - old
            kept = old + self.torn % (pending + 1) if pending > 0 else old
            self.files[file._path] = bytes(file._data)[:kept]
        super().sync(file)  # type: ignore[no-untyped-call]

    def _change(self) -> None:
        if self.operations_left == 0 and self._left is None:
            self._left = dict(self.files)
        super()._change()  # type: ignore[no-untyped-call]

    def remove(self, path: str) -> None:
        if path in self.files and self.operations_left != 0:
            self._removing(path)
        super().remove(path)  # type: ignore[no-untyped-call]

    def power_on(self) -> None:
        if self._left is not None:
            self.files = self._left
        self._left = None
        self.operations_left = -1


class Indicator(Board):
    """Remembers the last beep."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.beep: dict[str, Any] = {}

    def show(self, event: str, detail: dict[str, Any]) -> None:
        super().show(event, detail)  # type: ignore[no-untyped-call]
        if event == "punch":
            self.beep = detail


@dataclass
class Held:
    """What was held to the reader; `jid` is "" when nobody heard a beep."""

    content: dict[str, str]
    true_ms: int
    jid: str = ""
    seq: int = 0

    @property
    def key(self) -> Key:
        return self.jid, self.seq


@dataclass
class Link:
    """What happens to exchanges; counts go down."""

    up: bool = True
    lose_requests: int = 0
    lose_answers: int = 0
    replay_requests: int = 0
    replay_answers: int = 0
    meanwhile: list[str] = field(default_factory=list)
    last: Response | None = None

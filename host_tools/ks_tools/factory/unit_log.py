"""The log of a unit: what was done to it and what its tools said, without secrets."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

HIDDEN: Final = "***"
# A shorter secret would blacken half of what is said.
SHORTEST: Final = 4
MAX_LINE: Final = 400


class UnitLog:
    """Lines are added with their time, at once; texts that `hide` was told of are blackened."""

    def __init__(self, folder: Path, mac: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{mac.replace(':', '')}.log"
        self._secrets: list[str] = []
        self._lock = threading.Lock()

    def hide(self, *secrets: str | None) -> None:
        """Never show these, in whatever comes from now on."""
        self._secrets += [text for text in secrets if text and len(text) >= SHORTEST]

    def add(self, text: str) -> None:
        """One line, or more."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        lines = [f"{time} {_printable(line)[:MAX_LINE]}\n" for line in text.splitlines()]
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.writelines(lines)


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in line)

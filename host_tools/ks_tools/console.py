"""What the commands say, and how they fail."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class ToolError(Exception):
    """Something a person can put right; the text is one line and says what."""


def say(text: str = "") -> None:
    """One line on stdout, at once even into a pipe."""
    print(text, flush=True)


def warn(text: str) -> None:
    """One line on stderr."""
    print(f"ks: {text}", file=sys.stderr, flush=True)


def rich_console(stderr: bool = False) -> Console:
    """A Rich console; plain and without colours where nobody watches."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def is_watched() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()

"""What the commands say, and how they fail."""

from __future__ import annotations

import io
import os
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


def prepare_output() -> None:
    """What the terminal's encoding has no sign for becomes a question mark, not a crash."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def drop_output() -> None:
    """Throw away what could not be written: Python would complain about it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


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

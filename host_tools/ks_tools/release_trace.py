"""Reading logs and crash reports for `ks release trace`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .console import ToolError

MAX_LINE_BYTES = 1024 * 1024  # a longer one is taken in pieces


def lines(file: Path | None) -> Iterator[str]:
    """The lines of a file, or of standard input, without their ends. Raises ToolError."""
    if file is None:
        yield from _lines(sys.stdin.buffer)
        return
    try:
        with file.open("rb") as opened:
            yield from _lines(opened)
    except OSError as error:
        raise ToolError(f"{file}: {error.strerror}") from None


def _lines(opened: BinaryIO) -> Iterator[str]:
    while line := opened.readline(MAX_LINE_BYTES):
        yield line.decode("utf-8", "replace").rstrip("\r\n")

"""What the commands that ask the admin API share: options, the call, tables, JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .console import ToolError, say
from .workspace import Workspace

if TYPE_CHECKING:
    from ks_simulator.admin_factory import FactoryApi

DEFAULT_SERVER = "http://127.0.0.1:8080"

ServerOption = Annotated[str, typer.Option("--server", help="The server's address.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The answer as JSON on stdout.")]

T = TypeVar("T")


def ask(server: str, data: Path | None, work: Callable[[FactoryApi], Awaitable[T]]) -> T:
    """Do `work` with the admin API. Raises ToolError for what it refuses."""
    from ks_simulator.admin import AdminError
    from ks_simulator.admin_factory import FactoryApi

    token = Workspace.of(data).find_admin_token()

    async def asked() -> T:
        async with FactoryApi.connect(server, token) as api:
            return await work(api)

    try:
        return asyncio.run(asked())
    except AdminError as error:
        raise ToolError(str(error)) from None


def check_id(text: str, what: str = "D1") -> str:
    """An id that may stand in a path. Raises ToolError."""
    from ks_agent import tokens
    from ks_agent.errors import Malformed

    try:
        tokens.check_value("D1", text)
    except Malformed:
        raise ToolError(f"{text!r} is no {what}: [A-Za-z0-9._-]{{1,64}}") from None
    return text


def show_json(value: Any) -> None:
    """A value as JSON on stdout."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(header: Sequence[str], rows: Iterable[Sequence[object]], right: str = "") -> None:
    """Columns as wide as what is in them; those named in `right` end at their right side."""
    from rich.cells import cell_len

    texts = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
    numbers = [name in right.split() for name in header]
    for row in texts:
        cells = []
        for text, width, is_number in zip(row, widths, numbers, strict=True):
            blanks = " " * (width - cell_len(text))
            cells.append(blanks + text if is_number else text + blanks)
        say("  ".join(cells).rstrip())


def printable(cell: object) -> str:
    """A cell as text that cannot steer a terminal: it may come from a device."""
    text = "" if cell is None else str(cell)
    return "".join(character if character.isprintable() else "\ufffd" for character in text)

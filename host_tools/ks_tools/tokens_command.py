"""`ks tokens`: one-time tokens, with which terminals register (OTRT, docs/protocol.md)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asking import DEFAULT_SERVER, JsonOption, ServerOption, ask, check_id, show_json, show_table
from .console import ToolError, say
from .keys_command import DataOption

if TYPE_CHECKING:
    from ks_simulator.admin_factory import FactoryApi

app = typer.Typer(
    help="One-time registration tokens: make them, see which were used.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

HEADER = ("id", "device", "expires", "used", "used_by")
ID_CHARACTERS = 12


@app.command("create")
def create(
    out: Annotated[Path, typer.Argument(help="New file for their texts, one a line; secret.")],
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 1,
    device: Annotated[str, typer.Option(help="One token, for this device alone.")] = "",
    hours: Annotated[int, typer.Option(min=1, max=2160, help="How long they are good.")] = 72,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make tokens, each good for one registration; the server keeps their hashes alone."""
    if device:
        check_id(device)
    if device and count != 1:
        raise ToolError("--device is for one token")

    async def work(api: FactoryApi) -> list[str]:
        if device:
            return [await api.make_token(device, hours)]
        return [token["token"] for token in (await api.make_tokens(count, hours))["tokens"]]

    try:
        # Before they are made: nobody is shown them again.
        file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ToolError(f"{out} cannot be made: {error.strerror}") from None
    try:
        with os.fdopen(file, "w", encoding="ascii") as stream:
            stream.writelines(token + "\n" for token in ask(server, data, work))
    except ToolError:
        out.unlink()
        raise
    if as_json:
        show_json({"file": str(out), "count": count, "device": device or None, "hours": hours})
    else:
        say(f"{count} in {out}, good for {hours} hours" + (f", for {device}" if device else ""))


@app.command("list")
def list_tokens(
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all tokens by their hashes, the newest first."""
    found = ask(server, data, lambda api: api.tokens())
    if as_json:
        show_json(found)
    elif found:
        show_table(HEADER, map(_row, found))
    else:
        say("no tokens")


def _row(token: dict[str, Any]) -> list[object]:
    used = (token["used"] or "-", token["used_by"] or "-")
    return [token["id"][:ID_CHARACTERS], token["d1"] or "any", token["expires"], *used]


@app.command("delete")
def delete(
    token: Annotated[str, typer.Argument(help="The beginning of its id, as `list` shows it.")],
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
) -> None:
    """Make an unused token worthless."""

    async def work(api: FactoryApi) -> str:
        meant = [each for each in await api.tokens() if token and each["id"].startswith(token)]
        if len(meant) != 1:
            raise ToolError(f"{len(meant)} tokens begin with {token!r}")
        if meant[0]["used"]:
            raise ToolError(f"{meant[0]['used_by']} has used it")
        await api.delete_token(meant[0]["id"])
        return str(meant[0]["id"])

    say(f"deleted: {ask(server, data, work)[:ID_CHARACTERS]}")

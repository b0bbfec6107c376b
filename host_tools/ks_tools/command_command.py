"""`ks command`: give a terminal a command, and sign one that takes two administrators."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import ToolError, say
from .keys_command import DataOption
from .workspace import Workspace, read_seed

if TYPE_CHECKING:
    from ks_simulator.admin import AdminApi

DAY_MS = 86_400_000
DEFAULT_DAYS = 7

app = typer.Typer(
    help="Give terminals commands; sign those that take two administrators.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ServerOption = Annotated[str, typer.Option("--server", help="The server's address.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The command as JSON on stdout.")]
IdArgument = Annotated[str, typer.Argument(help="The command's id (CMD1).")]
DEFAULT_SERVER = "http://127.0.0.1:8080"


@app.command("send")
def send(
    d1: Annotated[str, typer.Argument(help="Device id.")],
    name: Annotated[str, typer.Argument(help="Such as IDENTIFY, RESTART, FETCH_LOGS or WIPE.")],
    fields: Annotated[
        list[str] | None, typer.Argument(help="Fields of its payload, as in LEVEL=INFO.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="It expires after as many.")] = DEFAULT_DAYS,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue a command. WIPE, REVOKE and DISTRUST_KEY wait until two administrators have signed."""
    from ks_agent import timetext

    _check("D1", d1)
    payload = dict(_field(text) for text in fields or ())
    expires = timetext.format_ms(int(time.time() * 1000) + days * DAY_MS)

    async def work(api: AdminApi) -> dict[str, Any]:
        return await api.show_command(await api.command(d1, name, payload, expires))

    _tell(_ask(server, data, work), server, as_json)


@app.command("sign")
def sign(
    cmd1: IdArgument,
    key: Annotated[
        Path,
        typer.Option("--key", help="The administrator's key, as in .ks-offline/admin-a.pem."),
    ],
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a drafted command with an administrator's key. The second signature queues it."""
    from ks_agent import signing
    from ks_simulator.keys import CRYPTO

    _check("CMD1", cmd1)
    seed = read_seed(key)

    async def work(api: AdminApi) -> dict[str, Any]:
        drafted = await api.show_command(cmd1)
        if drafted["sign_text"] is None:
            raise ToolError(f"{cmd1} is {drafted['state']}: there is nothing to sign")
        signature = signing.sign_text(CRYPTO, seed, _checked_text(drafted))
        return await api.sign_command(cmd1, str(signature))

    _tell(_ask(server, data, work), server, as_json)


@app.command("show")
def show(
    cmd1: IdArgument,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a command: its state, its signatures and what the terminal answered."""
    _check("CMD1", cmd1)
    _tell(_ask(server, data, lambda api: api.show_command(cmd1)), server, as_json)


def _checked_text(drafted: dict[str, Any]) -> str:
    """What is signed is made from what was shown: a server must not slip another text in."""
    from ks_agent import lines, signing

    row = {"CMD1": drafted["cmd1"], "CMD2": drafted["name"], "CMD5": drafted["expires"]}
    if drafted["payload"]:
        row["CMD3"] = lines.encode(drafted["payload"]).decode("utf-8")
    text = str(signing.admin_text({key: row[key] for key in row if row[key]}, drafted["d1"]))
    if text != drafted["sign_text"]:
        raise ToolError("the server asks for a signature of something else than it shows")
    return text


def _ask(
    server: str, data: Path | None, work: Callable[[AdminApi], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    from .admin import admin_api

    token = Workspace.of(data).find_admin_token()

    async def asked() -> dict[str, Any]:
        async with admin_api(server, token) as api:
            return await work(api)

    return asyncio.run(asked())


def _check(token: str, text: str) -> None:
    from ks_agent import tokens
    from ks_agent.errors import Malformed

    try:
        tokens.check_value(token, text)
    except Malformed:
        raise ToolError(f"{text!r} is no {token}: [A-Za-z0-9._-]{{1,64}}") from None


def _field(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ToolError(f"{text!r} is no field such as LEVEL=INFO")
    return key, value


def _tell(command: dict[str, Any], server: str, as_json: bool) -> None:
    if as_json:
        say(json.dumps(command, indent=2))
        return
    for line in describe(command, server):
        say(line)


def describe(command: dict[str, Any], server: str) -> list[str]:
    """A command for people, and what comes next."""
    at = "" if server == DEFAULT_SERVER else f" --server {server}"
    payload = " ".join(f"{key}={value}" for key, value in command["payload"].items())
    lines = [
        f"{command['cmd1']}  {command['name']} {payload}".rstrip() + f"  for {command['d1']}",
        f"state    {command['state']}, expires {command['expires']}",
    ]
    lines += [f"signed   {key}" for key in command["signed_by"]]
    answer = command["acknowledgement"]
    if answer is not None:
        lines.append(f"answer   {answer['ack1']} {answer['ack2'] or ''}".rstrip())
    if command["state"] == "draft":
        key = "admin-b.pem" if command["signed_by"] else "admin-a.pem"
        lines.append(f"next: ks command sign {command['cmd1']} --key .ks-offline/{key}{at}")
    elif answer is None and command["state"] != "cancelled":
        lines.append(f"next: ks command show {command['cmd1']}{at}")
    return lines

"""`ks whitelist`: devices that may register, each with the one key it must have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .asking import DEFAULT_SERVER, JsonOption, ServerOption, ask, check_id, show_json, show_table
from .console import ToolError, say
from .keys_command import DataOption

if TYPE_CHECKING:
    from ks_simulator.admin_factory import FactoryApi

app = typer.Typer(
    help="The whitelist: which devices may register, and with which key.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

HEADER = ("device", "public_key", "note")
MAX_BYTES: Final = 64 << 20
# What a line of a factory's file may have, and of which kind.
FIELDS: Final = {
    "d1": str,
    "public_key": str,
    "note": str,
    "otrt_hash": str,
    "otrt_expires": int,
    "re_enrol": bool,
}


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="whitelist.jsonl of a batch.")],
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take what a factory line without a link to the server has made: devices with their keys,
    hashes of their one-time tokens, and new keys of repaired ones. Again: nothing changes.
    """
    entries = read_entries(file)

    async def work(api: FactoryApi) -> dict[str, int]:
        return await _store(api, entries)

    counts = ask(server, data, work)
    if as_json:
        show_json(counts)
    else:
        say(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))


async def _store(api: FactoryApi, entries: list[dict[str, Any]]) -> dict[str, int]:
    repaired = 0
    for entry in entries:
        if entry.get("re_enrol"):
            device = await api.device(entry["d1"])
            if device is not None and device["public_key"] != entry["public_key"]:
                await api.re_enrol(entry["d1"], entry["public_key"])
                repaired += 1
    kept = ("d1", "public_key", "note")
    listed = await api.import_whitelist(
        [{name: entry[name] for name in kept if name in entry} for entry in entries]
    )
    tokens = await api.import_tokens(
        [
            {"id": entry["otrt_hash"], "d1": entry["d1"], "expires_ms": entry["otrt_expires"]}
            for entry in entries
            if "otrt_hash" in entry
        ]
    )
    return {**listed, "tokens_added": tokens.get("added", 0), "re_enrolled": repaired}


def read_entries(path: Path) -> list[dict[str, Any]]:
    """The lines of a factory's file. Raises ToolError, which names the line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ToolError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise ToolError(f"{path} cannot be read: {error}") from None
    entries = [
        _entry(f"{path}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not entries:
        raise ToolError(f"{path} has no line")
    return entries


def _entry(place: str, line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise ToolError(f"{place}: no JSON") from None
    if not isinstance(entry, dict) or not {"d1", "public_key"} <= entry.keys():
        raise ToolError(f"{place}: no object with d1 and public_key")
    for name, value in entry.items():
        if type(value) is not FIELDS.get(name):
            raise ToolError(f"{place}: {name} is not known, or of another kind")
    if ("otrt_hash" in entry) != ("otrt_expires" in entry):
        raise ToolError(f"{place}: otrt_hash and otrt_expires belong together")
    check_id(entry["d1"])
    return entry


@app.command("list")
def list_entries(
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who may register."""
    found = ask(server, data, lambda api: api.whitelist_entries())
    if as_json:
        show_json(found)
    elif found:
        show_table(HEADER, ((each["d1"], each["public_key"], each["note"]) for each in found))
    else:
        say("nobody")


@app.command("add")
def add(
    device: Annotated[str, typer.Argument(help="D1, the device's id.")],
    public_key: Annotated[str, typer.Argument(help="D3, its key in base64.")],
    note: Annotated[str, typer.Option(help="For people.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
) -> None:
    """Let a device register with this key and no other."""
    check_id(device)
    ask(server, data, lambda api: api.whitelist(device, public_key, note))
    say(f"{device} may register")


@app.command("remove")
def remove(
    device: Annotated[str, typer.Argument(help="D1, the device's id.")],
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
) -> None:
    """Take a device off the list; one that has registered stays registered."""
    check_id(device)
    ask(server, data, lambda api: api.unlist(device))
    say(f"{device} may not register any more")

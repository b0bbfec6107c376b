"""`ks release`: build, sign and publish what terminals run."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from .console import ToolError, say
from .keys_command import DataOption, OfflineOption
from .workspace import Workspace, read_seed

ARCHITECTURES = ("xtensawin", "rv32imc", "armv7emsp", "x86", "x64")
JsonOption = Annotated[bool, typer.Option("--json", help="What was made, as JSON.")]
ArchitectureOption = Annotated[
    str,
    typer.Option(
        help="Processor that native crypto in bytecode is for: " + ", ".join(ARCHITECTURES) + ".",
        show_default="none",
    ),
]
TablesOption = Annotated[
    int, typer.Option(help="With --architecture: tables of 3,840 bytes a key (1, 2 or 4).")
]

app = typer.Typer(
    help="Build, sign and publish application releases.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("build")
def build(
    version: Annotated[str, typer.Argument(help="Version of the release (semver), as in 1.2.0.")],
    folder: Annotated[
        Path | None,
        typer.Option("--from", help="Folder with main.py and its packages (else: the firmware)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New folder for it.", show_default="app-VERSION"),
    ] = None,
    counter: Annotated[
        int,
        typer.Option(min=0, help="Security counter; terminals never go below the highest seen."),
    ] = 1,
    release_id: Annotated[
        str, typer.Option("--id", help="FW1, the release id.", show_default="app-VERSION")
    ] = "",
    built: Annotated[
        str, typer.Option(help="Build time (else SOURCE_DATE_EPOCH, else now).", show_default="")
    ] = "",
    expires: Annotated[
        str, typer.Option(help="No terminal installs it after this time.", show_default="10 years")
    ] = "",
    types: Annotated[
        str,
        typer.Option(
            help="Device types it is for, comma-separated.", show_default="all with an ESP32 or RPI"
        ),
    ] = "",
    bytecode: Annotated[
        bool, typer.Option("--bytecode", help="For MicroPython alone: compiled, fits a small heap.")
    ] = False,
    architecture: ArchitectureOption = "",
    tables: TablesOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Build a release, unsigned: the files with their manifest. Same input, same bytes."""
    from ks_simulator.application import DEVICE_TYPES

    from . import release as releases

    wanted = tuple(part.strip() for part in types.split(",") if part.strip()) or DEVICE_TYPES
    expires_ms = releases.parse_time(expires) if expires else None
    if architecture and not bytecode:
        raise ToolError("native code needs --bytecode, too")
    files = releases.source_files(folder)
    if bytecode:
        files = releases.compiled_files(files, architecture, tables)
    made = releases.build_release(
        files, version, counter, release_id, built, types=wanted, expires_ms=expires_ms
    )
    target = out or Path(made.token("FW1"))
    releases.write_release(made, target)
    facts = {"fw1": made.token("FW1"), "fw2": version, "manifest": made.manifest_hash}
    _tell(
        {**facts, "files": len(made.files), "folder": str(target)},
        f"{made.token('FW1')} {version}: {len(made.files)} files in {target}",
        f"manifest {made.manifest_hash}",
        f"next: ks release sign {target}",
        as_json=as_json,
    )


@app.command("sign")
def sign(
    folder: Annotated[
        Path, typer.Argument(help="The release's folder, or its manifest.toon alone.")
    ],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="The release key.", show_default=".ks-offline/release.pem"),
    ] = None,
    offline: OfflineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a release's manifest with the release key: the step that is made offline."""
    from . import release as releases

    manifest = folder / releases.MANIFEST if folder.is_dir() else folder
    seed = read_seed(key or Workspace.of(None, offline).release_key)
    signature = releases.sign_manifest(manifest, seed)
    _tell(
        {"signature": str(signature), "folder": str(manifest.parent)},
        f"signed: {signature}",
        f"next: ks release publish {manifest.parent}",
        as_json=as_json,
    )


@app.command("bundle")
def write_bundle(
    folder: Annotated[Path, typer.Argument(help="The signed release's folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle's file.")],
    as_json: JsonOption = False,
) -> None:
    """Write the bundle of a signed release to a file, as a server stores it."""
    from ks_simulator.application import ReleaseError

    from . import release as releases

    try:
        data = releases.read_release(folder).assemble()
    except ReleaseError as error:
        raise ToolError(f"{error}; sign it with: ks release sign {folder}") from None
    out.write_bytes(data)
    facts = {"file": str(out), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    _tell(facts, f"{out}: {len(data)} bytes", as_json=as_json)


@app.command("publish")
def publish(
    folder: Annotated[Path, typer.Argument(help="The signed release's folder.")],
    server: Annotated[str, typer.Option(help="The server's address.")] = "http://127.0.0.1:8080",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload a signed release to the server and offer it to the terminals."""
    from . import release as releases
    from .admin import admin_api

    workspace = Workspace.of(data)
    made = releases.read_release(folder)
    if workspace.trust.exists():
        keys = [key.key for key in workspace.read_trust() if key.role == "release"]
        releases.check_signature(made, keys)
    token = workspace.find_admin_token()

    async def upload() -> None:
        async with admin_api(server, token) as api:
            await api.publish(made.assemble())

    asyncio.run(upload())
    fw1, fw2 = made.token("FW1"), made.token("FW2")
    _tell(
        {"fw1": fw1, "fw2": fw2, "server": server},
        f"{fw1} {fw2} is offered to terminals by {server}",
        as_json=as_json,
    )


def _tell(facts: dict[str, object], *lines: str, as_json: bool) -> None:
    for line in (json.dumps(facts, indent=2),) if as_json else lines:
        say(line)

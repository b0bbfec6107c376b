"""`ks release`: build, sign and publish what terminals run."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from . import release_options as options
from .console import EXIT_FAILED, ToolError, say
from .keys_command import DataOption, OfflineOption
from .workspace import Workspace, read_seed

app = typer.Typer(
    help="Build, sign and publish releases.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("build")
def build(
    version: options.Version,
    folder: options.From = None,
    out: options.Out = None,
    counter: options.Counter = 1,
    release_id: options.Identifier = "",
    built: options.Built = "",
    expires: options.Expires = "",
    types: options.Types = "",
    bytecode: options.Bytecode = False,
    architecture: options.Architecture = "",
    tables: options.Tables = 1,
    kind: options.Kind = "application",
    pack: options.Pack = None,
    window: options.Window = 0,
    board: options.Board = "",
    stage0: options.Stage0 = 0,
    image_min: options.ImageMin = "",
    image_max: options.ImageMax = "",
    image: options.Image = "",
    mpy: options.Mpy = "",
    as_json: options.Json = False,
) -> None:
    """Build a release, unsigned: the files with their manifest. Same input, same bytes.

    An image or an opaque release is made of --from: one file micropython.bin, or any files.
    """
    from . import release as releases

    expires_ms = releases.parse_time(expires) if expires else None
    files = releases.files_of_kind(kind, folder, bytecode, architecture, tables)
    texts = {
        "STAGE0": str(stage0) if stage0 else "",
        "BOARD": ",".join(options.names(board)),
        "IMAGE_MIN": image_min,
        "IMAGE_MAX": image_max,
        "IMAGE": image,
        "MPY": mpy,
        "ARCH": architecture if kind == "image" else "",
        **releases.bytecode_texts(kind, files),
    }
    packed = bytecode if pack is None else pack
    made = releases.build_release(
        files,
        version,
        counter,
        release_id,
        built,
        types=options.names(types) or releases.types_of_kind(kind),
        expires_ms=expires_ms,
        kind=kind,
        window_bits=(window or releases.WINDOW_BITS) if packed else 0,
        texts={name: text for name, text in texts.items() if text},
    )
    target = out or Path(made.token("FW1"))
    releases.write_release(made, target)
    facts = {"fw1": made.token("FW1"), "fw2": version, "manifest": made.manifest_hash}
    size = made.bundle_bytes()
    _tell(
        {**facts, "files": len(made.files), "bytes": size, "folder": str(target)},
        f"{made.token('FW1')} {version}: {len(made.files)} files, {size} bytes, in {target}",
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
    as_json: options.Json = False,
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
    as_json: options.Json = False,
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
    as_json: options.Json = False,
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


@app.command("inspect")
def inspect(
    release: Annotated[Path, typer.Argument(help="A bundle's file, or a release's folder.")],
    data: DataOption = None,
    as_json: options.Json = False,
) -> None:
    """Tell what is in a release: for whom, files and their sizes, and who has signed it.

    Fails when a signature is there that none of the trusted release keys has made.
    """
    from . import release as releases
    from . import release_inspect

    workspace = Workspace.of(data)
    trusted = workspace.read_trust() if workspace.trust.exists() else None
    facts = release_inspect.facts(releases.open_release(release), trusted)
    _tell(facts, *release_inspect.lines(facts), as_json=as_json)
    if facts["signature"] == release_inspect.STRANGER:
        raise typer.Exit(EXIT_FAILED)


@app.command("diff")
def diff(
    old: Annotated[Path, typer.Argument(help="The release that runs: a bundle or a folder.")],
    new: Annotated[Path, typer.Argument(help="The release that comes.")],
    as_json: options.Json = False,
) -> None:
    """Tell what a terminal that runs OLD fetches for NEW, in bytes."""
    from . import release as releases
    from . import release_inspect

    facts = release_inspect.difference(releases.open_release(old), releases.open_release(new))
    _tell(facts, *release_inspect.difference_lines(facts), as_json=as_json)


def _tell(facts: Mapping[str, object], *lines: str, as_json: bool) -> None:
    for line in (json.dumps(facts, indent=2),) if as_json else lines:
        say(line)

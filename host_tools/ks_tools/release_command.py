"""`ks release`: build, sign and publish what terminals run."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import release_options as options
from .console import EXIT_FAILED, ToolError, say
from .keys_command import DataOption, OfflineOption
from .workspace import Workspace, read_seed

if TYPE_CHECKING:
    from ks_simulator.application import Release

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
    like: options.Like = None,
    architecture: options.Architecture = "",
    tables: options.Tables = 1,
    for_chip: options.ForChip = False,
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

    With --bytecode, the map of its short names is written beside it, as FOLDER.names.json: keep it
    for the next release's --like, and for `ks release trace`.
    """
    from . import release as releases
    from . import release_names

    if like and not bytecode:
        raise ToolError("only bytecode has short names: --like needs --bytecode, too")
    if for_chip and not (bytecode and architecture):
        raise ToolError("--for-chip needs --bytecode and --architecture, too")
    compiled = None
    if bytecode:
        compiled = releases.bytecode_files(kind, folder, architecture, tables, like, for_chip)
    files = compiled.files if compiled else releases.plain_files(kind, folder, architecture)
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
        expires_ms=releases.parse_time(expires) if expires else None,
        kind=kind,
        window_bits=(window or releases.WINDOW_BITS) if packed else 0,
        texts={name: text for name, text in texts.items() if text},
    )
    releases.write_release(made, target := out or Path(made.token("FW1")))
    names = release_names.write(target, made, compiled) if compiled else None
    _tell_built(made, target, names, as_json)


def _tell_built(made: Release, target: Path, names: Path | None, as_json: bool) -> None:
    fw1, fw2, size = made.token("FW1"), made.token("FW2"), made.bundle_bytes()
    facts = {
        "fw1": fw1, "fw2": fw2, "manifest": made.manifest_hash, "files": len(made.files),
        "bytes": size, "folder": str(target),
    }  # fmt: skip
    said = [
        f"{fw1} {fw2}: {len(made.files)} files, {size} bytes, in {target}",
        f"manifest {made.manifest_hash}",
    ]
    if names:
        facts["names"] = str(names)
        said.append(f"names {names}: for --like of the next release, and ks release trace")
    _tell(facts, *said, f"next: ks release sign {target}", as_json=as_json)


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


@app.command("trace")
def trace(
    names: Annotated[
        Path,
        typer.Option(help="The map of the release that crashed: FOLDER.names.json, or its folder."),
    ],
    file: Annotated[
        Path | None, typer.Argument(help="A log or a crash report (else: standard input).")
    ] = None,
) -> None:
    """Tell where a crash of a compiled release is in the sources.

    Each line comes out as it went in, but for modules and functions in tracebacks. The line number
    is that where the function begins; bytecode has no others.
    """
    from ks_simulator.tracing import readable

    from . import release_names, release_trace

    known = release_names.of_release(names)
    for line in release_trace.lines(file):
        say(readable(line, known.code, known.names))


def _tell(facts: Mapping[str, object], *lines: str, as_json: bool) -> None:
    for line in (json.dumps(facts, indent=2),) if as_json else lines:
        say(line)

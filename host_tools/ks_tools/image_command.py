"""`ks image`: what a board is flashed with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .asking import JsonOption, show_json, show_table
from .console import ToolError, say, warn
from .keys_command import DataOption, OfflineOption

KIB = 1024
HEADER = ("part", "offset", "partition", "takes", "free")
SOFTWARE_ARCHITECTURES = ("x86", "x64")

BoardOption = Annotated[
    str, typer.Option("--board", help="The board, or the path of a board.toml.")
]
MicroPythonOption = Annotated[
    Path, typer.Option(help="MicroPython's image for the board's chip, as you downloaded it.")
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Folder for the image.")]
TrustOption = Annotated[
    Path | None,
    typer.Option(
        help="The keys that the units trust (trust.toon); else the factory writes them.",
        show_default="none",
    ),
]
ReleaseOption = Annotated[
    Path | None,
    typer.Option(help="A signed release's folder or bundle.", show_default="this firmware"),
]
VersionOption = Annotated[
    str, typer.Option("--release-version", help="The release's version, without --release.")
]
BuiltOption = Annotated[
    str, typer.Option(help="When it counts as built.", show_default="SOURCE_DATE_EPOCH")
]
InjectionOption = Annotated[
    bool,
    typer.Option("--allow-injection", help="Let the factory write keys that it made (option B)."),
]
OwnOption = Annotated[
    bool,
    typer.Option(
        "--own-micropython",
        help="MicroPython is of your own building, for `ks security` (docs/security.md).",
    ),
]
SoftwareOption = Annotated[
    str,
    typer.Option(
        help="For tests: code for x86 or x64, which no real unit is flashed with.",
        show_default="none",
    ),
]

app = typer.Typer(
    help="Build what a board is flashed with.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def image() -> None:
    """Build what a board is flashed with."""


@app.command("build")
def build(
    board: BoardOption,
    micropython: MicroPythonOption,
    output: OutputOption,
    trust: TrustOption = None,
    release: ReleaseOption = None,
    version: VersionOption = "1.0.0",
    built: BuiltOption = "",
    allow_injection: InjectionOption = False,
    own_micropython: OwnOption = False,
    for_software_chip: SoftwareOption = "",
    data: DataOption = None,
    offline: OfflineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the image of a board: partition table, MicroPython, vfs, and all in one for a factory.

    The same input gives the same bytes. You download MicroPython's image, from the page that
    `ks boards` names; it is recorded with its SHA-256.
    """
    from . import image_build, image_release
    from .board_file import find_board
    from .image_micropython import read_image
    from .workspace import Workspace

    found = find_board(board)
    if for_software_chip and for_software_chip not in SOFTWARE_ARCHITECTURES:
        raise ToolError(f"the software chip runs {' or '.join(SOFTWARE_ARCHITECTURES)}")
    architecture = for_software_chip or found.arch
    downloaded = read_image(micropython, found)
    if downloaded.version not in found.micropython.versions:
        tested = ", ".join(found.micropython.versions)
        warn(f"MicroPython {downloaded.version} is not among the versions gone by: {tested}")
    workspace = Workspace.of(data, offline)
    made = (
        image_release.given_release(release, workspace, found, architecture)
        if release
        else image_release.made_release(workspace, architecture, version, built)
    )
    order = image_build.Order(
        found, downloaded, made, architecture, trust, allow_injection, own_micropython
    )
    facts = image_build.build_image(order, output)
    if as_json:
        show_json(facts)
    else:
        _tell(facts, output)


def _tell(facts: dict[str, Any], output: Path) -> None:
    say(f"{facts['board']} ({facts['chip']}), release {facts['release']['fw2']}, "
        f"MicroPython {facts['micropython']['version']} "
        f"({facts['micropython']['name'] or 'which does not say for which board'})")  # fmt: skip
    say("")
    show_table(HEADER, _rows(facts), right="offset partition takes free")
    say("")
    for name, size in sorted(facts["vfs"]["of"].items()):
        say(f"  vfs: {name}: {_kib(size)}")
    say(f"  vfs: left for the second slot and what is being fetched: {_kib(facts['vfs']['free'])}")
    say("")
    say(f"MicroPython's SHA-256: {facts['micropython']['sha256']}")
    say(f"factory image: {output / 'factory.bin'}, for offset 0, "
        f"SHA-256 {facts['factory']['sha256']}")  # fmt: skip
    if facts["built_for"] == "software-chip":
        say("for the software chip alone: no unit can run it")


def _rows(facts: dict[str, Any]) -> list[list[object]]:
    rows = []
    for part in facts["parts"]:
        takes = facts["vfs"]["used"] if part["name"] == "vfs" else part["size"]
        rows.append((part["offset"], part["name"], part["room"], takes))
    for name, erased in facts["erased"].items():
        rows.append((erased["offset"], f"{name} (erased)", erased["size"], 0))
    return [
        [name, hex(offset), _kib(room), _kib(takes), _kib(room - takes)]
        for offset, name, room, takes in sorted(rows)
    ]


def _kib(size: int) -> str:
    return f"{size / KIB:.1f} KiB"

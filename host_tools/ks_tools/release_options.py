"""The options of `ks release build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ARCHITECTURES = ("xtensawin", "rv32imc", "armv7emsp", "x86", "x64")

Json = Annotated[bool, typer.Option("--json", help="What was made, as JSON.")]
Version = Annotated[str, typer.Argument(help="Version of the release (semver), as in 1.2.0.")]
From = Annotated[
    Path | None,
    typer.Option("--from", help="Folder with main.py and its packages (else: the firmware)."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="New folder for it.", show_default="app-VERSION"),
]
Counter = Annotated[
    int,
    typer.Option(min=0, help="Security counter; terminals never go below the highest seen."),
]
Identifier = Annotated[
    str, typer.Option("--id", help="FW1, the release id.", show_default="app-VERSION")
]
Built = Annotated[
    str, typer.Option(help="Build time (else SOURCE_DATE_EPOCH, else now).", show_default="")
]
Expires = Annotated[
    str, typer.Option(help="No terminal installs it after this time.", show_default="10 years")
]
Types = Annotated[
    str,
    typer.Option(
        help="Device types it is for, comma-separated.", show_default="all with an ESP32 or RPI"
    ),
]
Bytecode = Annotated[
    bool, typer.Option("--bytecode", help="For MicroPython alone: compiled, fits a small heap.")
]
Like = Annotated[
    Path | None,
    typer.Option(
        help="With --bytecode: an earlier release (its folder, bundle or .names.json) whose short "
        "names are kept, so that terminals fetch only what changed.",
        show_default="none",
    ),
]
Architecture = Annotated[
    str,
    typer.Option(
        help="Processor that native crypto in bytecode, or an image, is for: "
        + ", ".join(ARCHITECTURES)
        + ".",
        show_default="none",
    ),
]
ForChip = Annotated[
    bool,
    typer.Option("--for-chip", help="The application of an ESP32, which a computer cannot start."),
]
Tables = Annotated[
    int, typer.Option(help="With --architecture: tables of 3,840 bytes a key (1, 2 or 4).")
]
Kind = Annotated[
    str,
    typer.Option(help="application, image (of MicroPython), or opaque (for other devices)."),
]
Pack = Annotated[
    bool | None,
    typer.Option(
        "--pack/--no-pack",
        help="Pack the files that get smaller by it.",
        show_default="with --bytecode",
    ),
]
Window = Annotated[
    int,
    typer.Option(
        help="Pack for a window of 2^N bytes (9 to 12), which a terminal has in memory.",
        show_default="10",
    ),
]
Board = Annotated[str, typer.Option(help="Boards it is for, comma-separated.", show_default="any")]
Stage0 = Annotated[
    int, typer.Option(min=0, help="Oldest stage 0 that can start it.", show_default="any")
]
ImageMin = Annotated[
    str, typer.Option(help="Oldest image of MicroPython it runs on.", show_default="any")
]
ImageMax = Annotated[
    str, typer.Option(help="Newest image of MicroPython it runs on.", show_default="any")
]
Image = Annotated[
    str, typer.Option(help="Of an image: its version of MicroPython.", show_default="none")
]
Mpy = Annotated[
    str, typer.Option(help="Of an image: the bytecode it loads, as in 6.3.", show_default="none")
]


def names(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())

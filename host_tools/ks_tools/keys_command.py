"""`ks keys`: make the keys of the roles, or show their fingerprints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ks_simulator.keys import TrustedKey

from .console import say
from .workspace import Workspace

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="The server's data folder (KS_DATA).", show_default=".ks"),
]
OfflineOption = Annotated[
    Path | None,
    typer.Option(
        "--offline",
        help="Where release and administrator keys lie (KS_OFFLINE_KEYS).",
        show_default=".ks-offline",
    ),
]


def keys(
    data: DataOption = None,
    offline: OfflineOption = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show what terminals trust, make nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Make the role keys: the server's, and apart from it the release and administrator keys.

    Never overwrites a key. trust.toon holds the public halves: it is what a terminal is given in
    the factory.
    """
    workspace = Workspace.of(data, offline)
    trusted = workspace.read_trust() if show else workspace.make_keys()
    if as_json:
        say(json.dumps([_as_dict(key) for key in trusted], indent=2))
        return
    for line in describe(trusted):
        say(line)
    if not show:
        say()
        for line in _where(workspace):
            say(line)


def describe(trusted: Sequence[TrustedKey]) -> list[str]:
    """A line for each key: role, fingerprint, public key."""
    return [
        f"{key.role + (f' {key.seq}' if key.seq else ''):<10} {key.kid}  {key.key}"
        for key in trusted
    ]


def _as_dict(key: TrustedKey) -> dict[str, object]:
    return {"role": key.role, "kid": key.kid, "key": key.key, "seq": key.seq}


def _where(workspace: Workspace) -> list[str]:
    return [
        f"server key     {workspace.server_key}",
        f"trust          {workspace.trust}  (public: for terminals)",
        f"offline keys   {workspace.offline}  (release and administrators)",
        "For real use, move the offline keys to other machines, one administrator's each.",
    ]

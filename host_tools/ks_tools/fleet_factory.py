"""Making simulated terminals for a server: what they run, whom they trust, how they get in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ks_simulator.application import Release, ReleaseError, build, installed_files
from ks_simulator.compiled import compiled
from ks_simulator.interpreters import native_architecture
from ks_simulator.keys import RoleKeys, TrustedKey

from .admin import admin_api
from .console import ToolError, warn
from .workspace import Workspace, read_seed

FACTORY_VERSION = "1.0.0"
FACTORY_COUNTER = 1


def factory_release(workspace: Workspace, micropython: Path | None = None) -> Release:
    """The installed firmware as the release that terminals leave the factory with.

    Compiled for a MicroPython, with native code for it where there is some. Signed with the release
    key where it is at hand: stage 0 and the agent check a slot against the boot record, and
    signatures only of what they install, so another key does no harm. Raises ToolError.
    """
    try:
        files = installed_files()
        if micropython is not None:
            files = compiled(files, architecture=native_architecture(micropython))
        release = build(files, version=FACTORY_VERSION, counter=FACTORY_COUNTER)
    except ReleaseError as error:
        raise ToolError(str(error)) from None
    at_hand = workspace.release_key.exists()
    return release.signed(read_seed(workspace.release_key) if at_hand else RoleKeys.make().release)


def trust_of(workspace: Workspace) -> list[TrustedKey]:
    """The keys that terminals of this server trust. Raises ToolError."""
    if not workspace.trust.exists():
        raise ToolError(
            f"{workspace.trust} is missing: start the server with `ks serve`, "
            "or name its data folder with --data"
        )
    return workspace.read_trust()


async def admit(workspace: Workspace, server: str, keys: Mapping[str, str]) -> bool:
    """Put devices (D1 to D3) on the server's whitelist, if there is a token to do it with.

    Raises ToolError when the server does not answer.
    """
    try:
        token = workspace.find_admin_token()
    except ToolError as error:
        warn(f"the terminals are not whitelisted: {error}")
        return False
    async with admin_api(server, token) as api:
        await api.whitelist_many(keys)
    return True

"""The release that a board's units leave the factory with: made here, or one that is there."""

from __future__ import annotations

from pathlib import Path

from ks_simulator import chip_application
from ks_simulator.application import APPLICATION, FIRST_BUILD_MS, Release, ReleaseError, build

from . import release as releases
from .board_file import Board
from .console import ToolError
from .workspace import Workspace, read_seed

FIRST_COUNTER = 1


def made_release(workspace: Workspace, architecture: str, version: str, built: str) -> Release:
    """The firmware that is installed here, for a processor, signed with the release key.

    Built at `built`, else at SOURCE_DATE_EPOCH, else at one fixed time: the same sources give the
    same bytes. Raises ToolError.
    """
    seed = read_seed(workspace.release_key)
    try:
        files = chip_application.compiled_application(architecture)
        release = build(
            files,
            version=version,
            counter=FIRST_COUNTER,
            built_ms=releases.built_ms(built, default=FIRST_BUILD_MS),
            types=releases.IMAGE_TYPES,
            texts=releases.bytecode_texts(APPLICATION, files),
        )
    except ReleaseError as error:
        raise ToolError(str(error)) from None
    return release.signed(seed)


def given_release(path: Path, workspace: Workspace, board: Board, architecture: str) -> Release:
    """A release's folder or bundle. Raises ToolError for one that the board's units could not start
    or would not believe."""
    release = releases.open_release(path)
    message = release.message
    if message.get("KIND") != APPLICATION:
        raise ToolError(f"{path} is no application, so it cannot be in a slot")
    if message.get("ARCH", architecture) != architecture:
        raise ToolError(f"{path} is for {message['ARCH']}, and the board has {architecture}")
    boards = str(message.get("BOARD", "")).split(",")
    if boards != [""] and board.name not in boards:
        raise ToolError(f"{path} is for other boards: {message['BOARD']}")
    if workspace.trust.exists():
        keys = [key.key for key in workspace.read_trust() if key.role == "release"]
        releases.check_signature(release, keys)
    elif not release.signature:
        raise ToolError(f"{path} is not signed; sign it with: ks release sign {path}")
    return release

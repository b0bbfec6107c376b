"""What a chip runs, as files of its flash: the application, recovery and stage 0.

Compiled for the chip's processor. Each of the three is a program of its own: names that are given
over a whole program (`compiled`) mean nothing to the other two.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePosixPath

from . import recovery
from .application import ENTRY, Release, chip_sources, firmware_folder
from .compiled import compiled

# Modules that are loaded late and are shorter, in characters, become part of what loads them: each
# file takes a block of 4 KB, of which vfs has few. Recovery has more of the heap left than slots.
JOINED = 1400
JOINED_IN_RECOVERY = 2000
# Beside boot.py, which imports it there: mounts the partition of the data.
VOLUMES = "ks_board/volumes.py"
STAGE_0 = {"boot.py": "boot.py", "stage0.py": "stage0.py", "volumes.py": VOLUMES}


def application_files() -> dict[str, bytes]:
    """The sources of a chip's application: its main.py and what that imports, now or later."""
    sources = {**chip_sources(), ENTRY: (firmware_folder() / ENTRY).read_bytes()}
    return recovery.needed(sources, ENTRY, left_out=())


def compiled_application(architecture: str) -> dict[str, bytes]:
    """The same as bytecode with native code. Raises ReleaseError."""
    return compiled(application_files(), architecture=architecture, joined=JOINED)


def recovery_files(architecture: str) -> dict[str, bytes]:
    """The folder `recovery` of a chip, by path from the root. Raises ReleaseError."""
    return {
        str(PurePosixPath(recovery.FOLDER, path)): data
        for path, data in _recovery(architecture).items()
    }


@lru_cache(maxsize=4)
def _recovery(architecture: str) -> Mapping[str, bytes]:
    entry = (firmware_folder() / recovery.CHIP_ENTRY).read_bytes()
    files = recovery.needed({**chip_sources(), ENTRY: entry}, ENTRY)
    return compiled(files, architecture=architecture, joined=JOINED_IN_RECOVERY)


@lru_cache(maxsize=1)
def _stage_0() -> Mapping[str, bytes]:
    folder = firmware_folder()
    return compiled(
        {path: (folder / source).read_bytes() for path, source in STAGE_0.items()},
        entry="boot.py",
    )


def vfs_files(release: Release, architecture: str) -> dict[str, bytes]:
    """Everything on a new chip's `vfs` that is the same for all units of a board, but what names
    the board. Raises ReleaseError."""
    slot = {f"slot_a/{path}": data for path, data in release.slot_files().items()}
    return {**_stage_0(), **recovery_files(architecture), **slot}

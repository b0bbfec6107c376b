"""New code under an old identity: `ks factory flash PORT --keep`.

Written anew: bootloader, MicroPython and `vfs`, in which the unit's own factory.toon and trust.toon
stay. Untouched: NVS with its key, and `data`, but for the boot record: it names the release that
was there. Without it, stage 0 starts the slot that the image brings.

First the old MicroPython is made unable to start, and the new one is written last: the terminal
must not write its flash while that is changed from outside. What is the unit's own is saved on this
side before anything is written, so that whatever is interrupted can be done again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from ks_agent.factory import PATH as FACTORY_PATH
from ks_agent.trust_changes import FACTORY_PATH as TRUST_PATH

from ..image_partitions import TABLE_BYTES
from . import contents
from .contents import BLOCK, Place
from .errors import Refused, UnitFailed
from .run import UnitRun
from .steps_flash import BACKUPS

OWN: Final = (FACTORY_PATH, TRUST_PATH)
BOOT_RECORD: Final = "state/boot.toon"
APPLICATIONS: Final = ("factory", "ota_0", "ota_1")
SECTOR: Final = 0x1000

Parts = list[tuple[int, Path]]


def renew(run: UnitRun) -> str:
    """Write the new code; the device id of the unit, "" for one without. Raises FactoryError."""
    chip = run.flasher.detect()
    image = run.line.image
    image.check_unit(chip.chip, chip.mac)
    run.open_log(chip.mac)
    ours = image.path(image.part("partition-table")).read_bytes()
    if chip.table[:TABLE_BYTES] != ours.ljust(TABLE_BYTES, b"\xff")[:TABLE_BYTES]:
        raise Refused("its flash is divided otherwise than the image's: it cannot be kept")
    places = contents.read_table(chip.table)
    saved = run.line.folder / BACKUPS / f"{chip.mac.replace(':', '')}-keep"
    _save_own(run, places["vfs"], saved)
    for name in APPLICATIONS:
        if name in places:
            run.flasher.erase(places[name].offset, SECTOR)
    with tempfile.TemporaryDirectory() as folder:
        parts = _code(run, Path(folder), saved, places)
        starts = [part for part in parts if part[0] == image.part("micropython").offset]
        others = [part for part in parts if part not in starts]
        run.flasher.write(_without_boot_record(run, places["data"], Path(folder)) + others, False)
        run.flasher.write(starts, False)
        run.flasher.verify(parts)
    d1 = contents.d1_of(_own_file(saved, FACTORY_PATH))
    shutil.rmtree(saved)
    return d1


def _save_own(run: UnitRun, place: Place, saved: Path) -> None:
    """Into a folder, unless an earlier try did; what that left of the flash does not count."""
    if saved.exists():
        return
    fs = contents.mounted(run.flasher.read(place.offset, place.size))
    if fs is None:
        raise Refused("its vfs cannot be read: there is nothing to keep")
    saved.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=saved.parent) as made:
        for path in OWN:
            try:
                with fs.open(path, "rb") as file:
                    (Path(made) / path).write_bytes(file.read())
            except contents.ABSENT:
                continue
        shutil.copytree(made, f"{saved}.new", dirs_exist_ok=True)
    os.replace(f"{saved}.new", saved)


def _own_file(saved: Path, path: str) -> bytes:
    file = saved / path
    return file.read_bytes() if file.exists() else b""


def _code(run: UnitRun, folder: Path, saved: Path, places: dict[str, Place]) -> Parts:
    image = run.line.image
    fs = contents.mounted(image.path(image.part("vfs")).read_bytes())
    for path in OWN:
        data = _own_file(saved, path)
        if data:
            with fs.open(path, "wb") as file:
                file.write(data)
    vfs = folder / "vfs.bin"
    vfs.write_bytes(bytes(fs.context.buffer))
    kept = [(part.offset, image.path(part)) for part in image.parts if part.name != "vfs"]
    parts = [*kept, (image.part("vfs").offset, vfs)]
    if "otadata" in places:  # which of two images starts: the first, which is the one written
        blank = folder / "otadata.bin"
        blank.write_bytes(b"\xff" * places["otadata"].size)
        parts.append((places["otadata"].offset, blank))
    return parts


def _without_boot_record(run: UnitRun, place: Place, folder: Path) -> Parts:
    """The blocks of `data` that change when the boot record goes, as files."""
    before = run.flasher.read(place.offset, place.size)
    fs: Any = contents.mounted(before)
    if fs is None:
        return []
    try:
        fs.remove(BOOT_RECORD)
    except contents.ABSENT:
        return []
    after = bytes(fs.context.buffer)
    if len(after) != len(before):
        raise UnitFailed("its data are not what they should be")
    changed: Parts = []
    for start in range(0, len(before), BLOCK):
        if before[start : start + BLOCK] != after[start : start + BLOCK]:
            path = folder / f"data-{start:x}.bin"
            path.write_bytes(after[start : start + BLOCK])
            changed.append((place.offset + start, path))
    return changed

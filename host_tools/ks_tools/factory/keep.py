"""New code under an old identity: `ks factory flash PORT --keep`.

Written anew: bootloader, MicroPython and `vfs`, in which the unit's own factory.toon and trust.toon
stay. Untouched: NVS with its key, and `data`, but for the boot record: it names the release that
was there. Without it, stage 0 starts the slot that the image brings; until then, the old one.
"""

from __future__ import annotations

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

OWN: Final = (FACTORY_PATH, TRUST_PATH)
BOOT_RECORD: Final = "state/boot.toon"


def renew(run: UnitRun) -> str:
    """Write the new code; the device id of the unit, "" for one without. Raises FactoryError."""
    chip = run.flasher.detect()
    image = run.line.image
    image.check_unit(chip.chip, chip.mac)
    ours = image.path(image.part("partition-table")).read_bytes()
    if chip.table[:TABLE_BYTES] != ours.ljust(TABLE_BYTES, b"\xff")[:TABLE_BYTES]:
        raise Refused("its flash is divided otherwise than the image's: it cannot be kept")
    places = contents.read_table(chip.table)
    old = contents.mounted(run.flasher.read(places["vfs"].offset, places["vfs"].size))
    own = _own_files(old)
    with tempfile.TemporaryDirectory() as folder:
        parts = _parts(run, Path(folder), own, places)
        changed = _without_boot_record(run, places["data"], Path(folder))
        if changed:
            run.flasher.write(changed, erase=False)  # before the code that it would not fit
            run.flasher.verify(changed)
        run.flasher.write(parts, erase=False)
        run.flasher.verify(parts)
    return contents.d1_of(own.get(FACTORY_PATH, b""))


def _own_files(fs: Any) -> dict[str, bytes]:
    found = {}
    for path in OWN:
        try:
            with fs.open(path, "rb") as file:
                found[path] = bytes(file.read())
        except (*contents.ABSENT, AttributeError):
            continue
    return found


def _parts(
    run: UnitRun, folder: Path, own: dict[str, bytes], places: dict[str, Place]
) -> list[tuple[int, Path]]:
    image = run.line.image
    fs = contents.mounted(image.path(image.part("vfs")).read_bytes())
    for path, data in own.items():
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


def _without_boot_record(run: UnitRun, place: Place, folder: Path) -> list[tuple[int, Path]]:
    """The blocks of `data` that change when the boot record goes, as files."""
    before = run.flasher.read(place.offset, place.size)
    fs = contents.mounted(before)
    if fs is None:
        return []
    try:
        fs.remove(BOOT_RECORD)
    except contents.ABSENT:
        return []
    after = bytes(fs.context.buffer)
    if len(after) != len(before):
        raise UnitFailed("its data are not what they should be")
    changed = []
    for start in range(0, len(before), BLOCK):
        if before[start : start + BLOCK] != after[start : start + BLOCK]:
            path = folder / f"data-{start:x}.bin"
            path.write_bytes(after[start : start + BLOCK])
            changed.append((place.offset + start, path))
    return changed

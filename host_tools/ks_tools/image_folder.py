"""The folder that `ks image build` makes: what is flashed where, and what it is.

image.json        everything below, with sizes, hashes and versions
bootloader.bin    MicroPython's own, for the board's flash
partition-table.bin
micropython.bin   the application partition's content
vfs.bin           stage 0, recovery, the first slot, the board's pins
factory.bin       all of these in one, for offset 0; what lies between them is erased
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from .console import ToolError

FACTS: Final = "image.json"
FACTORY: Final = "factory.bin"
FORM: Final = 1
# What the image runs on: a chip, or the software chip of the tests on this computer.
CHIP, SOFTWARE_CHIP = "chip", "software-chip"


@dataclass(frozen=True)
class Part:
    """A file and where it is flashed; `room`: bytes of the partition that it goes into."""

    name: str
    file: str
    offset: int
    size: int
    room: int
    sha256: str


@dataclass(frozen=True)
class ImageFolder:
    """What image.json says, once the files have been compared with it."""

    folder: Path
    board: str
    chip: str
    built_for: str
    flash: int
    parts: tuple[Part, ...]
    factory: Part
    facts: dict[str, Any]

    def path(self, part: Part) -> Path:
        return self.folder / part.file

    def part(self, name: str) -> Part:
        """By name: bootloader, partition-table, micropython, vfs."""
        return next(part for part in self.parts if part.name == name)

    @property
    def sha256(self) -> str:
        """Of the factory image: what an inventory records."""
        return self.factory.sha256

    def check_unit(self, chip: str, mac: str) -> None:
        """Raises ToolError unless the image is for a unit of this chip and MAC.

        Software chips have locally administered addresses, which no maker gives (IEEE 802).
        """
        if chip != self.chip:
            raise ToolError(f"{self.folder} is for the {self.chip}, and this unit has the {chip}")
        try:
            is_software = bool(int(mac.partition(":")[0], 16) & 2)
        except ValueError:
            raise ToolError(f"{mac!r} is no MAC address") from None
        if self.built_for == SOFTWARE_CHIP and not is_software:
            raise ToolError(
                f"{self.folder} is for the software chip (--for-software-chip) and runs on no other"
            )


def part_of(name: str, file: Path, offset: int, room: int) -> Part:
    """A part from its file."""
    data = file.read_bytes()
    return Part(name, file.name, offset, len(data), room, hashlib.sha256(data).hexdigest())


def as_json(parts: list[Part]) -> list[dict[str, object]]:
    return [asdict(part) for part in parts]


def read_folder(folder: Path) -> ImageFolder:
    """Raises ToolError for what is no image folder, and for files that were changed since."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ToolError(f"{folder} has no {FACTS}; make it with: ks image build") from None
    try:
        if facts["form"] != FORM:
            raise ToolError(f"{folder} was made by another version of `ks image build`")
        parts = tuple(Part(**part) for part in facts["parts"])
        found = ImageFolder(
            folder,
            str(facts["board"]),
            str(facts["chip"]),
            str(facts["built_for"]),
            int(facts["flash"]),
            parts,
            Part(**facts["factory"]),
            facts,
        )
    except (KeyError, TypeError, ValueError):
        raise ToolError(f"{folder / FACTS} is damaged") from None
    for part in (*parts, found.factory):
        _check(found.path(part), part)
    return found


def _check(path: Path, part: Part) -> None:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        raise ToolError(f"{path} is missing; make the image anew") from None
    if digest != part.sha256:
        raise ToolError(f"{path} was changed after the image was built")

"""The label of a unit: a QR code for scanners, and the text beside it."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import StationFailed
from .store import Unit

MARK: Final = "KS1"
# Pixels a module, and the quiet zone that ISO/IEC 18004 asks for.
SCALE: Final = 6
BORDER: Final = 4


@dataclass(frozen=True)
class Label:
    """`code` is what a scanner types; `text` is for people, with the password of setup mode."""

    code: str
    text: str


def label_of(unit: Unit) -> Label:
    """The same label for the same unit, also after a rework. Raises StationFailed."""
    if unit.serial is None or unit.d1 is None:
        raise StationFailed(f"{unit.name} has no serial number yet, so it has no label")
    lines = [f"Serial  {unit.serial}", f"Device  {unit.d1}", f"MAC     {unit.mac}"]
    if unit.setup_password:
        lines.append(f"Setup   {unit.setup_password}")
    return Label(f"{MARK}|{unit.serial}|{unit.d1}", "\n".join(lines) + "\n")


def write_label(unit: Unit, folder: Path) -> tuple[Path, Path]:
    """SERIAL.png and SERIAL.txt in the folder, for nobody else to read."""
    try:
        import segno
    except ImportError:
        raise StationFailed("segno is missing: pip install 'ks-terminal[factory]'") from None
    label = label_of(unit)
    picture = io.BytesIO()
    segno.make_qr(label.code, error="m").save(picture, kind="png", scale=SCALE, border=BORDER)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    png, text = folder / f"{unit.serial}.png", folder / f"{unit.serial}.txt"
    _write(png, picture.getvalue())
    _write(text, label.text.encode())
    return png, text


def is_label_of(scanned: str, unit: Unit) -> bool:
    """Whether a scanner has read this unit's label."""
    return scanned.strip() == label_of(unit).code


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    with open(beside, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
    beside.replace(path)

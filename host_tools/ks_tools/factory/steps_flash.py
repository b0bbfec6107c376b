"""The steps that esptool does: detected, identified, flashed, verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import contents
from .contents import Contents
from .errors import Differs, FactoryError, Interrupted, Refused, UnitFailed

if TYPE_CHECKING:
    from .run import UnitRun

BACKUPS: Final = "backups"
# Burnt fuses that a stock image does not start on; an odd number of bits is "on" (ESP32).
_COUNTS: Final = ("FLASH_CRYPT_CNT", "SPI_BOOT_CRYPT_CNT")
_FLAGS: Final = ("ABS_DONE_0", "ABS_DONE_1", "SECURE_BOOT_EN")


def detected(run: UnitRun) -> dict[str, Any]:
    """It has answered; a unit of the batch is an image's chip (see UnitRun)."""
    assert run.chip is not None
    return {"chip": run.chip.chip, "mac": run.chip.mac}


def identified(run: UnitRun) -> dict[str, Any]:
    """eFuses, and whose flash it is. Raises Refused for a board that belongs to somebody."""
    try:
        fuses = run.flasher.efuses()
    except Interrupted:
        raise
    except FactoryError as error:
        fuses = {"unknown": str(error)}
    burnt = burnt_fuses(fuses)
    if burnt:
        raise UnitFailed(f"its eFuses are burnt ({', '.join(burnt)}): a stock image cannot start")
    run.unit = run.store.note(run.unit, efuse="unknown" if "unknown" in fuses else "clean")
    saved = clear_identity(run, _held(run))
    run.is_identified = True
    return {"efuses": fuses, "erases": saved}


def burnt_fuses(fuses: dict[str, str]) -> list[str]:
    """Those of secure boot and flash encryption that are on."""
    numbers = {name: int(text, 0) for name, text in fuses.items() if name in (*_COUNTS, *_FLAGS)}
    burnt = [name for name in _COUNTS if numbers.get(name, 0).bit_count() % 2]
    return burnt + [name for name in _FLAGS if numbers.get(name)]


def _held(run: UnitRun) -> Contents:
    assert run.chip is not None
    return contents.look(run.chip.table, run.flasher.read)


def clear_identity(run: UnitRun, held: Contents) -> str:
    """What the coming erasure will take, its journal saved; "" for a blank board.

    Raises Refused where nobody has said that it may be erased.
    """
    if not held.is_somebody:
        return ""
    if not (run.unit.generation or run.line.may_erase_identity):
        raise Refused(
            f"the board holds {held.text}: it is left alone; a unit of this batch: "
            "ks factory rework SERIAL; any other: ks factory flash PORT --erase-identity"
        )
    if held.journal and run.line.save_journal(held.text):
        folder = contents.save_journal(held, run.line.folder / BACKUPS, run.unit.mac)
        run.log.add(f"its journal is saved: {folder}")
        return f"{held.text}, saved in {folder.name}"
    return held.text


def flashed(run: UnitRun) -> dict[str, Any]:
    """The whole flash erased, the image's parts written."""
    run.close_link()
    if not run.is_identified:
        _look_again(run)
    image = run.line.image
    with _once_anew(run):
        run.flasher.write(places(run), erase=True)
    run.unit = run.store.note(run.unit, image_sha256=image.sha256)
    return {"image": image.sha256, "bytes": sum(part.size for part in image.parts)}


def _look_again(run: UnitRun) -> None:
    """It was identified by an earlier run, and may have worked as a terminal since then.

    A key alone is of that run's own, too.
    """
    held = _held(run)
    if held.d1 or held.journal:
        clear_identity(run, held)


def verified(run: UnitRun) -> dict[str, Any]:
    """By another esptool, before it starts for the first time."""
    with _once_anew(run):
        run.flasher.verify(places(run))
    return {part.name: part.sha256 for part in run.line.image.parts}


@contextmanager
def _once_anew(run: UnitRun) -> Iterator[None]:
    """A power cut between writing and comparing starts the unit, which then writes its flash."""
    try:
        yield
    except Differs as error:
        if run.store.failures(run.unit, "flashed") + run.store.failures(run.unit, "verified"):
            raise UnitFailed(f"written twice: {error}") from None
        run.go_back("identified", str(error))
        raise


def places(run: UnitRun) -> list[tuple[int, Path]]:
    """The image's parts: where, and which file."""
    image = run.line.image
    return [(part.offset, image.path(part)) for part in image.parts]

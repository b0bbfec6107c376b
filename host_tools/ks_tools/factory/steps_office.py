"""The steps that need the office: whitelisted, labelled, done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .errors import StationFailed
from .label import is_label_of, label_of, write_label
from .people import program

if TYPE_CHECKING:
    from .run import UnitRun

LABELS: Final = "labels"
SCAN_TRIES: Final = 3


def whitelisted(run: UnitRun) -> dict[str, Any]:
    """Its id with its key at the server, or in the file for it."""
    return run.line.office.admit(run.unit)


def labelled(run: UnitRun) -> dict[str, Any]:
    """Written, printed, scanned back, compared."""
    rules = run.batch.label
    png, text = write_label(run.unit, run.line.folder / LABELS)
    values = {"png": str(png), "text": str(text), "serial": str(run.unit.serial)}
    if rules.print:
        program(rules.print, **values)
    if not rules.scan and not rules.person:
        return {"file": png.name, "scanned": False}
    for attempt in range(1, SCAN_TRIES + 1):
        scanned = _scan(run, values)
        if is_label_of(scanned, run.unit):
            return {"file": png.name, "scanned": True, "scans": attempt}
        run.log.add(f"another label was scanned: {scanned[:80]!r}")
        run.line.view.show(run.port, f"wrong label: {scanned[:40]!r}")
    raise StationFailed(f"the label of {run.unit.serial} was not scanned; it reads as another")


def _scan(run: UnitRun, values: dict[str, str]) -> str:
    if run.batch.label.scan:
        return program(run.batch.label.scan, **values)
    run.line.view.show(run.port, "scan its label")
    return run.line.people.scan(run.port, f"scan the label of {label_of(run.unit).code}")


def done(run: UnitRun) -> dict[str, Any]:
    """Once the server has heard of it, where batch.toml says to wait for that."""
    limit_s = run.batch.server.heartbeat_timeout_s
    if not limit_s:
        return {}
    run.line.view.show(run.port, "waits for its first heartbeat")
    if not run.line.office.heard_of(run.unit, limit_s, run.line.stop):
        raise StationFailed(f"no heartbeat of {run.unit.d1} within {limit_s} s")
    return {"heard_of": True}

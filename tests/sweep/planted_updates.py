"""Planted bugs in stage 0 and updates; see mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import stage0

from ks_agent import install, outbox, slots, trial, unpack, update_record

from .mistakes import before, mistake


def _nothing(*arguments: Any) -> None:
    pass


def _stage_early(installer: Any) -> Any:
    _begin_slot(installer)
    installer._stage()


_begin_slot: Any = install.Installer._begin_slot
mistake(
    "the boot record names a slot that is not whole yet",
    "download",
    (install.Installer, "_begin_slot", _stage_early),
)


def _verify_nothing(fs: Any, sha256: Any, slot: str, manifest_hash: str | None) -> str:
    with fs.open(f"slot_{slot}/manifest.toon", "rb") as file:
        return manifest_hash or sha256(file.read()).hexdigest()


mistake(
    "stage 0 believes that a slot is whole",
    "download",
    (install.Installer, "_begin_slot", _stage_early),
    (stage0, "verify", _verify_nothing),
)
mistake(
    "a release is confirmed before the security counter is raised",
    "confirm",
    before(trial.Trial, "prove", lambda self: self._slots.confirm()),
)


def _begin_again(self: Any, row: Any, size: int) -> int:
    count: int = _take_up(self, row, size)
    if count and self._file is not None:
        self._file.close()
        self._file = self._fs.open(self._folder + "/.part", "wb")
        self._file.write(bytes(count))
    return count


def _believe_file(self: Any) -> None:
    row = self._row
    self._sync_and_close()
    self._row = None
    self._put("/.part", row)


def _believe_slot(self: Any, head: bytes) -> Iterator[Any]:
    return
    yield


_take_up: Any = unpack.Unpacker._take_up
mistake(
    "what was kept of a file is believed, whatever it is",
    "download",
    (unpack.Unpacker, "_take_up", _begin_again),
    (unpack.Unpacker, "_end_file", _believe_file),
    (unpack.Unpacker, "verify", _believe_slot),
)
mistake(
    "the security counter is not raised",
    "confirm",
    (trial, "counter_in", lambda vault: 1 << 20),
    at_once=True,
)
mistake(
    "a try is not counted before it begins",
    "rollback",
    (stage0, "write_record", _nothing),
    at_once=True,
)


def _confirm_by_halves(self: Any) -> None:
    record = {"SLOT": self.record["SLOT"], "MANIFEST": self.record["MANIFEST"]}
    self._store.remove(slots.BOOT_PATH)
    self._write(record)


mistake(
    "confirmed in two steps",
    "rollback",
    (slots.Slots, "confirm", _confirm_by_halves),
)


def _report_late(self: Any, status: str, text: str, rows: Any = None, log_id: Any = None) -> None:
    fields = self.fields
    self.write(
        {**{key: fields[key] for key in update_record._KEPT if key in fields}, **(rows or {})}
    )
    if "FW1" in fields:
        self.acknowledge(fields, status, text, log_id)


mistake(
    "an update's end is forgotten before it is in the outbox",
    "confirm",
    (update_record.UpdateRecord, "report", _report_late),
)


def _forget_early(self: Any, tried: str | None) -> None:
    record = self._slots.record
    self._slots.forget_rollback()
    self._slots.record = record
    _rolled_back(self, tried)


_rolled_back: Any = trial.Trial._rolled_back
mistake(
    "a rollback is forgotten before it is reported",
    "rollback",
    (trial.Trial, "_rolled_back", _forget_early),
)


def _flush_carelessly(self: Any, exchange: Any) -> Iterator[Any]:
    for name in self._store.names(outbox.FOLDER):
        path = outbox.FOLDER + "/" + name
        entry = self._store.read_as(path, outbox.FIELDS)
        self._store.remove(path)
        yield from self._send(exchange, entry)


mistake(
    "an acknowledgement is removed before it is sent",
    "confirm",
    (outbox.Outbox, "flush", _flush_carelessly),
)

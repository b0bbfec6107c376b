"""Deliberate mistakes, to be switched on one at a time: the sweep must notice each of them.

A mistake is put into the device's own code, in place, and taken out again; `phases` are those in
which it does its harm, the quickest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import cut_planted
import cut_planted_lists
import stage0

from ks_agent import (
    allow_pages,
    config_changes,
    effectors,
    identity_changes,
    journal,
    journal_read,
    outbox,
    performed,
    punch_upload,
    rotation,
    slots,
    store,
    trial,
    trust,
    unpack,
    update,
    update_record,
)
from ks_agent.ports import COUNTER, KEY, KEY_NEXT

Change = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mistake:
    """`changes`: (object, attribute, what it is instead). `at_once`: it does harm without a cut."""

    name: str
    phases: tuple[str, ...]
    changes: tuple[Change, ...]
    at_once: bool

    @contextmanager
    def switched_on(self) -> Iterator[None]:
        with ExitStack() as stack:
            for where, name, value in self.changes:
                stack.enter_context(patch.object(where, name, value))
            yield


MISTAKES: dict[str, Mistake] = {}


def _mistake(name: str, phases: str, *changes: Change, at_once: bool = False) -> None:
    MISTAKES[name] = Mistake(name, tuple(phases.split()), changes, at_once)


def _before(where: Any, name: str, deed: Callable[..., None]) -> Change:
    """The method as it is, after a deed with its arguments."""
    method = getattr(where, name)

    def changed(*arguments: Any, **named: Any) -> Any:
        deed(*arguments, **named)
        return method(*arguments, **named)

    return where, name, changed


def _nothing(*arguments: Any) -> None:
    pass


# Records.
def _name_first(self: Any, path: str, data: bytes) -> None:
    self._make_folders(path)
    self._fs.open(path + ".new", "wb").close()
    self._fs.rename(path + ".new", path)
    with self._fs.open(path, "wb") as file:
        file.write(data)
        self._fs.sync(file)


_mistake(
    "renamed before it is synced",
    "heartbeat config-proven confirm",
    (store.Store, "write_bytes", _name_first),
)
_mistake(
    "removed before the new one is renamed",
    "config-proven confirm",
    (store.Store, "write_bytes", cut_planted.RemoveBeforeRename.write_bytes),
)
_mistake(
    "written in place",
    "config-proven confirm",
    (store.Store, "write_bytes", cut_planted.WrittenInPlace.write_bytes),
)


# Updates.
def _stage_early(updater: Any, offer: Any, *arguments: Any) -> Any:
    _begin_slot(updater, offer, *arguments)
    updater._record.remember(offer, updater._manifest_hash)
    updater.slots.stage(updater._manifest_hash)


_begin_slot: Any = update.Updater._begin_slot
_mistake(
    "the boot record names a slot that is not whole yet",
    "download",
    (update.Updater, "_begin_slot", _stage_early),
)


def _verify_nothing(fs: Any, sha256: Any, slot: str, manifest_hash: str | None) -> str:
    with fs.open(f"slot_{slot}/manifest.toon", "rb") as file:
        return manifest_hash or sha256(file.read()).hexdigest()


_mistake(
    "stage 0 believes that a slot is whole",
    "download",
    (update.Updater, "_begin_slot", _stage_early),
    (stage0, "verify", _verify_nothing),
)
_mistake(
    "a release is confirmed before the security counter is raised",
    "confirm",
    _before(trial.Trial, "prove", lambda self: self._slots.confirm()),
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
_mistake(
    "what was kept of a file is believed, whatever it is",
    "download",
    (unpack.Unpacker, "_take_up", _begin_again),
    (unpack.Unpacker, "_end_file", _believe_file),
    (unpack.Unpacker, "verify", _believe_slot),
)
_mistake(
    "the security counter is not raised",
    "confirm",
    (trial, "counter_in", lambda vault: 1 << 20),
    at_once=True,
)
_mistake(
    "a try is not counted before it begins",
    "rollback",
    (stage0, "write_record", _nothing),
    at_once=True,
)


def _confirm_by_halves(self: Any) -> None:
    record = {"SLOT": self.record["SLOT"], "MANIFEST": self.record["MANIFEST"]}
    self._store.remove(slots.BOOT_PATH)
    self._write(record)


_mistake(
    "confirmed in two steps",
    "confirm rollback",
    (slots.Slots, "confirm", _confirm_by_halves),
)


def _report_late(self: Any, status: str, text: str, rows: Any = None, log_id: Any = None) -> None:
    fields = self.fields
    self.write(
        {**{key: fields[key] for key in update_record._KEPT if key in fields}, **(rows or {})}
    )
    if "FW1" in fields:
        self.acknowledge(fields, status, text, log_id)


_mistake(
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
_mistake(
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


_mistake(
    "an acknowledgement is removed before it is sent",
    "confirm",
    (outbox.Outbox, "flush", _flush_carelessly),
)


# Commands.
def _begin_in_memory(self: Any, command: Any, capacity: int = 56) -> bool:
    if command["CMD2"] == "RESTART":
        return bool(_begin(self, command, capacity))
    row = {"CMD1": command["CMD1"], "CMD2": command["CMD2"], "STATE": performed.STARTED}
    row["UNTIL"] = self._until(command)
    self._rows = [*self._rows, row]
    return True


_begin: Any = performed.Performed.begin
_mistake(
    "a command is performed before its record",
    "commands",
    (performed.Performed, "begin", _begin_in_memory),
)


# Keys.
_mistake(
    "the old key is erased before the new one is known",
    "key-rotation",
    _before(rotation.Rotation, "rotate", lambda self: self._ports.vault.erase(KEY)),
)


def _forget_first(self: Any, seed: bytes) -> None:
    self._ports.vault.erase(KEY_NEXT)
    self._ports.vault.set(KEY, seed)
    self._identity.use_seed(seed)


_mistake(
    "the new key is forgotten before it is the key",
    "key-rotation",
    (rotation.Rotation, "_commit", _forget_first),
)


def _trust_one_by_one(self: Any, rows: Any, distrusted: Any) -> None:
    for count in range(1, len(rows) + 1):
        record = {"TRUST": rows[:count], "DISTRUSTED": [{"KEY": key} for key in distrusted]}
        self._store.write(trust.PATH, record)
    self.rows = rows
    self.distrusted = distrusted


_mistake(
    "the trust store is written key by key",
    "link trust-change",
    (trust.Trust, "write", _trust_one_by_one),
)


# Configuration.
def _say_first(self: Any, applied: bool) -> None:
    config = self._agent.config
    if applied:
        self.commands.finish(config.cmd1, "OK", "applied")
    _finish_config_trial(self, applied)


_finish_config_trial: Any = effectors.Effectors.finish_config_trial
_mistake(
    "a configuration is said to be in use before it is stored",
    "config-proven",
    (effectors.Effectors, "finish_config_trial", _say_first),
)


def _accept_at_once(config: Any, kept: Any, clock: Any, fields: Any, cmd1: str) -> None:
    _try_out(config, kept, clock, fields, cmd1)
    kept.write("data/state/config.toon", config.trial)


_try_out: Any = config_changes.try_out
_mistake(
    "a configuration is taken before it is proven",
    "config-failed",
    (config_changes, "try_out", _accept_at_once),
    at_once=True,
)


# Punches.
def _sync_when_read(held: Any, count: int) -> Any:
    if held._file is not None:
        held.fs.sync(held._file)
    return _batch(held, count)


_batch: Any = journal_read.batch
_mistake(
    "the beep comes before the punch is synced",
    "journal-append",
    (journal.Journal, "_write", cut_planted.BeepBeforeSync._write),
    (punch_upload, "batch", _sync_when_read),
)


def _begin_unsynced(self: Any, data: bytes) -> None:
    self._make_room()
    if self._file is not None:
        self._file.close()
    self._file = self.fs.open(self.path(self.last + 1), "wb")
    self._file.write(data)
    self.last += 1
    self.size = len(data)


_mistake(
    "a new segment is not synced",
    "journal-roll",
    (journal.Journal, "_begin", _begin_unsynced),
    (punch_upload, "batch", _sync_when_read),
)


# The allow list.
_mistake(
    "the allow list is written over itself",
    "allow-list",
    (allow_pages, "refresh", cut_planted_lists.built_in_place),
)


# The end.
def _lay_aside(self: Any) -> None:
    kept = self._agent.store
    record = kept.read(store.WIPE_PATH)
    kept.remove(store.WIPE_PATH)
    kept.clear("data/journal")
    kept.write(store.WIPE_PATH, record)


_mistake(
    "a wipe erases its own record first, and writes it again",
    "wipe",
    _before(effectors.Effectors, "finish_erasing", _lay_aside),
)


def _set_anew(identity: Any, ports: Any) -> None:
    counter = ports.vault.get(COUNTER)
    if counter is not None:
        ports.vault.erase(COUNTER)
        ports.vault.set(COUNTER, counter)


_mistake(
    "a wipe erases the security counter, and sets it again",
    "wipe",
    _before(identity_changes, "erase_key", _set_anew),
)

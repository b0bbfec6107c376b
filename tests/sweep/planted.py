"""Planted bugs in records, commands, keys, configurations, punches and the end; see mistakes."""

from __future__ import annotations

from typing import Any

import cut_planted
import cut_planted_lists

from ks_agent import (
    allow_pages,
    config_changes,
    effectors,
    identity_changes,
    journal,
    journal_read,
    lines,
    performed,
    punch_upload,
    rotation,
    store,
    trust,
)
from ks_agent.ports import COUNTER, KEY, KEY_NEXT

from . import planted_starts, planted_updates
from .mistakes import MISTAKES, before, mistake

__all__ = ("MISTAKES", "planted_starts", "planted_updates")


# Records.
def _name_first(self: Any, path: str, data: bytes) -> None:
    self._make_folders(path)
    self._fs.open(path + ".new", "wb").close()
    self._fs.rename(path + ".new", path)
    with self._fs.open(path, "wb") as file:
        file.write(data)
        self._fs.sync(file)


mistake(
    "renamed before it is synced",
    "heartbeat config-proven confirm",
    (store.Store, "write_bytes", _name_first),
)
mistake(
    "removed before the new one is renamed",
    "config-proven confirm",
    (store.Store, "write_bytes", cut_planted.RemoveBeforeRename.write_bytes),
)
mistake(
    "written in place",
    "config-proven confirm",
    (store.Store, "write_bytes", cut_planted.WrittenInPlace.write_bytes),
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
mistake(
    "a command is performed before its record",
    "commands",
    (performed.Performed, "begin", _begin_in_memory),
)


# Keys.
mistake(
    "the old key is erased before the new one is known",
    "key-rotation",
    before(rotation.Rotation, "rotate", lambda self: self._ports.vault.erase(KEY)),
)


def _forget_first(self: Any, seed: bytes) -> None:
    self._ports.vault.erase(KEY_NEXT)
    self._ports.vault.set(KEY, seed)
    self._identity.use_seed(seed)


mistake(
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


mistake(
    "the trust store is written key by key",
    "link trust-change",
    (trust.Trust, "write", _trust_one_by_one),
)


def _not_trusted(self: Any, name: str, row: Any) -> Any:
    if name != "DISTRUST_KEY":
        return _visible(self, name, row)
    payload = lines.decode(row["CMD3"].encode(), 4096)
    return not self._agent.trust.has(payload["ROLE"], payload["KEY"])


_visible: Any = effectors.Effectors.visible
mistake(
    "a key that is not trusted is taken for one that was distrusted",
    "distrust",
    (effectors.Effectors, "visible", _not_trusted),
)


# Configuration.
def _say_first(self: Any, applied: bool) -> None:
    config = self._agent.config
    if applied:
        self.commands.finish(config.cmd1, "OK", "applied")
    _finish_config_trial(self, applied)


_finish_config_trial: Any = effectors.Effectors.finish_config_trial
mistake(
    "a configuration is said to be in use before it is stored",
    "config-proven",
    (effectors.Effectors, "finish_config_trial", _say_first),
)


def _accept_at_once(config: Any, kept: Any, clock: Any, fields: Any, cmd1: str) -> None:
    _try_out(config, kept, clock, fields, cmd1)
    kept.write("data/state/config.toon", config.trial)


_try_out: Any = config_changes.try_out
mistake(
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
mistake(
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


mistake(
    "a new segment is not synced",
    "journal-roll",
    (journal.Journal, "_begin", _begin_unsynced),
    (punch_upload, "batch", _sync_when_read),
)


# The allow list.
mistake(
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


mistake(
    "a wipe erases its own record first, and writes it again",
    "wipe",
    before(effectors.Effectors, "finish_erasing", _lay_aside),
)


def _set_anew(identity: Any, ports: Any) -> None:
    counter = ports.vault.get(COUNTER)
    if counter is not None:
        ports.vault.erase(COUNTER)
        ports.vault.set(COUNTER, counter)


mistake(
    "a wipe erases the security counter, and sets it again",
    "wipe",
    before(identity_changes, "erase_key", _set_anew),
)

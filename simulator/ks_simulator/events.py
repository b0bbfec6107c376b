"""What a terminal tells of its life: `EVENT name KEY=value ...` lines, and events in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

PREFIX = "EVENT "


@dataclass(frozen=True)
class Event:
    """One thing that happened at a terminal."""

    name: str
    detail: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.detail.items())])


def parse_event(line: str) -> Event | None:
    """The event in a line that `ks_driver.host.HostBoard` printed; None for any other line."""
    if not line.startswith(PREFIX):
        return None
    name, *words = line[len(PREFIX) :].split(" ")
    detail = {}
    for word in words:
        key, _, value = word.partition("=")
        detail[unquote(key)] = unquote(value)
    return Event(unquote(name), detail)


_SENTENCES = {
    "boot": "power on",
    "power": "power cut",
    "key_made": "made its key",
    "registered": "registered as {D1}",
    "heartbeat": "heartbeat answered, server time {TS}",
    "refused": "the server refuses: {ERR1}",
    "unbelievable": "does not believe an answer: {reason}",
    "offline": "no link: {reason}",
    "command": "performs {CMD2} ({CMD1})",
    "acknowledged": "acknowledges {CMD1}: {ACK1} {ACK2}",
    "identify": "blinks and beeps: here I am",
    "update_offered": "is offered release {FW1}, version {FW2}",
    "update_staged": "has verified release {FW1}: the next boot tries it",
    "update_trial": "tries version {FW2}",
    "update_confirmed": "confirms version {FW2}: a signed heartbeat got through",
    "update_refused": "refuses release {FW1}: {reason}",
    "update_rolled_back": "rolled back {FW2}",
    "recovery": "has no good slot: recovery asks for a release",
    "recovery_failed": "recovery failed: {REASON}",
    "punch": "beeps: {A2}, punch {SEQ} is recorded",
    "punch_refused": "refuses a punch: {S1}",
    "punches_uploaded": "its server has every punch up to {ACK_SEQ}",
    "journal_warning": "the journal is {J1} % full: {J2} more punches fit",
    "journal_full": "THE JOURNAL IS FULL: no punch is taken",
    "restart": "restarts: {REASON}",
    "crash": "crashed: {TEXT}",
    "dormant": "is dormant: wiped, waits to be provisioned",
    "dead": "has no slot that it can start, nor recovery",
    "wiped": "has erased itself",
}
GOOD = frozenset(("registered", "heartbeat", "identify", "update_confirmed", "key_made", "punch"))
BAD = frozenset(
    (
        "refused",
        "unbelievable",
        "offline",
        "update_refused",
        "update_rolled_back",
        "crash",
        "dead",
        "punch_refused",
        "journal_full",
    )
)


def sentence(event: Event) -> str:
    """The event as a person says it; events without a sentence as they are."""
    template = _SENTENCES.get(event.name)
    if template is None:
        return str(event)
    try:
        return template.format_map(event.detail).rstrip()
    except KeyError:
        return str(event)

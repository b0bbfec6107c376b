"""Punches: what a person holds to the terminal becomes a record, or a refusal that is told.

`take` is for the reader: it may be called whenever the agent's generator waits in an effect, and
has stored the punch when it returns "accepted". Uploading is in punch_upload.
"""

from . import life, utf8
from .clock import DAY_MS
from .errors import Corrupt
from .journal import Full, Journal
from .persons import Persons
from .punch import DIRECTIONS, METHODS
from .segment import E1_MAX_BYTES

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
UNKNOWN = "unknown"
NO_KEY = "no_key"
FULL = "full"
FAILED = "failed"
CLOSED = "closed"

BATCH = 20
ALLOW_FOLDER = "data/allow"
LIST_PATH = ALLOW_FOLDER + "/list.bin"
IN_SERVICE = (life.UNREGISTERED, life.ACTIVE)
SPARE_BYTES = 1024
# Percents of the capacity, and the last punches that fit, at which the terminal warns.
LEVELS = (80, 95)
LAST = 99


class Punches:
    """`due_ms`: when the next upload is due, in ms since boot; None when nothing waits."""

    def __init__(self, agent):
        ports = agent.ports
        self._identity = agent.identity
        self._config = agent.config
        self._clock = agent.clock
        self._log = agent.log
        self._board = ports.board
        self._store = agent.store
        self._spare = None
        self.journal = Journal(ports.fs, ports.crypto, ports.rng)
        self.persons = Persons(ports.crypto.sha256)
        self._fs = ports.fs
        self.load_list()
        self.boot = 0
        self.due_ms = None
        self.heard = None
        self.batch = BATCH
        self._level = 0

    def take(self, credential, method="RFID", key=""):
        """ACCEPTED once the punch is on flash, else why not. `key`: the direction chosen by key.

        A heap that is full has a spare piece for this.
        """
        for _ in range(2):
            try:
                outcome = self._take(credential, method, key)
                break
            except MemoryError:
                self._spare = None
                outcome = FAILED
            except OSError as error:
                self._log.add("FATAL", "punch not stored: %s" % error)
                outcome = FAILED
                break
        if outcome != ACCEPTED:
            self._show("punch_refused", {"S1": outcome})
        if self._spare is None:
            self.reserve()
        return outcome

    def reserve(self):
        try:
            self._spare = bytearray(SPARE_BYTES)
        except MemoryError:
            pass

    def _take(self, credential, method, key):
        if not self.boot or self._identity.state not in IN_SERVICE:
            return CLOSED
        if not _is_credential(credential) or method not in METHODS:
            return UNKNOWN
        e1 = self._person(credential)
        if e1 is None:
            return UNKNOWN
        up_ms = self._clock.ticks_ms()
        time_ms = self._clock.time_ms()
        day = self.day(time_ms)
        last = self.persons.find(e1)
        if self._is_duplicate(last, up_ms):
            return DUPLICATE
        a2 = self._direction(last, day, key)
        if a2 is None:
            return NO_KEY
        try:
            synced = self._clock.synced
            punch = self.journal.append(e1, a2, method, synced, self.boot, up_ms, time_ms)
        except Full:
            if self._level <= 100:
                self._level = 101
                self._log.add("FATAL", "the journal is full: punches are refused")
            self._show("journal_full", {})
            return FULL
        self._stored(punch, e1, up_ms, day)
        return ACCEPTED

    def _stored(self, punch, e1, up_ms, day):
        """From here on nothing may fail: it has happened."""
        try:
            shown = {key: punch[key] for key in ("A2", "JID", "SEQ")}
            self._show("punch", dict(shown, S1=ACCEPTED))
            if self.due_ms is None:
                delay_ms = int(self._config.get("UPLOAD_DELAY_S", "2")) * 1000
                self.due_ms = up_ms + delay_ms
            self.persons.remember(e1, up_ms // 1000 + 1, day, DIRECTIONS.index(punch["A2"]))
            self.warn()
        except MemoryError:
            pass

    def _show(self, event, detail):
        try:
            self._board.show(event, detail)
        except MemoryError:
            pass

    def _person(self, credential):
        if self.allow_list is not None:
            try:
                e1 = self.allow_list.find(credential)
            except (Corrupt, OSError):
                self._log.error("the allow list was damaged")
                e1 = None
            if e1 is not None:
                return e1
        return credential if self._config.get("UNKNOWN", "RECORD") == "RECORD" else None

    def _is_duplicate(self, last, up_ms):
        """Within this boot alone: nobody knows how long the power was gone."""
        window_s = int(self._config.get("DUPLICATE_S", "60"))
        return last is not None and last[0] and up_ms // 1000 + 1 - last[0] < window_s

    def _direction(self, last, day, key):
        rule = self._config.get("DIRECTION", "TOGGLE")
        if rule == "KEY":
            return key if key in DIRECTIONS else None
        if rule == "TOGGLE":
            here = last is not None and last[1] == day & 0xFFFF and not last[2] & 1
            return "OUT" if here else "IN"
        return rule

    def day(self, time_ms):
        """The number of the day that a moment belongs to, for directions that toggle."""
        text = self._config.get("DAY_START", "00:00")
        start_ms = (int(text[:2]) * 60 + int(text[3:])) * 60000
        return max(time_ms - start_ms, 0) // DAY_MS

    def warn(self):
        """Say when the journal becomes full: once a level, and for each of the last punches."""
        percent, left = self.journal.used_percent(), self.journal.left()
        level = 0
        for limit in LEVELS:
            if percent >= limit:
                level = limit
        if left <= LAST:
            level = 100
        if level > self._level or level == 100:
            self._show("journal_warning", {"J1": percent, "J2": left})
        if level > self._level:
            self._log.error("the journal is %d percent full, %d fit" % (percent, left))
        self._level = level

    def hear(self, ack_seq):
        """What a heartbeat's answer says the server has: more to send, or less."""
        tail = self.journal.tail
        if ack_seq is not None:
            self.heard = int(ack_seq)
        lacks = ack_seq is not None and tail is not None and self.heard != tail.seq
        if self.due_ms is None and (lacks or not self.journal.is_settled()):
            self.due_ms = self._clock.ticks_ms()

    def wants_list(self, version):
        """Whether the allow list that the server names (AL1) is another than the one held."""
        held = "none" if self.allow_list is None else self.allow_list.version
        return version is not None and version != held

    def load_list(self):
        """Take up the allow list on flash. Where there is none, nor is its code in memory."""
        self.allow_list = None
        if self._store.exists(LIST_PATH):
            from .allow_list import AllowList

            self.allow_list = AllowList(self._fs, self.persons.sha256)

    def clear(self):
        """WIPE: the punches, who punched, and who may; the boot counter lies with the state."""
        self.boot = 0
        self.due_ms = None
        self.journal.clear()
        self._store.clear(ALLOW_FOLDER)
        self.load_list()
        self.persons = Persons(self.persons.sha256)

    def tokens(self):
        """What a heartbeat says of the journal and the allow list."""
        journal = self.journal
        tokens = {}
        if journal.tail is not None:
            tokens["JID"] = journal.tail.jid
            tokens["SEQ"] = str(journal.tail.seq)
        if self.boot:
            tokens["J1"] = str(journal.used_percent())
            tokens["J2"] = str(journal.left())
        if self.allow_list is not None and self.allow_list.version:
            tokens["AL1"] = self.allow_list.version
        return tokens


def _is_credential(text):
    try:
        data = text.encode()
    except (AttributeError, ValueError):
        return False
    if not 1 <= len(data) <= E1_MAX_BYTES or utf8.fault(data) >= 0:
        return False
    return not [byte for byte in data if byte < 32 or byte == 127]

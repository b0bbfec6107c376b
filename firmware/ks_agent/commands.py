"""Commands: believed, recorded, performed at most once, acknowledged (PROTOCOL section 5).

Nothing happens before the server's signature, the device prefix, the payload, the expiry and, where
it takes them, the administrators' signatures are good. Then the record is written, and only then
the effect begins.
"""

from . import command_forms, life, lines, signing, timetext
from .errors import BadSignature, CommandRefused, KsError, Malformed, PeerError
from .performed import CAPACITY, Performed
from .trust import SERVER
from .trust_changes import verify_two_admins

DAY_MS = 86400000
PAYLOAD_MAX_BYTES = 4096
OK = "OK"
ERROR = "ERROR"
PARTIAL = "PARTIAL"
# A handler's word for an effect that is acknowledged later: after a restart, a trial, an erasure.
LATER = (None, "")


class Commands:
    """`handlers`: command name -> generator function(command, payload) -> (ACK1, ACK2) or LATER.

    `visible(name, command)` tells after a power cut whether the effect of an interrupted command
    can be read back. Built when there is something to do, and let go.
    """

    def __init__(self, agent, handlers, visible):
        self._ports = agent.ports
        self._identity = agent.identity
        self._trust = agent.trust
        self._clock = agent.clock
        self._log = agent.log
        self._outbox = agent.outbox
        self._performed = Performed(agent.store, agent.clock)
        self._handlers = handlers
        self._visible = visible
        if self._performed.lost:
            self._log.error("the record of performed commands was damaged")

    def settle(self):
        """At boot: what was begun and not finished is acknowledged now, as what it is."""
        for row in self._performed.started():
            waiting = self._outbox.find("command-ack", row["CMD1"])
            if waiting is not None:
                self._performed.finish(row["CMD1"], waiting["ACK1"], waiting["ACK2"])
                continue
            outcome = self._visible(row["CMD2"], row)
            if outcome is LATER:
                continue
            if outcome:
                self.finish(row["CMD1"], OK, "found done after a restart")
            else:
                self.finish(row["CMD1"], ERROR, "interrupted")

    def started(self, name):
        """The id of the command of that name that is begun and not finished; None without one."""
        for row in self._performed.started():
            if row["CMD2"] == name:
                return row["CMD1"]
        return None

    def perform_all(self, commands):
        """Perform them in the server's order; each was believed (Exchange.commands)."""
        for command in commands:
            yield from self.perform(command)
            if self._identity.state == life.WIPING:
                return  # nothing is written any more onto what has just been erased

    def perform(self, command):
        cmd1 = command["CMD1"]
        known = self._performed.find(cmd1)
        if known is not None:
            if "ACK1" in known:
                self._acknowledge(cmd1, known["ACK1"], known.get("ACK2", ""))
            return
        try:
            payload = self._admit(command)
        except CommandRefused as refused:
            self._refuse(command, refused)
            return
        if payload is None or not self._has_room(command):
            return
        self._ports.board.show("command", {"CMD1": cmd1, "CMD2": command["CMD2"]})
        started_ms = self._clock.ticks_ms()
        try:
            status, text = yield from self._handlers[command["CMD2"]](command, payload)
        except KsError as error:
            status, text = ERROR, error.code + " " + str(error)
        except OSError:
            status, text = ERROR, "LINK the link failed"
        if status is not None:
            self.finish(cmd1, status, text, self._clock.ticks_ms() - started_ms)

    def _has_room(self, command):
        """Recorded as begun. What two administrators signed finds room where others do not."""
        if command_forms.command(command["CMD2"]).two_admins:
            return self._performed.begin(command, CAPACITY)
        return not self._outbox.is_full() and self._performed.begin(command)

    def finish(self, cmd1, status, text, took_ms=None, more=None):
        """The effect has happened, or never will. `more`: further tokens to acknowledge with."""
        text = text[:80]
        self._acknowledge(cmd1, status, text, took_ms, more)
        if self._performed.find(cmd1) is not None:
            self._performed.finish(cmd1, status, text)

    def _acknowledge(self, cmd1, status, text, took_ms=None, more=None):
        tokens = dict(more or {}, CMD1=cmd1, ACK1=status, ACK2=text)
        if took_ms is not None:
            tokens["ACK3"] = str(took_ms)
        self._outbox.put("command-ack", cmd1, tokens)
        self._ports.board.show("acknowledged", {"CMD1": cmd1, "ACK1": status, "ACK2": text})

    def _refuse(self, command, refused):
        text = refused.code + " " + str(refused)
        self._log.warn("command refused: " + text)
        if self._performed.begin(command):
            self.finish(command["CMD1"], ERROR, text)

    def _admit(self, command):
        """The payload; None for a command that has to wait until the time is known."""
        declared = command_forms.command(command["CMD2"])
        if declared is None:
            raise CommandRefused("UNKNOWN", "no such command")
        try:
            payload = parse_payload(command)
            command_forms.check_payload(command["CMD2"], payload)
        except PeerError as error:
            raise CommandRefused(error.code, str(error))
        if "CMD5" in command:
            if not self._clock.synced:
                return None
            if timetext.parse_ms(command["CMD5"]) <= self._clock.now_ms():
                raise CommandRefused("EXPIRED", "the command has expired")
        if declared.max_days is not None:
            self._check_lifetime(command, declared.max_days)
        if declared.two_admins or payload.get("ROLE") == "admin":
            try:
                verify_two_admins(self._trust, self._ports.crypto, command, self._identity.d1)
            except BadSignature as error:
                raise CommandRefused("UNAUTHORIZED", str(error))
        return payload

    def _check_lifetime(self, command, max_days):
        if "CMD5" not in command:
            raise CommandRefused("MALFORMED", "this command needs an expiry")
        longest_ms = self._clock.now_ms() + max_days * DAY_MS
        if timetext.parse_ms(command["CMD5"]) > longest_ms:
            raise CommandRefused("MALFORMED", "an expiry over %d days ahead" % max_days)


def believed(agent, rows):
    """Those of a poll's commands that are signed by the server, and for this very device."""
    return [row for row in rows if _is_believed(agent, row)]


def _is_believed(agent, command):
    crypto = agent.ports.crypto

    def verify(public):
        signing.verify_command(crypto, public, command)

    try:
        agent.trust.verify_any(SERVER, verify)
    except PeerError as error:
        agent.log.error("command not believed: " + error.code)
        return False
    prefix = signing.command_prefix(crypto, agent.identity.d1) + "-"
    if not command["CMD1"].startswith(prefix):
        agent.log.error("command not believed: for another device")
        return False
    return True


def parse_payload(command):
    """CMD3: a nested token-line message; absent and empty are no fields. Raises Malformed."""
    text = command.get("CMD3", "")
    if not isinstance(text, str):
        raise Malformed("CMD3 is a list")
    return lines.decode(text.encode(), PAYLOAD_MAX_BYTES) if text else {}

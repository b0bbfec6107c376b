"""What each command does, one generator a command: (command, payload) -> (ACK1, ACK2) or LATER."""

from . import config_changes, identity_changes, lines, signing, timetext, trust_changes
from .commands import ERROR, LATER, OK, PARTIAL, Commands
from .config_changes import CONNECTION
from .effects import Restart
from .errors import CommandRefused, Malformed, PeerError
from .log import LEVELS
from .store import STATE, WIPE_PATH
from .trust import RELEASE

KEY_KEPT_MS = 7 * 86400000
HOUR_MS = 3600000
WIPE_FIELDS = ("CMD1", "SINCE")
# What WIPE and REVOKE leave: the id, the performed ids, and what they need to be acknowledged.
# The key and the security counter are in the vault; the boot record says which slot is good.
SPARED = ("identity.toon", "performed.toon", "wipe.toon", "boot.toon", "trust.toon", "outbox")
# What a dormant terminal keeps: its id, what it performed, which keys it distrusts, its slots.
LEFT = ("identity.toon", "performed.toon", "trust.toon", "boot.toon", "outbox")


class Effectors:
    """`agent` is the whole terminal: commands reach into every part of it."""

    def __init__(self, agent):
        self._agent = agent
        self.commands = Commands(agent, self.handlers(), self.visible)

    def handlers(self):
        return {
            "RESTART": self.restart,
            "FETCH_LOGS": self.fetch_logs,
            "APPLY_CONFIG": self.apply_config,
            "WIPE": self.erase,
            "REVOKE": self.erase,
            "ROTATE_DEVICE_KEY": self.rotate_device_key,
            "TRUST_KEY": self.trust_key,
            "DISTRUST_KEY": self.distrust_key,
            "HALT_UPDATES": self.halt_updates,
            "RESUME_UPDATES": self.resume_updates,
            "IDENTIFY": self.identify,
        }

    @property
    def _rotation(self):
        # It holds nothing of its own, and most commands can do without its code.
        from .rotation import Rotation

        return Rotation(self._agent.ports, self._agent.identity, self._agent.exchange)

    def visible(self, name, row):
        """After a power cut: True when the effect can be read back, LATER when it goes on."""
        agent = self._agent
        if name == "RESTART":
            return True
        if name == "APPLY_CONFIG":
            return config_changes.settle(agent.config, agent.store, row["CMD1"])
        if name in ("WIPE", "REVOKE"):
            return LATER if agent.store.exists(WIPE_PATH) else False
        if name == "ROTATE_DEVICE_KEY":
            if self._rotation.in_doubt:
                return LATER
            return self._rotation.committed
        if name in ("HALT_UPDATES", "RESUME_UPDATES"):
            return _update_record(agent).halted == (name == "HALT_UPDATES")
        if name in ("TRUST_KEY", "DISTRUST_KEY"):
            try:
                payload = lines.decode(row.get("CMD3", "").encode(), 4096)
                if name == "DISTRUST_KEY":  # one that never was trusted is not distrusted by that
                    return payload["KEY"] in agent.trust.distrusted
                return agent.trust.has(payload["ROLE"], payload["KEY"])
            except (Malformed, KeyError):
                return False
        return False

    def restart(self, command, payload):
        yield Restart("command")
        return LATER

    def identify(self, command, payload):
        self._agent.ports.board.show("identify", {})
        return OK, ""
        yield

    def fetch_logs(self, command, payload):
        agent = self._agent
        level = payload.get("LEVEL", "DEBUG")
        since = payload.get("SINCE", "")
        if level not in LEVELS:
            raise CommandRefused("MALFORMED", "no such LEVEL")
        if since:
            since = timetext.format_ms(timetext.parse_ms(since))
        from .log_upload import upload

        cmd1 = command["CMD1"]
        log_id = yield from upload(agent.exchange, agent.log, agent.ports.rng, level, since, cmd1)
        return OK, log_id

    def apply_config(self, command, payload):
        if not payload:
            raise Malformed("no configuration")
        if self._agent.config.on_trial:
            raise CommandRefused("BUSY", "another configuration is on trial")
        agent = self._agent
        cmd1 = command["CMD1"]
        config_changes.try_out(agent.config, agent.store, agent.clock, payload, cmd1)
        return LATER
        yield

    def halt_updates(self, command, payload):
        _update_record(self._agent).halt(True)
        return OK, ""
        yield

    def resume_updates(self, command, payload):
        _update_record(self._agent).halt(False)
        return OK, ""
        yield

    def trust_key(self, command, payload):
        """Role release needs a release key's word; role admin had two administrators'."""
        trust = self._agent.trust
        role, key_text = payload["ROLE"], payload["KEY"]
        if role == RELEASE:
            text = signing.trust_text(role, key_text)

            def verify(public):
                signature = payload.get("RELEASE_SIG", "")
                signing.verify_text(self._agent.ports.crypto, public, text, signature)

            trust.verify_any(RELEASE, verify)
        trust_changes.add(trust, role, key_text)
        return OK, ""
        yield

    def distrust_key(self, command, payload):
        trust_changes.remove(self._agent.trust, payload["ROLE"], payload["KEY"])
        return OK, ""
        yield

    def rotate_device_key(self, command, payload):
        try:
            yield from self._rotation.rotate()
        except (OSError, PeerError):
            if not self._rotation.in_doubt:
                raise
            return LATER
        return OK, ""

    def erase(self, command, payload):
        """Without FORCE a WIPE waits until the server has every punch."""
        if command["CMD2"] == "WIPE" and payload.get("FORCE") != "true":
            from .punch_upload import upload_all

            if not (yield from upload_all(self._agent)):
                return PARTIAL, "punches are not acknowledged"
        self._begin_erasing(command["CMD1"])
        self.finish_erasing()
        return LATER

    def _begin_erasing(self, cmd1):
        agent = self._agent
        record = {"CMD1": cmd1, "SINCE": agent.clock.text()}
        for name in CONNECTION:
            if agent.config.get(name):
                record[name] = agent.config.get(name)
        tail = agent.punches.journal.tail
        if tail is not None:  # so that the server can name what went unsent
            record["JID"] = tail.jid
            record["SEQ"] = str(tail.seq)
        agent.store.write(WIPE_PATH, record)

    def settle(self):
        """At boot: finish what the last boot began."""
        self._mend_wipe()
        self.commands.settle()
        if self._agent.store.exists(WIPE_PATH):
            self.finish_erasing()

    def _mend_wipe(self):
        """A damaged record of a WIPE: it is made anew where the WIPE itself is on record."""
        agent = self._agent
        if not agent.store.exists(WIPE_PATH) or agent.store.read_as(WIPE_PATH, WIPE_FIELDS):
            return
        cmd1 = self.commands.started("WIPE") or self.commands.started("REVOKE")
        if cmd1 is None:
            agent.store.remove(WIPE_PATH)
        else:
            self._begin_erasing(cmd1)

    def finish_config_trial(self, applied):
        """The trial of APPLY_CONFIG is over, or that of a person at the terminal: without CMD1."""
        agent = self._agent
        cmd1 = agent.config.cmd1
        if applied:
            config_changes.accept(agent.config, agent.store)
            outcome = OK, "applied"
        else:
            outcome = ERROR, "the old configuration is back"
        if cmd1:
            self.commands.finish(cmd1, *outcome)
        config_changes.end_trial(agent.config, agent.store)

    def settle_rotation(self):
        """Before anything else is asked while it is unclear which key the server knows."""
        if not self._rotation.in_doubt:
            return
        committed = yield from self._rotation.resolve(self._agent.heartbeat_tokens())
        cmd1 = self.commands.started("ROTATE_DEVICE_KEY")
        if cmd1 is not None:
            status, text = (OK, "") if committed else (ERROR, "the old key goes on")
            self.commands.finish(cmd1, status, text)

    def end_rotation(self):
        if self.commands.started("ROTATE_DEVICE_KEY") is None:
            self._rotation.forget()

    def key_has_expired(self):
        """Seven days after a WIPE nobody's answer is waited for any more.

        While the terminal is off, its clock stands still: what counts are the hours with power.
        """
        store, clock = self._agent.store, self._agent.clock
        record = store.read_as(WIPE_PATH, WIPE_FIELDS)
        if record is None:
            return True
        try:
            since_ms = timetext.parse_ms(record["SINCE"])
            last_ms = timetext.parse_ms(record.get("LAST", record["SINCE"]))
        except Malformed:
            return True
        clock.not_before(last_ms)
        expired = clock.now_ms() - since_ms >= KEY_KEPT_MS
        if not expired and clock.now_ms() - last_ms >= HOUR_MS:
            store.write(WIPE_PATH, dict(record, LAST=clock.text()))
        return expired

    def finish_wiping(self):
        """The key stays until the acknowledgement is answered, at most 7 days."""
        agent = self._agent
        if agent.identity.seed is not None and not self.key_has_expired():
            yield from self.settle_rotation()
            yield from agent.outbox.flush(agent.exchange)
        self.end()

    def end(self):
        """Dormant; may be interrupted and done again."""
        agent = self._agent
        agent.outbox.clear()
        identity_changes.erase_key(agent.identity, agent.ports)
        agent.trust.forget()
        agent.store.clear(STATE[:-1], LEFT)
        agent.ports.board.show("dormant", {})

    def finish_erasing(self):
        """Erase, or go on erasing after a power cut, then owe the acknowledgement."""
        agent = self._agent
        record = agent.store.read(WIPE_PATH)
        agent.store.clear(STATE[:-1], SPARED)
        agent.punches.clear()
        agent.outbox.clear()
        agent.trust.forget()
        connection = {key: record[key] for key in CONNECTION if key in record}
        config_changes.forget(agent.config, connection)
        identity_changes.forget(agent.identity)
        last = {key: record[key] for key in ("JID", "SEQ") if key in record}
        self.commands.finish(record["CMD1"], OK, "erased", None, last)
        agent.ports.board.show("wiped", {})


def _update_record(agent):
    # Commands seldom need it, and updates never need commands: they share no memory in time.
    from .update_record import UpdateRecord

    return UpdateRecord(agent.store, agent.outbox)

"""The agent: one generator that is the terminal's whole life, from the first boot to the last.

    driver: effect = generator.send(result)     effects: Fetch, Download, Sleep, Restart

It ends when the terminal is dormant: wiped, without a key, waiting to be provisioned.
"""

from . import life
from .backoff import SPREAD_MS, Backoff, Link
from .clock import Clock
from .config import Config
from .effects import Restart, Sleep
from .errors import PeerError, Refused, Unbound
from .exchange import RTO_MAX_S, RTO_MIN_S, Exchange, wait_s
from .identity import Identity
from .log import Log
from .outbox import Outbox
from .ports import KEY_NEXT, image_tokens, random_below
from .progress import TRIAL_MS, Progress
from .punches import Punches
from .store import RTO_PATH, Store
from .trust import SERVER, Trust

# Loaded when there is something for them to do, and let go: a heartbeat never needs them.
SELDOM = (
    "startup", "factory", "effectors", "commands", "performed", "rotation", "new_key", "update",
    "release_check", "install", "update_record", "download", "download_record",
    "trial", "unpack", "slots", "bundle", "image_match", "lines", "trust_changes", "config_check",
    "config_changes", "identity_changes", "signing", "command_forms", "segment_read", "plain_time",
    "toon_table", "toon_text", "log_upload", "journal_boot", "journal_read", "punch_upload",
    "allow_pages", "image_update", "update_state",
)  # fmt: skip

FIRST_RETRY_MS, LONGEST_RETRY_MS = 60000, 3600000
DEFAULT_RTO_S = 60
RTY_MIN_S, RTY_MAX_S = 1, 3600
TRIAL_WAIT_MAX_MS, LOG_UPLOAD_PAUSE_MS = 30000, 300000
LIST_PAUSE_MS = 300000  # between two allow lists: each is written as a whole
MEGABYTE = 1048576


class Agent:
    """Built anew at every boot from what the ports hold; LocalError when that is unusable."""

    def __init__(self, ports):
        self.ports = ports
        self.store = Store(ports.fs)
        self.clock = Clock(ports.clock, self.store)
        self.log = Log(self.clock)
        self.link = Link(self.clock)
        self.identity = Identity(ports, self.store)
        self.trust = Trust(ports.fs, self.store, ports.crypto)
        self.config = Config(self.store, self.clock)
        self.outbox = Outbox(self.store, self.log)
        self.progress = Progress(self.clock, Backoff(ports.rng, FIRST_RETRY_MS, LONGEST_RETRY_MS))
        self.exchange = Exchange(
            ports, self.identity, self.trust, self.config, self.clock, self.link, self.log
        )
        self.punches = Punches(self)
        self._backoff = Backoff(ports.rng)
        self.upload_backoff = Backoff(ports.rng)
        self.rto_s = DEFAULT_RTO_S
        self._beats, self._unknown = 0, False
        self._logs_not_before_ms = 0
        self._not_before_ms = {}
        self._not_prepared = None
        self.image_on_trial, self.image_stream = False, None

    def run(self):
        if self.identity.state == life.DORMANT:
            self._effectors().end()
            return
        while not self._startup().has_key():
            yield Sleep(self._backoff.failed())
        self._backoff.succeeded()
        self._startup().boot()
        self.ports.board.unload(SELDOM)
        self._open_punches()
        self.ports.board.unload(SELDOM)
        self._trial().settle()
        if self.ports.partition.images is not None:
            self._image_update().settle()
        self.ports.board.unload(SELDOM)
        yield from self._rest(self._first_wait_ms())
        while True:
            wait_ms = yield from self._cycle()
            if self.identity.state == life.DORMANT:
                return
            if self.progress.on_trial() and self._trial().give_up():
                yield Restart("trial given up")
            if self.image_on_trial and self.clock.ticks_ms() >= TRIAL_MS:
                yield Restart("image without a signed round trip")
            if self.config.overdue():
                self.log.error("the new configuration reached no server")
                self._effectors().finish_config_trial(False)
                wait_ms = 0
            elif self.config.on_trial or self.progress.on_trial() or self.image_on_trial:
                wait_ms = min(wait_ms, TRIAL_WAIT_MAX_MS)
            self.ports.board.unload(SELDOM)
            yield from self._rest(wait_ms)

    def _rest(self, wait_ms):
        """The pause before a conversation: time to send punches, and to prepare the server's key.
        A Sleep that ends early with no punch to send ends it.
        """
        end_ms = self.clock.ticks_ms() + wait_ms
        while True:
            now_ms = self.clock.ticks_ms()
            due_ms = self._punches_due_ms()
            if due_ms is not None and due_ms <= now_ms < end_ms:
                from .punch_upload import upload_due

                yield from upload_due(self)
            elif now_ms < end_ms and not self._prepared():
                yield Sleep(0)
            else:
                until_ms = end_ms if due_ms is None else min(due_ms, end_ms)
                yield Sleep(max(until_ms - now_ms, 0))
                if self._punches_due_ms() is None or self.clock.ticks_ms() >= end_ms:
                    return

    def _punches_due_ms(self):
        """None before a boot's first answer: an upload that knows the time corrects the punches."""
        is_ready = self.identity.state == life.ACTIVE and self.exchange.heard
        return self.punches.due_ms if is_ready else None

    def _prepared(self):
        """Whether nothing is left to do for the server's key, else a piece of it was done."""
        public = self.trust.keys(SERVER)[0]
        if public == self._not_prepared:
            return True
        try:
            return self.ports.crypto.prepare(public)
        except Exception as error:  # it would only have made verifying faster
            self._not_prepared = public
            self.log.warn("server key not prepared: " + str(error))
            return True

    def _open_punches(self):
        from .journal_boot import open_punches

        open_punches(self)

    def _startup(self):
        from .startup import Startup

        return Startup(self)

    def _effectors(self):
        from .effectors import Effectors

        return Effectors(self)

    def _trial(self):
        from .trial import Trial

        return Trial(self)

    def _image_update(self):
        from .image_update import ImageUpdate

        return ImageUpdate(self)

    def _first_wait_ms(self):
        # After a power cut a whole site boots at once; a terminal that never registered is alone.
        if self.identity.state == life.UNREGISTERED:
            return 0
        return random_below(self.ports.rng, min(self.rto_s * 1000, SPREAD_MS))

    def _cycle(self):
        """One conversation with the server; gives the ms to wait before the next."""
        try:
            if self.identity.state == life.WIPING:
                yield from self._effectors().finish_wiping()
            else:
                yield from self._converse()
            self._backoff.succeeded()
            at_once = self.identity.state == life.WIPING or self.config.on_trial
            return 0 if at_once else self.progress.pause_ms or self.rto_s * 1000
        except Refused as refused:
            return self._after_refusal(refused)
        except PeerError as error:
            return self._after_nonsense(error)
        except OSError as error:
            self.ports.board.show("offline", {"reason": str(error)})
            return self._backoff.failed()

    def _converse(self):
        yield from self._settle_rotation()
        if self.identity.state == life.UNREGISTERED or self._unknown:
            yield from self._register()
        if self.identity.state == life.REVOKED:
            yield from self._obey()
            yield from self.outbox.flush(self.exchange)
            if self.identity.state == life.WIPING:
                return
        yield from self._after_heartbeat((yield from self._heartbeat()))

    def _settle_rotation(self):
        if self.ports.vault.get(KEY_NEXT) is not None:
            yield from self._effectors().settle_rotation()

    def _after_heartbeat(self, answer):
        if answer.get("PENDING_CMDS", "0") != "0":
            yield from self._attempt("commands", self._obey())
            self.ports.board.unload(SELDOM)
        if self.identity.state == life.WIPING:
            return
        if self._logs_matter():  # first: an acknowledgement may name them
            yield from self._attempt("logs", self._upload_logs())
        yield from self._attempt("acknowledgements", self._acknowledge())
        if self.punches.wants_list(answer.get("AL1")):
            from .allow_pages import take

            yield from self._attempt("allow list", take(self, answer["AL1"]))
            if not self.punches.wants_list(answer["AL1"]):
                self._not_before_ms["allow list"] = self.clock.ticks_ms() + LIST_PAUSE_MS
        offered = answer.get("FW2") if answer.get("FW_AVAILABLE") == "true" else None
        if offered is None and self.progress.resumable:
            from .download_record import forget

            forget(self)
        elif offered is not None and self.progress.wanted(offered):
            self.ports.board.unload(SELDOM)
            from .update import Updater

            del answer  # an update needs the room
            yield from self._attempt("update", Updater(self).update(self.exchange))

    def _attempt(self, name, part):
        """Only a refused heartbeat or registration may hold up what comes after it."""
        now_ms = self.clock.ticks_ms()
        if now_ms < self._not_before_ms.get(name, 0):
            return
        try:
            yield from part
        except Refused as refused:
            self.note_refusal(refused)
            wait = wait_s(refused.answer, "RTY", RTY_MIN_S, RTY_MAX_S)
            self._not_before_ms[name] = now_ms + (wait or 0) * 1000

    def _acknowledge(self):
        yield from self.outbox.flush(self.exchange)
        if self.ports.vault.get(KEY_NEXT) is not None:
            self._effectors().end_rotation()

    def _register(self):
        tokens = self._startup().registration()
        self.ports.board.unload(SELDOM)  # the answer takes room
        answer = yield from self.exchange.call("register", tokens)
        self._unknown = False
        self._startup().registered()
        self._take_rto(answer)

    def _obey(self):
        # Their code comes into memory after the answer was verified, which takes room too.
        answer = yield from self.exchange.call("commands", {})
        rows = answer.get("CMD")
        if not rows:
            return
        self.ports.board.unload(SELDOM)
        from .commands import believed

        rows = believed(self, rows)
        if rows:
            yield from self._effectors().commands.perform_all(rows)

    def _heartbeat(self):
        answer = yield from self.exchange.call("heartbeat", self.heartbeat_tokens())
        if self.identity.state == life.REVOKED:
            self.identity.step("reinstated")
        self._take_rto(answer)
        if self.progress.on_trial():
            self.ports.board.unload(SELDOM)
            yield from self._trial().prove()
        if self.image_on_trial:
            yield from self._image_update().prove()
        if self.config.on_trial:
            self._effectors().finish_config_trial(True)
        self.ports.board.show("heartbeat", {"TS": answer["TS"]})
        self.punches.hear(answer.get("ACK_SEQ"))
        return answer

    def heartbeat_tokens(self):
        self._beats += 1
        used = self.ports.board.memory_used_bytes() * 100 // MEGABYTE
        tokens = {
            "HB1": str(self._beats),
            "HB2": str(self.clock.ticks_ms() // 1000),
            "HB3": "%d.%02d" % (used // 100, used % 100),
            "HB6": self.link.status(),
            "FW2": self.progress.version,
        }
        tokens.update(self.punches.tokens())
        tokens.update(image_tokens(self.ports.partition))
        temperature = self.ports.board.temperature_c()
        if temperature is not None:
            tokens["HB4"] = temperature
        if self.clock.synced:
            tokens["HB5"] = self.clock.boot_text()
        return tokens

    def _upload_logs(self):
        from .log_upload import upload_what_matters

        yield from upload_what_matters(self)

    def _logs_matter(self):
        """Whether to upload them now; asked again after a pause, however that goes."""
        now_ms = self.clock.ticks_ms()
        if now_ms < self._logs_not_before_ms or not self.log.has_unsent(self.log_level()):
            return False
        self._logs_not_before_ms = now_ms + LOG_UPLOAD_PAUSE_MS
        return True

    def log_level(self):
        return self.config.get("LOG_LEVEL", "ERROR")

    def _take_rto(self, answer):
        rto_s = wait_s(answer, "RTO", RTO_MIN_S, RTO_MAX_S)
        if rto_s is not None and rto_s != self.rto_s:
            self.rto_s = rto_s  # first: a flash that fails must not fail every heartbeat
            self.store.write(RTO_PATH, {"RTO": str(rto_s)})

    def _after_refusal(self, refused):
        self.note_refusal(refused)
        if refused.code == "REVOKED" and self.identity.can("revoked"):
            self._unknown = False  # whoever said so did not sign it
            self.identity.step("revoked")
        wait = wait_s(refused.answer, "RTY", RTY_MIN_S, RTY_MAX_S)
        if wait is None:
            wait = wait_s(refused.answer, "RTO", RTO_MIN_S, RTO_MAX_S)
        return self._backoff.failed() if wait is None else wait * 1000

    def note_refusal(self, refused):
        self.ports.board.show("refused", {"ERR1": refused.code})
        self.log.warn("refused: " + refused.code)

    def _after_nonsense(self, error):
        """An answer that cannot be believed: back off, whatever it says."""
        self.ports.board.show("unbelievable", {"code": error.code, "reason": str(error)})
        self.log.warn("answer not believed: " + error.code)
        wait_ms = self._backoff.failed()
        if isinstance(error, Unbound):
            # Registering again changes nothing where the device is known, and mends a lost one.
            if error.claim == "DEVICE_NOT_FOUND":
                self._unknown = True
            if error.wait_s is not None:
                return max(wait_ms, error.wait_s * 1000)
        return wait_ms

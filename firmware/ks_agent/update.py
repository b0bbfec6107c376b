"""Updates: offered, trusted, downloaded into the other slot, tried, confirmed or rolled back.

A release is installed only if FW_SIG by a server key and the manifest's signature by a release key
verify, and version, type, counter, expiry, size and hash all belong together.
"""

from . import bundle, signing, tokens, update_state
from .effects import Download, Fetch, Restart
from .errors import BadSignature, Malformed, UpdateRefused
from .ports import COUNTER
from .states import Machine
from .store import STATE
from .timetext import parse_ms
from .trust import RELEASE, SERVER
from .unpack import Unpacker

PATH = STATE + "update.toon"
MAX_BUNDLE_BYTES = 1024 * 1024
DOWNLOAD_TIMEOUT_MS = 600000
TRIAL_MS = 15 * 60000
FIRST_RETRY_MS = 60000
LONGEST_RETRY_MS = 3600000
MAX_BANNED = 8


class Updater:
    def __init__(self, ports, store, identity, trust, clock, log, outbox, slots, backoff):
        self._ports = ports
        self._store = store
        self._identity = identity
        self._trust = trust
        self._clock = clock
        self._log = log
        self._outbox = outbox
        self.slots = slots
        self._backoff = backoff
        self._record = store.read_or_none(PATH) or {}
        self._not_before_ms = 0
        self._offered = None
        self._machine = Machine(update_state.TRANSITIONS, update_state.IDLE)
        running = slots.manifest(slots.running)
        self.version = running["FW2"] if running else "0.0.0"
        self._reported = None

    @property
    def state(self):
        return self._machine.state

    @property
    def halted(self):
        return self._record.get("HALTED") == "true"

    def halt(self, halted):
        self._write(dict(self._record, HALTED="true" if halted else "false"))

    def settle(self):
        """At boot: what stage 0 decided about the last update is told to the server."""
        if self.slots.on_trial:
            self._machine.state = update_state.TRIAL
            self._ports.board.show("update_trial", {"FW2": self.version})
            return
        tried = self._record.get("MANIFEST")
        if "ROLLED_BACK" in self.slots.record:
            self._rolled_back(tried)
        elif tried is not None and tried == self.slots.record.get("MANIFEST"):
            self._report("OK", "confirmed")

    def _rolled_back(self, tried):
        if tried == self.slots.record["ROLLED_BACK"]:
            self._ban(self._record["FW4"])
            reason = self.slots.record.get("REASON", "")
            self._log.error("update rolled back: " + reason)
            self._ports.board.show("update_rolled_back", {"FW2": self._record["FW2"]})
            self._report("ERROR", "ROLLED_BACK " + reason)
        self.slots.forget_rollback()

    def prove(self):
        """After a signed heartbeat: the release on trial is the one from now on."""
        if not self.slots.on_trial:
            return
        manifest = self.slots.manifest(self.slots.running)
        counter = int(manifest["COUNTER"])
        if counter > self._counter():
            self._ports.vault.set(COUNTER, str(counter).encode())
        self.slots.confirm()
        self._machine.step("proven")
        self._ports.board.show("update_confirmed", {"FW2": self.version})
        self._report("OK", "confirmed")

    def overdue(self):
        return self.slots.on_trial and self._clock.ticks_ms() >= TRIAL_MS

    def wanted(self, version):
        """Whether an update to the version that a heartbeat's answer named should be tried now."""
        if version != self._offered:
            self._offered = version
            self._not_before_ms = 0
            self._backoff.succeeded()
        ready = self.state == update_state.IDLE and not self.halted
        return ready and self._clock.ticks_ms() >= self._not_before_ms

    def update(self, exchange):
        """One whole attempt. Ends in Restart, or with the running release untouched."""
        self._not_before_ms = self._clock.ticks_ms() + self._backoff.failed()
        offer = yield from exchange.call("firmware/check", {"FW2": self.version})
        if offer["S1"] != "update_available" or self._is_banned(offer.get("FW4")):
            return
        self._machine.step("offered")
        try:
            yield from self._install(offer)
        except (BadSignature, Malformed, UpdateRefused) as refused:
            self._machine.step("refused")
            self._refused(offer, refused)
        except OSError:
            self._machine.step("link_lost")
            self._log.warn("update: the link failed")
            raise

    def _install(self, offer):
        self._check_offer(offer)
        self._ports.board.show("update_offered", {"FW1": offer["FW1"], "FW2": offer["FW2"]})
        head = yield from self._range(offer, 0, bundle.HEAD_BYTES)
        length, signature = bundle.parse_head(head)
        data = yield from self._range(offer, bundle.HEAD_BYTES, length)
        manifest = self._check_manifest(offer, data, signature)
        self._machine.step("manifest_trusted")
        self.slots.clear(self.slots.inactive)
        unpacker = Unpacker(self.slots, self._ports.crypto, head, data, signature, manifest)
        size = int(offer["FW5"])
        download = Download(offer["FW3"], [], unpacker.write, size, DOWNLOAD_TIMEOUT_MS)
        try:
            response = yield download
        finally:
            unpacker.close()
        if response.status != 200:
            raise OSError("download status %d" % response.status)
        unpacker.finish(offer["FW4"])
        self._remember(offer, data)
        self.slots.stage(data)
        self._machine.step("verified")
        self._ports.board.show("update_staged", {"FW1": offer["FW1"], "FW2": offer["FW2"]})
        yield Restart("update")

    def _check_offer(self, offer):
        for key in ("FW1", "FW2", "FW3", "FW4", "FW5", "FW_SIG"):
            if not isinstance(offer.get(key), str):
                raise UpdateRefused("MISSING_TOKEN", "an offer without " + key)
            tokens.check_value(key, offer[key])

        def verify(public):
            signing.verify_release(self._ports.crypto, public, offer)

        self._trust.verify_any(SERVER, verify)
        if bundle.version(offer["FW2"]) <= bundle.version(self.version):
            raise UpdateRefused("DOWNGRADE", "not newer than what runs")
        if not bundle.HEAD_BYTES < int(offer["FW5"]) <= MAX_BUNDLE_BYTES:
            raise UpdateRefused("TOO_LARGE", "no room for a bundle of this size")

    def _range(self, offer, start, count):
        headers = [("Range", "bytes=%d-%d" % (start, start + count - 1))]
        fetch = Fetch("GET", offer["FW3"], headers, None, count, DOWNLOAD_TIMEOUT_MS)
        response = yield fetch
        if response.status != 206:
            raise OSError("range status %d" % response.status)
        if len(response.body) != count:
            raise Malformed("a bundle that ends early")
        return response.body

    def _check_manifest(self, offer, data, signature):
        def verify(public):
            text = signing.manifest_text(self._ports.crypto, data)
            signing.verify_text(self._ports.crypto, public, text, signature)

        self._trust.verify_any(RELEASE, verify)
        manifest = bundle.parse_manifest(data)
        if manifest["KIND"] != bundle.APPLICATION:
            raise UpdateRefused("KIND", "not an application")
        if manifest["FW1"] != offer["FW1"] or manifest["FW2"] != offer["FW2"]:
            raise UpdateRefused("MIX_AND_MATCH", "the manifest is of another release")
        if self._identity.get("D2") not in manifest["TYPES"].split(","):
            raise UpdateRefused("WRONG_TYPE", "for another type of device")
        if int(manifest["COUNTER"]) < self._counter():
            raise UpdateRefused("ROLLBACK", "the security counter is behind")
        if not self._clock.synced or parse_ms(manifest["EXPIRES"]) <= self._clock.now_ms():
            raise UpdateRefused("EXPIRED", "the release has expired")
        if bundle.total_bytes(manifest, len(data)) != int(offer["FW5"]):
            raise UpdateRefused("SIZE", "the size does not belong to the manifest")
        return manifest

    def _counter(self):
        stored = self._ports.vault.get(COUNTER)
        return int(stored.decode()) if stored else 0

    def _refused(self, offer, refused):
        text = refused.code + " " + str(refused)
        self._log.error("update refused: " + text)
        detail = {"FW1": offer.get("FW1", ""), "code": refused.code, "reason": str(refused)}
        self._ports.board.show("update_refused", detail)
        report = (offer.get("FW4"), refused.code)
        if report != self._reported and "FW1" in offer and "FW2" in offer:
            self._reported = report
            self._acknowledge(offer, "ERROR", text)

    def _remember(self, offer, manifest_bytes):
        record = dict(self._record, FW1=offer["FW1"], FW2=offer["FW2"], FW4=offer["FW4"])
        record["MANIFEST"] = signing.sha256_hex(self._ports.crypto, manifest_bytes)
        self._write(record)

    def _report(self, status, text):
        """The outcome of a tried release: into the outbox, and out of the record."""
        if "FW1" not in self._record:
            return
        self._acknowledge(self._record, status, text)
        kept = ("HALTED", "BANNED")
        self._write({key: self._record[key] for key in kept if key in self._record})

    def _acknowledge(self, release, status, text):
        tokens = {"FW1": release["FW1"], "FW2": release["FW2"], "ACK1": status, "ACK2": text}
        self._outbox.put("firmware/ack", release["FW1"], tokens)

    def _is_banned(self, fw4):
        return any([row["FW4"] == fw4 for row in self._record.get("BANNED", [])])

    def _ban(self, fw4):
        banned = self._record.get("BANNED", []) + [{"FW4": fw4}]
        self._write(dict(self._record, BANNED=banned[-MAX_BANNED:]))

    def forget(self):
        self._store.remove(PATH)
        self._record = {}

    def _write(self, record):
        self._store.write(PATH, record)
        self._record = record

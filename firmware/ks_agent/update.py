"""Updates: offered, trusted, downloaded into the other slot, tried, confirmed or rolled back.

A release is installed only if FW_SIG by a server key and the manifest's signature by a release key
verify, and version, type, counter, expiry, size and hash all belong together.
"""

from . import bundle, signing, tokens
from .effects import Download, Fetch, Restart
from .errors import BadSignature, Malformed, UpdateRefused
from .ports import COUNTER
from .slots import Slots
from .store import STATE
from .timetext import parse_ms
from .trust import RELEASE, SERVER

PATH = STATE + "update.toon"
MANIFEST_PATH = STATE + "manifest.toon"
MAX_BUNDLE_BYTES = 1024 * 1024
HEAD_TIMEOUT_MS = 60000
DOWNLOAD_TIMEOUT_MS = 600000
MAX_BANNED = 8
ROWS = {"BANNED": ("FW4",)}


class Updater:
    """Built for one step of an update and let go; `agent.progress` stays."""

    def __init__(self, agent):
        self._ports = agent.ports
        self._store = agent.store
        self._identity = agent.identity
        self._trust = agent.trust
        self._clock = agent.clock
        self._log = agent.log
        self._outbox = agent.outbox
        self._progress = agent.progress
        self.slots = Slots(agent.ports, agent.store)
        self._record = agent.store.read_as(PATH, (), ROWS) or {}

    @property
    def halted(self):
        return self._record.get("HALTED") == "true"

    def halt(self, halted):
        self._write(dict(self._record, HALTED="true" if halted else "false"))

    def settle(self):
        """At boot: what stage 0 decided about the last update is told to the server."""
        running = self.slots.manifest(self.slots.running)
        if running is not None:
            self._progress.version = running["FW2"]
        if self.slots.on_trial:
            self._progress.begin_trial()
            self._ports.board.show("update_trial", {"FW2": self._progress.version})
            return
        tried = self._record.get("MANIFEST")
        if "ROLLED_BACK" in self.slots.record:
            self._rolled_back(tried)
        elif tried is not None and tried == self.slots.record.get("MANIFEST"):
            self._report("OK", "confirmed")

    def _rolled_back(self, tried):
        if tried == self.slots.record["ROLLED_BACK"]:
            self._ban(self._record.get("FW4", ""))
            reason = self.slots.record.get("REASON", "")
            self._log.error("update rolled back: " + reason)
            self._ports.board.show("update_rolled_back", {"FW2": self._record.get("FW2")})
            self._report("ERROR", "ROLLED_BACK " + reason)
        self.slots.forget_rollback()

    def prove(self):
        """After a signed heartbeat: the release on trial is the one from now on."""
        manifest = self.slots.manifest(self.slots.running)
        counter = int(manifest["COUNTER"])
        if counter > self._counter():
            self._ports.vault.set(COUNTER, str(counter).encode())
        self.slots.confirm()
        self._progress.step("proven")
        self._ports.board.show("update_confirmed", {"FW2": self._progress.version})
        self._report("OK", "confirmed")

    def update(self, exchange):
        """One whole attempt. Ends in Restart, or with the running release untouched."""
        if self.halted:
            return
        self._progress.attempt()
        offer = yield from exchange.call("firmware/check", {"FW2": self._progress.version})
        if offer["S1"] != "update_available" or self._is_banned(offer.get("FW4")):
            return
        self._progress.step("offered")
        try:
            yield from self._install(offer)
        except (BadSignature, Malformed, UpdateRefused) as refused:
            self._store.remove(MANIFEST_PATH)
            self._progress.step("refused")
            self._refused(offer, refused)
        except OSError:
            self._progress.step("link_lost")
            self._log.warn("update: the link failed")
            raise

    def _install(self, offer):
        self._check_offer(offer)
        self._ports.board.show("update_offered", {"FW1": offer["FW1"], "FW2": offer["FW2"]})
        head = yield from self._head(offer)
        length, signature = bundle.parse_head(head)
        manifest_hash = yield from self._fetch_manifest(offer, length)
        manifest = self._check_manifest(offer, length, manifest_hash, signature)
        self._progress.step("manifest_trusted")
        self.slots.clear(self.slots.inactive)
        from .unpack import Unpacker  # now, since verifying took room

        unpacker = Unpacker(self.slots, self._ports.crypto, length, manifest)
        unpacker.write_beside("manifest.toon", self.slots.pieces(MANIFEST_PATH))
        unpacker.write_beside("manifest.sig", (signature.encode(),))
        size = int(offer["FW5"])
        download = Download(offer["FW3"], [], unpacker.write, size, DOWNLOAD_TIMEOUT_MS)
        try:
            response = yield download
        finally:
            unpacker.close()
        if response.status != 200:
            raise OSError("download status %d" % response.status)
        unpacker.finish(offer["FW4"])
        self._store.remove(MANIFEST_PATH)
        self._remember(offer, manifest_hash)
        self.slots.stage(manifest_hash)
        self._progress.step("verified")
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
        if bundle.version(offer["FW2"]) <= bundle.version(self._progress.version):
            raise UpdateRefused("DOWNGRADE", "not newer than what runs")
        if not bundle.HEAD_BYTES < int(offer["FW5"]) <= MAX_BUNDLE_BYTES:
            raise UpdateRefused("TOO_LARGE", "no room for a bundle of this size")

    def _head(self, offer):
        count = bundle.HEAD_BYTES
        headers = _range(0, count)
        response = yield Fetch("GET", offer["FW3"], headers, None, count, HEAD_TIMEOUT_MS)
        if response.status != 206:
            raise OSError("range status %d" % response.status)
        return response.body

    def _fetch_manifest(self, offer, length):
        """Into a file of its own: the slot is not touched before the manifest is trusted."""
        digest = self._ports.crypto.sha256()
        with self._ports.fs.open(MANIFEST_PATH, "wb") as file:
            left = length

            def sink(piece):
                nonlocal left
                left -= len(piece)
                if left < 0:
                    raise UpdateRefused("SIZE", "more bytes than were asked for")
                digest.update(piece)
                file.write(piece)

            headers = _range(bundle.HEAD_BYTES, length)
            response = yield Download(offer["FW3"], headers, sink, length, HEAD_TIMEOUT_MS)
        if response.status != 206:
            raise OSError("range status %d" % response.status)
        if left:
            raise Malformed("a bundle that ends early")
        return signing.hex_text(digest.digest())

    def _check_manifest(self, offer, length, manifest_hash, signature):
        def verify(public):
            text = signing.manifest_hash_text(manifest_hash)
            signing.verify_text(self._ports.crypto, public, text, signature)

        self._trust.verify_any(RELEASE, verify)
        manifest = bundle.read_manifest(self._ports.fs, MANIFEST_PATH)
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
        if manifest.bundle_bytes(length) != int(offer["FW5"]):
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
        if report != self._progress.reported and "FW1" in offer and "FW2" in offer:
            self._progress.reported = report
            self._acknowledge(offer, "ERROR", text)

    def _remember(self, offer, manifest_hash):
        record = dict(self._record, FW1=offer["FW1"], FW2=offer["FW2"], FW4=offer["FW4"])
        self._write(dict(record, MANIFEST=manifest_hash))

    def _report(self, status, text):
        """The outcome of a tried release: into the outbox, and out of the record."""
        if "FW1" in self._record and "FW2" in self._record:
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


def _range(start, count):
    return [("Range", "bytes=%d-%d" % (start, start + count - 1))]

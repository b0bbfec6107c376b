"""Updates: offered, trusted, downloaded into the other slot, tried, confirmed or rolled back.

A release is installed only if FW_SIG by a server key and the manifest's signature by a release key
verify, and version, type, counter, expiry, size and hash all belong together.
"""

from . import bundle, signing, tokens
from .effects import Download, Fetch, Restart
from .errors import BadSignature, Malformed, UpdateRefused
from .slots import Slots
from .store import STATE
from .timetext import parse_ms
from .trial import counter_in
from .trust import RELEASE, SERVER
from .update_record import UpdateRecord

MANIFEST_PATH = STATE + "manifest.toon"
MAX_BUNDLE_BYTES = 1024 * 1024
HEAD_TIMEOUT_MS = 60000
DOWNLOAD_TIMEOUT_MS = 600000


class Updater:
    """Built for one step of an update and let go; `agent.progress` stays."""

    def __init__(self, agent):
        self._ports = agent.ports
        self._store = agent.store
        self._identity = agent.identity
        self._trust = agent.trust
        self._clock = agent.clock
        self._log = agent.log
        self._progress = agent.progress
        self.slots = Slots(agent.ports, agent.store)
        self._record = UpdateRecord(agent.store, agent.outbox)

    def update(self, exchange):
        """One whole attempt. Ends in Restart, or with the running release untouched."""
        if self._record.halted:
            return
        self._progress.attempt()
        offer = yield from exchange.call("firmware/check", {"FW2": self._progress.version})
        if offer["S1"] != "update_available" or self._record.is_banned(offer.get("FW4")):
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
        download = Download(offer["FW3"], [], _begin, unpacker.write, size, DOWNLOAD_TIMEOUT_MS)
        try:
            response = yield download
        finally:
            unpacker.close()
        if response.status != 200:
            raise OSError("download status %d" % response.status)
        unpacker.finish(offer["FW4"])
        self._store.remove(MANIFEST_PATH)
        self._record.remember(offer, manifest_hash)
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
            response = yield Download(offer["FW3"], headers, _begin, sink, length, HEAD_TIMEOUT_MS)
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
        if int(manifest["COUNTER"]) < counter_in(self._ports.vault):
            raise UpdateRefused("ROLLBACK", "the security counter is behind")
        if not self._clock.synced or parse_ms(manifest["EXPIRES"]) <= self._clock.now_ms():
            raise UpdateRefused("EXPIRED", "the release has expired")
        if manifest.bundle_bytes(length) != int(offer["FW5"]):
            raise UpdateRefused("SIZE", "the size does not belong to the manifest")
        return manifest

    def _refused(self, offer, refused):
        text = refused.code + " " + str(refused)
        self._log.error("update refused: " + text)
        detail = {"FW1": offer.get("FW1", ""), "code": refused.code, "reason": str(refused)}
        self._ports.board.show("update_refused", detail)
        report = (offer.get("FW4"), refused.code)
        if report != self._progress.reported and "FW1" in offer and "FW2" in offer:
            self._progress.reported = report
            self._record.acknowledge(offer, "ERROR", text)


def _begin(status, headers):
    pass


def _range(start, count):
    return [("Range", "bytes=%d-%d" % (start, start + count - 1))]

"""Updates: offered, trusted, downloaded into the other slot, handed to stage 0.

A release is installed only if FW_SIG by a server key and the manifest's signature by a release key
verify, and version, type, counter, expiry, size and hash all belong together. A download goes on
where it was, over broken links and restarts; both signatures are verified anew each time.
"""

from . import bundle, download_record, envelope
from .download import ENOSPC, Gone, Paused, Source, Stale
from .download_record import MANIFEST_PATH, SIGNATURE
from .effects import Restart
from .errors import BadSignature, Malformed, UpdateRefused
from .ports import image_tokens
from .slots import MANIFEST, Slots, folder
from .update_record import UpdateRecord

CHECKS = ("release_check", "image_match", "signing")
# Longer than this, no attempt keeps a terminal from heartbeats and from sending punches.
ATTEMPT_MS = 5 * 60000
# For heartbeats and punches between two attempts of which the first ran out of time.
PAUSE_MS = 1000


class Updater:
    """Built for one step of an update and let go; `agent.progress` stays."""

    def __init__(self, agent):
        self._agent = agent
        self._ports = agent.ports
        self._store = agent.store
        self._clock = agent.clock
        self._progress = agent.progress
        self.slots = Slots(agent.ports, agent.store)
        self._record = UpdateRecord(agent.store, agent.outbox)
        self._manifest_hash = ""

    def update(self, exchange):
        """One whole attempt. Ends in Restart, or with the running release untouched."""
        self._progress.pause_ms = None
        if self._record.halted:
            download_record.forget(self._agent)
            return
        self._progress.attempt()
        runs = dict(image_tokens(self._ports.partition), FW2=self._progress.version)
        offer = yield from exchange.call("firmware/check", runs)
        if offer["S1"] != "update_available" or self._record.is_banned(offer.get("FW4")):
            download_record.forget(self._agent)
            return
        self._progress.step("offered")
        try:
            yield from self._install(offer)
        except (BadSignature, Malformed, UpdateRefused) as refused:
            self._refused(offer, refused)
        except Paused:
            self._progress.step("link_lost")
            self._progress.not_before_ms = 0
            self._progress.pause_ms = PAUSE_MS
        except OSError as error:
            self._failed(offer, error)

    def _failed(self, offer, error):
        """The link, the server or the flash: later again, with what there is."""
        if error.args[:1] == (ENOSPC,):
            self._refused(offer, UpdateRefused("TOO_LARGE", "no room on the flash"))
            return
        if isinstance(error, Gone):
            download_record.forget(self._agent)
        self._progress.step("link_lost")
        self._agent.log.warn("update: " + str(error))

    def _install(self, offer):
        from .release_check import check_offer

        check_offer(self._agent, offer)
        del check_offer
        self._ports.board.show("update_offered", {"FW1": offer["FW1"], "FW2": offer["FW2"]})
        record = download_record.read(self._store, offer, self.slots.inactive)
        etag = record.get("ETAG") if record is not None else None
        end_ms = self._clock.ticks_ms() + ATTEMPT_MS
        source = Source(self._ports, offer, etag, end_ms)
        head, manifest = self._kept(offer, record)
        is_new = manifest is None
        if is_new:
            head = yield from self._fetch_head(source)
            yield from self._fetch_manifest(offer, source, head)
            manifest = self._check_manifest(offer, head, MANIFEST_PATH)
        self._ports.board.unload(CHECKS)
        self._progress.step("manifest_trusted")
        if manifest["KIND"] == bundle.IMAGE:
            yield from self._install_image(offer, head, manifest)
            return
        yield from self._fill_slot(offer, source, head, is_new)
        self._record.remember(offer, self._manifest_hash)
        self.slots.stage(self._manifest_hash)
        download_record.forget(self._agent)
        self._progress.step("verified")
        self._ports.board.show("update_staged", {"FW1": offer["FW1"], "FW2": offer["FW2"]})
        yield Restart("update")

    def _install_image(self, offer, head, manifest):
        from .image_update import ImageUpdate

        start = bundle.HEAD_BYTES + bundle.parse_head(head)[0]
        yield from ImageUpdate(self._agent).install(offer, manifest, start)

    def _kept(self, offer, record):
        """Head and manifest of a download that was begun; None, None where none can go on."""
        if record is None:
            return None, None
        path = folder(self.slots.inactive)
        try:
            length = self._ports.fs.stat(path + MANIFEST)
            with self._ports.fs.open(path + SIGNATURE, "rb") as file:
                head = bundle.head_of(length, file.read(bundle.HEAD_BYTES).decode())
            if self._digest_of(path + MANIFEST) == record["MANIFEST"]:
                return head, self._check_manifest(offer, head, path + MANIFEST)
        except (BadSignature, Malformed, OSError, UnicodeError):
            pass  # damaged, or by a key that is not trusted any more: all of it anew
        return None, None

    def _fetch_head(self, source):
        head = bytearray()
        yield from source.read(0, bundle.HEAD_BYTES, head.extend)
        return bytes(head)

    def _fetch_manifest(self, offer, source, head):
        """Into a file of its own: the slot is not touched before the manifest is trusted."""
        end = bundle.HEAD_BYTES + bundle.parse_head(head)[0]
        if end > int(offer["FW5"]):
            raise Malformed("a bundle that ends early")
        with self._ports.fs.open(MANIFEST_PATH, "wb") as file:
            yield from source.read(bundle.HEAD_BYTES, end, file.write)

    def _digest_of(self, path):
        digest = self._ports.crypto.sha256()
        for piece in self.slots.pieces(path):
            digest.update(piece)
        return envelope.hex_text(digest.digest())

    def _check_manifest(self, offer, head, path):
        """The manifest in a file, once it is the release's, for this terminal, and in time."""
        from .release_check import check_manifest

        self._manifest_hash = self._digest_of(path)
        return check_manifest(self._agent, offer, head, path, self._manifest_hash)

    def _begin_slot(self, offer, source, signature):
        """An empty slot but for the manifest and its signature; then the record of the download."""
        slot = self.slots.inactive
        self._store.remove(download_record.PATH)
        self.slots.clear(slot)
        for name, pieces in (
            (MANIFEST, self.slots.pieces(MANIFEST_PATH)),
            (SIGNATURE, (signature.encode(),)),
        ):
            with self._ports.fs.open(folder(slot) + name, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                self._ports.fs.sync(file)
        download_record.write(self._store, offer, slot, self._manifest_hash, source.etag)
        self._progress.resumable = True
        self._store.remove(MANIFEST_PATH)

    def _fill_slot(self, offer, source, head, is_new):
        """Every file of the manifest in the inactive slot, verified."""
        length, signature = bundle.parse_head(head)
        slot = self.slots.inactive
        if is_new:
            self._begin_slot(offer, source, signature)
        from .unpack import Unpacker  # now, since verifying took room

        manifest = bundle.read_manifest(self._ports.fs, folder(slot) + MANIFEST)
        unpacker = Unpacker(self._ports, self.slots, manifest, length)
        try:
            yield from unpacker.copy()
            span = unpacker.wanted()
            while span is not None:
                yield from source.read(span[0], span[1], unpacker.write)
                span = unpacker.wanted()
            found = yield from unpacker.verify(head)
        except Stale:
            unpacker.discard()
            download_record.write(self._store, offer, slot, self._manifest_hash, None)
            raise
        finally:
            unpacker.close()
        if self._digest_of(folder(slot) + MANIFEST) != self._manifest_hash:
            raise Gone("the manifest was damaged on the flash")
        if (found or source.digest() or offer["FW4"]) != offer["FW4"]:
            raise UpdateRefused("HASH", "the bundle is not what FW4 says")

    def _refused(self, offer, refused):
        download_record.forget(self._agent)
        self._progress.step("refused")
        text = refused.code + " " + str(refused)
        self._agent.log.error("update refused: " + text)
        detail = {"FW1": offer.get("FW1", ""), "code": refused.code, "reason": str(refused)}
        self._ports.board.show("update_refused", detail)
        report = (offer.get("FW4"), refused.code)
        if report != self._progress.reported and "FW1" in offer and "FW2" in offer:
            self._progress.reported = report
            self._record.acknowledge(offer, "ERROR", text)

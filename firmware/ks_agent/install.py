"""A trusted release becomes the files of the inactive slot, and stage 0's choice."""

from . import bundle, download_record
from .bundle import MANIFEST, digest_of, folder, inactive, pieces_of
from .download_record import MANIFEST_PATH, SIGNATURE, Gone, Stale
from .effects import Restart
from .errors import UpdateRefused


class Installer:
    """`found`: download.Trusted of an application."""

    def __init__(self, agent, offer, found):
        self._agent = agent
        self._ports = agent.ports
        self._store = agent.store
        self._offer = offer
        self._source = found.source
        self._head = found.head
        self._start = found.start
        self._manifest_hash = found.manifest_hash
        self._is_new = found.is_new
        self._slot = inactive(agent.ports.partition)

    def install(self):
        """Ends in Restart. Raises UpdateRefused, Paused, and OSError for link, server and flash."""
        offer = self._offer
        if self._is_new:
            self._begin_slot()
        self._ports.board.unload(("slots", "toon_text"))
        yield from self._fill_slot()
        self._ports.board.unload(("unpack",))
        self._stage()
        download_record.forget(self._agent)
        self._agent.progress.step("verified")
        self._ports.board.show("update_staged", {"FW1": offer["FW1"], "FW2": offer["FW2"]})
        yield Restart("update")

    def _begin_slot(self):
        """An empty slot but for the manifest and its signature; then the record of the download."""
        from .slots import Slots

        slot = self._slot
        signature = bundle.parse_head(self._head)[1]
        self._store.remove(download_record.PATH)
        Slots(self._ports, self._store).clear(slot)
        for name, pieces in (
            (MANIFEST, pieces_of(self._ports.fs, MANIFEST_PATH)),
            (SIGNATURE, (signature.encode(),)),
        ):
            with self._ports.fs.open(folder(slot) + name, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                self._ports.fs.sync(file)
        self._note(self._source.etag)
        self._agent.progress.resumable = True
        self._store.remove(MANIFEST_PATH)

    def _note(self, etag):
        download_record.write(self._store, self._offer, self._slot, self._manifest_hash, etag)

    def _fill_slot(self):
        """Every file of the manifest in the inactive slot, verified."""
        from .unpack import Unpacker

        path = folder(self._slot) + MANIFEST
        manifest = bundle.read_manifest(self._ports.fs, path)
        unpacker = Unpacker(self._ports, manifest, self._start)
        try:
            yield from unpacker.copy()
            self._ports.board.unload(("toon_text",))
            span = unpacker.wanted()
            while span is not None:
                yield from self._source.read(span[0], span[1], unpacker.write)
                span = unpacker.wanted()
            found = yield from unpacker.verify(self._head)
        except Stale:
            unpacker.discard()
            self._note(None)
            raise
        finally:
            unpacker.close()
        if digest_of(self._ports.fs, self._ports.crypto, path) != self._manifest_hash:
            raise Gone("the manifest was damaged on the flash")
        expected = self._offer["FW4"]
        if (found or self._source.digest() or expected) != expected:
            raise UpdateRefused("HASH", "the bundle is not what FW4 says")

    def _stage(self):
        from .slots import Slots
        from .update_record import UpdateRecord

        record = UpdateRecord(self._store, self._agent.outbox)
        record.remember(self._offer, self._manifest_hash)
        Slots(self._ports, self._store).stage(self._manifest_hash)

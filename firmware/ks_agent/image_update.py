"""Full images: MicroPython itself into the other partition for it, tried once a set_boot.

The stock bootloader starts a new image once: any reset before it is marked valid brings the old
one back. That is `postponed`, and tried again when the server offers it again, at most 3 times;
then the release is banned. What was written stays, and is not downloaded again.
"""

from . import bundle, download_record, envelope, image_match
from .download import Source, Stale
from .effects import Restart
from .errors import Malformed, UpdateRefused
from .ports import COUNTER
from .slots import Slots
from .store import STATE
from .update_record import UpdateRecord, counter_in

PATH = STATE + "image.toon"
FILE = "micropython.bin"
# The first, and three again.
MAX_TRIES = 4
ATTEMPT_MS = 5 * 60000

_FIELDS = ("FW1", "FW2", "FW4", "COUNTER", "IMAGE", "LABEL", "TRIES", "STATE")
_NEEDED = ("IMAGE", "MPY", "ARCH")
_TRYING = "trying"
_POSTPONED = "postponed"


class ImageUpdate:
    """Built for one step and let go. `partition.images` is not None."""

    def __init__(self, agent):
        self._agent = agent
        self._ports = agent.ports
        self._images = agent.ports.partition.images
        self._store = agent.store
        self._updates = UpdateRecord(agent.store, agent.outbox)
        self._record = agent.store.read_as(PATH, _FIELDS)

    def install(self, offer, manifest, start):
        """Of a trusted manifest; the image begins at byte `start` of the bundle. Ends in Restart.

        Raises UpdateRefused or Malformed, Paused after ATTEMPT_MS, and OSError where the link or
        the flash fails: the next attempt goes on where this one was.
        """
        row = self._check(manifest)
        self._check_slots(manifest)
        tries = self._tries_of(offer)
        if not tries:
            yield from self._write(offer, row, start)
        record = {key: offer[key] for key in ("FW1", "FW2", "FW4")}
        record.update({"COUNTER": manifest["COUNTER"], "IMAGE": manifest["IMAGE"]})
        record.update({"LABEL": self._images.next_label(), "STATE": _TRYING})
        self._store.write(PATH, dict(record, TRIES=str(tries + 1)))
        if not self._images.set_boot():
            self._updates.ban(offer["FW4"])
            self._store.remove(PATH)
            raise UpdateRefused("MALFORMED", "the bootloader does not take the image")
        self._agent.progress.step("verified")
        self._ports.board.show("image_staged", {"FW1": offer["FW1"], "IMAGE": manifest["IMAGE"]})
        yield Restart("image")

    def _check(self, manifest):
        """The row of the image's file."""
        rows = list(manifest.files())
        if len(rows) != 1 or rows[0]["PATH"] != FILE:
            raise Malformed("an image is one file, " + FILE)
        if rows[0].get("PACKED", rows[0]["SIZE"]) != rows[0]["SIZE"]:
            raise Malformed("an image is not packed")
        fields = manifest.fields()
        for key in _NEEDED:
            if key not in fields:
                raise Malformed("an image without " + key)
        running = self._images.image()
        wanted = bundle.version(fields["IMAGE"])
        if running is not None and wanted <= bundle.version(running[0]):
            raise UpdateRefused("DOWNGRADE", "not newer than the image that runs")
        if int(rows[0]["SIZE"]) > self._images.capacity():
            raise UpdateRefused("TOO_LARGE", "larger than the partition")
        return rows[0]

    def _check_slots(self, manifest):
        """What both slots hold must load on the new image, or the way back would be none. A slot
        without a whole manifest could not be started on any image, so it is no obstacle.
        """
        image = tuple([manifest[key] for key in _NEEDED])
        slots = Slots(self._ports, self._store)
        for slot in ("a", "b"):
            held = slots.manifest(slot)
            if held is not None:
                image_match.check(held, image)
        # They stay as the factory wrote them, and the way back goes through them.
        self._check_bytecode("stage0.mpy", manifest["MPY"])
        self._check_folder("recovery", manifest["MPY"])

    def _check_folder(self, folder, mpy):
        if not self._ports.fs.is_dir(folder):
            return
        for name in list(self._ports.fs.listdir(folder)):
            path = folder + "/" + name
            self._check_folder(path, mpy)
            if name.endswith(".mpy"):
                self._check_bytecode(path, mpy)

    def _check_bytecode(self, path, mpy):
        """By the head of a .mpy file: "M", version, and in a byte architecture and sub-version."""
        try:
            with self._ports.fs.open(path, "rb") as file:
                head = file.read(3)
        except OSError:
            return
        if len(head) < 3:
            return
        needs = "%d.%d" % (head[1], head[2] & 3)
        if not head[2] >> 2:  # no native code: the major numbers count
            needs, mpy = needs.partition(".")[0], mpy.partition(".")[0]
        if needs != mpy:
            raise UpdateRefused("IMAGE_MIX", "it could not load " + path)

    def _tries_of(self, offer):
        """How often this image was tried already; 0: it has to be written."""
        record = self._record
        if record is None or record["STATE"] != _POSTPONED or record["FW4"] != offer["FW4"]:
            return 0
        return int(record["TRIES"]) if record["LABEL"] == self._images.next_label() else 0

    def _write(self, offer, row, start):
        """All bytes of the bundle go through here, so FW4 is checked as well as the file's hash."""
        stream = self._agent.image_stream
        download_record.forget(self._agent)
        if stream is None or stream.bundle_hash != offer["FW4"]:
            self._store.remove(PATH)
            writer = self._images.begin(int(row["SIZE"]))
            stream = _Stream(self._ports.crypto, writer, start, offer["FW4"])
        # Kept over heartbeats when the link or the time ends here, but not over a restart.
        self._agent.image_stream = stream
        self._agent.progress.resumable = True
        end_ms = self._agent.clock.ticks_ms() + ATTEMPT_MS
        source = Source(self._ports, offer, None, end_ms)
        try:
            yield from source.read(stream.position, int(offer["FW5"]), stream.write)
        except Stale:
            self._agent.image_stream = None
            raise
        self._agent.image_stream = None
        stream.finish(row["SHA256"])

    def settle(self):
        """At boot: which image runs now tells what the bootloader did."""
        record = self._record
        if record is None or record["STATE"] != _TRYING:
            return
        if self._images.label() == record["LABEL"]:
            self._agent.image_on_trial = True
            self._ports.board.show("image_trial", {"IMAGE": record["IMAGE"]})
        elif int(record["TRIES"]) < MAX_TRIES:
            self._updates.acknowledge(record, "ERROR", "POSTPONED the old image runs again")
            self._ports.board.show("image_postponed", {"TRIES": record["TRIES"]})
            self._store.write(PATH, dict(record, STATE=_POSTPONED))
        else:
            self._give_up("no try was marked valid")

    def _give_up(self, reason):
        self._agent.log.error("image rolled back: " + reason)
        if not self._updates.is_banned(self._record["FW4"]):
            self._updates.ban(self._record["FW4"])
        self._ports.board.show("image_rolled_back", {"FW2": self._record["FW2"]})
        self._updates.acknowledge(self._record, "ERROR", "ROLLED_BACK " + reason)
        self._store.remove(PATH)

    def prove(self):
        """After a signed heartbeat of the new image. Ends in Restart when it is not what its
        manifest said: the server would offer it for ever.
        """
        if self._images.image()[0] != self._record["IMAGE"]:
            self._give_up("another version than in the manifest")
            yield Restart("image of another version")
        self._images.mark_valid()
        if int(self._record["COUNTER"]) > counter_in(self._ports.vault):
            self._ports.vault.set(COUNTER, self._record["COUNTER"].encode())
        self._updates.acknowledge(self._record, "OK", "confirmed")
        self._store.remove(PATH)
        self._agent.image_on_trial = False
        self._ports.board.show("image_confirmed", {"IMAGE": self._record["IMAGE"]})


class _Stream:
    """The bytes of a bundle, in order: hashed, and from `start` on written as the image."""

    def __init__(self, crypto, writer, start, bundle_hash):
        self._writer = writer
        self._bundle = crypto.sha256()
        self._image = crypto.sha256()
        self._start = start
        self.bundle_hash = bundle_hash
        self.position = 0

    def write(self, piece):
        self._bundle.update(piece)
        before = min(max(self._start - self.position, 0), len(piece))
        if before < len(piece):
            self._image.update(piece[before:])
            self._writer.write(piece[before:])
        self.position += len(piece)

    def finish(self, image_hash):
        self._writer.close()
        if envelope.hex_text(self._bundle.digest()) != self.bundle_hash:
            raise UpdateRefused("HASH", "the bundle is not what FW4 says")
        if envelope.hex_text(self._image.digest()) != image_hash:
            raise UpdateRefused("HASH", FILE + " is not what the manifest says")

"""The two application slots and the boot record that stage 0 goes by."""

from . import bundle
from .bundle import MANIFEST, OTHER, digest_of, folder, inactive
from .errors import LocalError, Malformed
from .store import STATE

BOOT_PATH = STATE + "boot.toon"
# How often recovery has installed a release that has not proven itself since.
RECOVERY_PATH = STATE + "recovery.toon"
MAX_ATTEMPTS = 99


class Slots:
    def __init__(self, ports, store):
        self._fs = ports.fs
        self._crypto = ports.crypto
        self._store = store
        self.running = ports.partition.running
        self.inactive = inactive(ports.partition)
        self.record = store.read_as(BOOT_PATH, ("SLOT", "MANIFEST")) or {}

    def manifest(self, slot):
        """The manifest of what a slot holds; None for an empty or damaged slot."""
        try:
            return bundle.read_manifest(self._fs, folder(slot) + MANIFEST)
        except (Malformed, OSError):
            return None

    def _manifest_hash(self, slot):
        return digest_of(self._fs, self._crypto, folder(slot) + MANIFEST)

    @property
    def on_trial(self):
        return self.record.get("TRIAL") == "true"

    def clear(self, slot):
        """An empty slot. Raises LocalError for the running one.

        In recovery stage 0 would start it, untried, once all is there: it gets a hash that nothing
        has, until it is staged.
        """
        if slot == self.running:
            raise LocalError("the running slot is never written")
        if not self.running:
            self._write({"SLOT": slot, "MANIFEST": "0" * 64})
        self._remove_tree(folder(slot))
        self._fs.mkdir(folder(slot))

    def _remove_tree(self, path):
        if not self._fs.is_dir(path):
            return
        for name in list(self._fs.listdir(path)):
            inner = path + "/" + name
            if self._fs.is_dir(inner):
                self._remove_tree(inner)
            else:
                self._fs.remove(inner)
        self._fs.rmdir(path)

    def stage(self, manifest_hash):
        """The one atomic step of an update: the next boot tries the other slot.

        Recovery has no slot to go back to: what the other one holds has crashed or is damaged.
        """
        record = {
            "SLOT": self.inactive,
            "MANIFEST": manifest_hash,
            "TRIAL": "true",
            "CRASHES": "0",
            "RESETS": "0",
        }
        if self.running:
            record["PREVIOUS"] = self.running
            record["PREVIOUS_MANIFEST"] = self._manifest_hash(self.running)
        else:
            self.forsake(OTHER[self.inactive])
            attempts = min(attempts_in(self._store) + 1, MAX_ATTEMPTS)
            self._store.write(RECOVERY_PATH, {"ATTEMPTS": str(attempts)})
        self._write(record)

    def forsake(self, slot):
        """Stage 0 never starts again what this slot holds."""
        self._store.remove(folder(slot) + MANIFEST)

    def give_up(self, reason):
        """Back to the previous release, from the next boot on; False where there is none."""
        if "PREVIOUS_MANIFEST" not in self.record:
            return False
        record = {"SLOT": self.record["PREVIOUS"], "MANIFEST": self.record["PREVIOUS_MANIFEST"]}
        self._write(dict(record, ROLLED_BACK=self.record["MANIFEST"], REASON=reason))
        return True

    def confirm(self):
        """The running release is the one from now on."""
        self._write({"SLOT": self.record["SLOT"], "MANIFEST": self.record["MANIFEST"]})

    def forget_rollback(self):
        self.confirm()

    def _write(self, record):
        self._store.write(BOOT_PATH, record)
        self.record = record


def attempts_in(store):
    """How often recovery has installed a release that has not proven itself since."""
    text = (store.read_as(RECOVERY_PATH, ("ATTEMPTS",)) or {}).get("ATTEMPTS", "0")
    return int(text) if len(text) < 3 and not text.strip("0123456789") and text else MAX_ATTEMPTS

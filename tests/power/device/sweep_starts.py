"""Phases that start with less than a terminal has: no file system for the data, no slot."""

from sweep_basis import Phase, put_files, put_slot
from sweep_releases import GOOD, make_manifest
from sweep_terminal import Wrong
from sweep_updates import Updating, count_at

from ks_agent import slots
from ks_agent.bundle import digest_of
from ks_agent.store import Store


class Format(Phase):
    """A new chip: the partition for the data is blank."""

    name = "format"
    deep = True
    formats = True

    def setup(self, hardware, crypto):
        Phase.setup(self, hardware, crypto)
        hardware.blank_data()

    def prepare(self, terminal):
        pass

    def window(self, events, end):
        return 0, count_at(events, "key_made") + 1

    def check(self, terminal, told):
        if terminal.slot != "a":
            raise Wrong("it started slot " + terminal.slot)


class Recovery(Updating):
    """Both slots are damaged: recovery gets a release into one of them."""

    name = "recovery"
    slot = "a"
    recovers = True

    def begin(self, terminal):
        """The running release is one that an update brought."""
        Updating.begin(self, terminal)
        fs = terminal.fs
        put_slot(fs, "b", make_manifest(terminal.crypto, "1.0.0", GOOD, 1), GOOD)
        manifest = digest_of(fs, terminal.crypto, "slot_b/manifest.toon")
        Store(fs).write(slots.BOOT_PATH, {"SLOT": "b", "MANIFEST": manifest})
        for slot in "ab":
            put_files(fs, "slot_" + slot + "/", {"main.py": b"damaged"})

    def window(self, events, end):
        return 0, count_at(events, "update_confirmed")

    def check(self, terminal, told):
        Updating.check(self, terminal, told)
        if Store(terminal.fs).read_or_none(slots.RECOVERY_PATH) is not None:
            raise Wrong("recovery waits the next time")

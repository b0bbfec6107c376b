"""What a phase of a terminal's life is, and what must hold at each of its boots.

Runs on CPython and MicroPython. A phase has setup(hardware) for a factory-new flash, prepare() up
to the moment from which the power may go, act() for people at the terminal meanwhile, is_done()
and check(). A phase knows nothing of cuts: after one, everything begins with power_on() anew.
"""

from fakes import D1, trust_rows
from sweep_releases import GOOD, RELEASES, make_manifest
from sweep_server import HOST
from sweep_terminal import Wrong

from ks_agent import allow_pages, bundle, journal, unpack
from ks_agent.ports import COUNTER, KEY
from ks_agent.store import Store
from ks_agent.trust import ROLES


class Phase:
    """`window(events)` narrows what is cut: (first, last) operation, of a list of
    (operations done until then, kind, what). `deep`: recoveries are cut everywhere, too.
    """

    name = ""
    deep = False
    kept = 16
    sync_bytes = 16384
    unpack_sync_bytes = 8192
    keeps_key = True
    # Only on boards with partitions for two images.
    needs_images = False
    # Whether neither slot may be good, and whether a new partition is to be formatted.
    recovers = False
    formats = False

    def setup(self, hardware, crypto):
        """A factory-new terminal's flash."""
        journal.KEPT = self.kept
        fs = hardware.mount()
        store = Store(fs)
        store.write("trust.toon", {"TRUST": trust_rows(crypto)})
        factory = {"D1": D1, "SERVER": HOST}
        factory.update(self.factory)
        store.write("factory.toon", factory)
        put_slot(fs, "a", make_manifest(crypto, "1.0.0", GOOD, 1), GOOD)
        fs.mkdir("recovery")
        put_files(fs, "recovery/", {"main.py": b"print('recovery')\n"})

    factory = {}

    def prepare(self, terminal):
        terminal.power_on()
        terminal.run(lambda: terminal.beats == 1)
        self.begin(terminal)
        terminal.power_on()

    def begin(self, terminal):
        pass

    def start(self):
        """Before each run of the phase, the one that is cut and those after a cut."""
        journal.KEPT = self.kept
        allow_pages.SYNC_BYTES = self.sync_bytes
        unpack.SYNC_BYTES = self.unpack_sync_bytes

    def resume(self):
        """Before each run after a cut."""
        self.start()

    def act(self, terminal):
        """People at the terminal, whenever it sleeps; True when that wakes it."""
        return False

    def window(self, events, end):
        return 0, end

    def is_done(self, terminal):
        return terminal.beats > 0

    def check_boot(self, terminal):
        """After each boot, before the terminal does anything."""

    def check(self, terminal, told):
        """In the end. `told`: what was seen of the terminal, before the cuts and after."""


def put_slot(fs, slot, manifest, files):
    folder = "slot_" + slot
    fs.mkdir(folder)
    fs.mkdir(folder + "/ks_agent")
    put_files(fs, folder + "/", files)
    put_files(fs, folder + "/", {"manifest.toon": manifest})


def put_files(fs, folder, files):
    for path in files:
        with fs.open(folder + path, "wb") as file:
            file.write(files[path])


def facts(terminal):
    """What must not get lost from here on."""
    vault = terminal.hardware.vault
    return {"key": vault.get(KEY), "counter": int(vault.get(COUNTER) or b"0")}


def check_boot(terminal, phase, before):
    """After each boot: who it is, whom it trusts, what it runs."""
    vault = terminal.hardware.vault
    if int(vault.get(COUNTER) or b"0") < before["counter"]:
        raise Wrong("the security counter fell")
    if terminal.agent.trust.restored:
        raise Wrong("the trust store was damaged")
    for role in ROLES:
        if not terminal.agent.trust.rows_of(role):
            raise Wrong("nobody trusted as " + role)
    if terminal.slot:
        check_slot(terminal)
    elif not phase.recovers:
        raise Wrong("no slot can be started")
    if phase.keeps_key and before["key"] is not None and vault.get(KEY) != before["key"]:
        raise Wrong("another key than before")
    phase.check_boot(terminal)


def check_slot(terminal):
    """The running slot, file by file: a release that was built, and signed, as it was built."""
    folder = "slot_" + terminal.slot + "/"
    manifest = bundle.read_manifest(terminal.fs, folder + "manifest.toon")
    files = RELEASES[manifest["FW2"]]
    for path in files:
        with terminal.fs.open(folder + path, "rb") as file:
            if file.read() != files[path]:
                raise Wrong("%s runs with another %s" % (manifest["FW2"], path))

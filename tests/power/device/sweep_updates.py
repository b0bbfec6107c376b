"""Phases of updates: download, switch, trial, confirm, rollback, full images."""

from sweep_basis import Phase
from sweep_releases import BAD, NEW, STUCK, make_release
from sweep_server import HOST, SEEDS
from sweep_terminal import BAD_IMAGE, Wrong

from ks_agent.ports import COUNTER
from ks_agent.store import Store
from ks_driver.esp_image import make


class Updating(Phase):
    """From the offer of a release to its end."""

    version = "1.1.0"
    files = NEW
    counter = 2
    packed = ()

    def begin(self, terminal):
        terminal.server.release = make_release(
            terminal.crypto, self.version, self.files, self.counter, self.packed
        )

    def said(self, terminal):
        return [ack[1:] for ack in terminal.server.firmware_acks]

    def is_done(self, terminal):
        return terminal.slot == "b" and ("OK", "confirmed") in self.said(terminal)

    def check(self, terminal, told):
        if set(self.said(terminal)) != {("OK", "confirmed")}:
            raise Wrong("said of the update: %s" % self.said(terminal))
        if terminal.hardware.vault.get(COUNTER) != b"2":
            raise Wrong("the security counter was not raised")
        record = Store(terminal.fs).read("data/state/boot.toon")
        if record.get("SLOT") != "b" or "TRIAL" in record:
            raise Wrong("not confirmed")


def count_at(events, kind, last=False):
    counts = [count for count, found, _ in events if found == kind]
    if not counts:
        raise Wrong("no %s happened" % kind)
    return counts[-1 if last else 0]


class Download(Updating):
    """The offer, the download, the files in the other slot."""

    name = "download"
    unpack_sync_bytes = 1024

    def window(self, events, end):
        return 0, count_at(events, "update_staged")


class Unpacking(Download):
    """Packed files over a link that breaks off: each connection brings a piece."""

    name = "unpack"
    packed = ("ks_agent/a.py",)

    def begin(self, terminal):
        Download.begin(self, terminal)
        terminal.server.breaks_off = 1500


class Switch(Updating):
    """From the last file to the first start of the new release."""

    name = "switch"
    deep = True

    def window(self, events, end):
        staged = count_at(events, "update_staged")
        downloads = [count for count, kind, _ in events if kind == "server" and count < staged]
        return max(downloads), count_at(events, "update_trial")


class TrialPhase(Updating):
    """The new release's first start, up to the heartbeat's answer."""

    name = "trial"

    def window(self, events, end):
        trial = count_at(events, "update_trial")
        return trial, max(trial + 1, count_at(events, "update_confirmed") - 8)


class Confirm(Updating):
    """From the heartbeat that proves a release to the server's knowing of it."""

    name = "confirm"
    deep = True

    def window(self, events, end):
        confirmed = count_at(events, "update_confirmed")
        answers = [count for count, kind, _ in events if kind == "server" and count < confirmed]
        return max(answers), end


class Rollback(Updating):
    """A release that crashes: given up, reported and never tried again."""

    name = "rollback"
    deep = True
    version = "1.2.0"
    files = BAD

    def window(self, events, end):
        return count_at(events, "update_staged"), end

    def is_done(self, terminal):
        return terminal.slot == "a" and bool(self.said(terminal)) and terminal.beats >= 3

    def check(self, terminal, told):
        if [kind for kind, _ in told].count("update_staged") > 1:
            raise Wrong("a release that was given up is tried again")
        for status, text in self.said(terminal):
            if status != "ERROR" or not text.startswith("ROLLED_BACK"):
                raise Wrong("said of the update: %s %s" % (status, text))
        if int(terminal.hardware.vault.get(COUNTER) or b"0") > 1:
            raise Wrong("a release that was never proven raised the counter")
        record = Store(terminal.fs).read("data/state/boot.toon")
        if record.get("SLOT") != "a" or "TRIAL" in record or "ROLLED_BACK" in record:
            raise Wrong("not settled: %s" % sorted(record))


class Reset(Rollback):
    """A release that hangs, until the watchdog resets it: nothing tells that from power cuts, so
    it gets more starts than one that crashes.
    """

    name = "rollback-resets"
    deep = False
    version = "1.3.0"
    files = STUCK


class Outage(Updating):
    """The server is away when the new release starts, for longer than a bad release would get."""

    name = "trial-outage"
    away_ms = 20 * 60000

    def window(self, events, end):
        return count_at(events, "update_trial"), end

    def act(self, terminal):
        is_away = terminal.slot == "b" and terminal.clock.ticks < self.away_ms
        terminal.server.hosts = () if is_away else (HOST,)
        return False


class Mute(Rollback):
    """The new release reaches a server whose answers it cannot believe: 15 minutes, no more."""

    name = "trial-mute"
    deep = False
    version = "1.1.0"
    files = NEW

    def window(self, events, end):
        return count_at(events, "update_trial"), end

    def act(self, terminal):
        terminal.server.seeds = (b"Z" * 32,) if terminal.slot == "b" else SEEDS[:1]
        return False


class Image(Updating):
    """A full image: written, started once, marked valid."""

    name = "image"
    needs_images = True
    version = "1.26.0"

    def begin(self, terminal):
        image = make(self.version, "6.3", "xtensawin", b"image" * 1500)
        terminal.server.release = make_release(
            terminal.crypto,
            self.version,
            {"micropython.bin": image},
            self.counter,
            KIND="image",
            IMAGE=self.version,
            MPY="6.3",
            ARCH="xtensawin",
        )

    def is_done(self, terminal):
        return self.runs(terminal) == self.version and ("OK", "confirmed") in self.said(terminal)

    def runs(self, terminal):
        return terminal.agent.ports.partition.images.image()[0]

    def check(self, terminal, told):
        for status, text in self.said(terminal):
            if (status, text) != ("OK", "confirmed") and text[:9] != "POSTPONED":
                raise Wrong("said of the image: %s %s" % (status, text))
        if self.said(terminal)[-1][0] != "OK":
            raise Wrong("said of the image at last: %s" % (self.said(terminal)[-1],))
        if terminal.hardware.vault.get(COUNTER) != b"2":
            raise Wrong("the security counter was not raised")


class ImageRollback(Image):
    """One that never comes up: the bootloader goes back, and after four tries it is given up."""

    name = "image-rollback"
    version = BAD_IMAGE

    def is_done(self, terminal):
        last = self.said(terminal)[-1:]
        return bool(last) and last[0][1].startswith("ROLLED_BACK") and terminal.beats >= 2

    def check(self, terminal, told):
        for status, text in self.said(terminal):
            if status != "ERROR":
                raise Wrong("said of the image: %s %s" % (status, text))
        if terminal.hardware.vault.get(COUNTER) is not None:
            raise Wrong("an image that was never proven raised the counter")

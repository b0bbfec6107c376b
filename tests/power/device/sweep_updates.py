"""Phases of updates: download, switch, trial, confirm, rollback, full images."""

from sweep_basis import Phase
from sweep_releases import BAD, NEW, STUCK, make_release
from sweep_server import HOST, SEEDS
from sweep_terminal import BAD_IMAGE, Wrong

from ks_agent.ports import COUNTER
from ks_agent.store import Store
from ks_driver.esp_image import make

HOUR_MS = 3600000
POSTPONED = ("ERROR", "POSTPONED no_server")
ROLLED_BACK = ("ERROR", "ROLLED_BACK no_server")


class Updating(Phase):
    """From the offer of a release to its end."""

    version = "1.1.0"
    files = NEW
    counter = 2
    packed = ()
    # The slot that it ends in.
    slot = "b"

    def begin(self, terminal):
        terminal.server.release = make_release(
            terminal.crypto, self.version, self.files, self.counter, self.packed
        )

    def said(self, terminal):
        return [ack[1:] for ack in terminal.server.firmware_acks]

    def is_done(self, terminal):
        return terminal.slot == self.slot and ("OK", "confirmed") in self.said(terminal)

    def check(self, terminal, told):
        self.check_said(self.said(terminal))
        if terminal.hardware.vault.get(COUNTER) != b"2":
            raise Wrong("the security counter was not raised")
        record = Store(terminal.fs).read("data/state/boot.toon")
        if record.get("SLOT") != self.slot or "TRIAL" in record:
            raise Wrong("not confirmed")

    def check_said(self, said):
        if set(said) != {("OK", "confirmed")}:
            raise Wrong("said of the update: %s" % said)


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
        self.check_said(self.said(terminal))
        if int(terminal.hardware.vault.get(COUNTER) or b"0") > 1:
            raise Wrong("a release that was never proven raised the counter")
        record = Store(terminal.fs).read("data/state/boot.toon")
        if record.get("SLOT") != "a" or "TRIAL" in record or "ROLLED_BACK" in record:
            raise Wrong("not settled: %s" % sorted(record))

    def check_said(self, said):
        for status, text in said:
            if status != "ERROR" or not text.startswith("ROLLED_BACK"):
                raise Wrong("said of the update: %s %s" % (status, text))


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


class Away(Updating):
    """The server is away for a day: the old release is back, and once the server is, the new one
    gets another try.
    """

    name = "trial-away"

    def window(self, events, end):
        return count_at(events, "update_trial"), count_at(events, "update_trial", last=True)

    def act(self, terminal):
        is_away = terminal.slot == "b" and not self.is_postponed(terminal)
        stay_away(terminal, is_away)
        return False

    def is_postponed(self, terminal):
        return POSTPONED in self.said(terminal)

    def check_said(self, said):
        if set(said) != {POSTPONED, ("OK", "confirmed")} or said[-1] == POSTPONED:
            raise Wrong("said of the update: %s" % said)


class AwayForGood(Rollback):
    """Whenever the new release is on trial: postponed three times, then given up, in the end."""

    name = "trial-away-again"
    deep = False
    version = "1.1.0"
    files = NEW
    postponed = 3

    def prepare(self, terminal):
        Rollback.prepare(self, terminal)
        terminal.act = lambda: self.act(terminal)
        terminal.run(lambda: len(self.said(terminal)) == self.postponed)
        terminal.step()  # which knows now that it has been said

    def window(self, events, end):
        return count_at(events, "update_trial"), end

    def act(self, terminal):
        stay_away(terminal, terminal.slot == "b")
        return False

    def is_done(self, terminal):
        return ROLLED_BACK in self.said(terminal) and Rollback.is_done(self, terminal)

    def check_said(self, said):
        if said[: self.postponed] != [POSTPONED] * self.postponed:
            raise Wrong("said of the first tries: %s" % said)
        if set(said[self.postponed :]) != {ROLLED_BACK}:
            raise Wrong("said of the last one: %s" % said)


def stay_away(terminal, is_away):
    """The hours go by in steps, each time that the terminal waits."""
    terminal.server.hosts = () if is_away else (HOST,)
    if is_away:
        terminal.clock.ticks += 2 * HOUR_MS


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

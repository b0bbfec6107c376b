"""What a terminal does in its life, phase by phase: what leads to it, its goal, what must hold.

Runs on CPython and MicroPython. A phase has setup(hardware) for a factory-new flash, prepare() up
to the moment from which the power may go, act() for people at the terminal meanwhile, is_done()
and check(). A phase knows nothing of cuts: after one, everything begins with power_on() anew.
"""

import hashlib
from binascii import unhexlify

from fake_ports import NOW_MS
from fakes import RELEASE_SEED
from sweep_server import D1, HOST, OTHER_HOST, SEEDS, Release, public_text, trust_rows
from sweep_terminal import BAD_IMAGE, CRASHING, HANGING, Wrong

from ks_agent import allow_pages, bundle, journal, signing, timetext, toon, unpack
from ks_agent.ports import COUNTER, KEY, KEY_NEXT
from ks_agent.store import Store, as_text
from ks_agent.trust import ADMIN, RELEASE, ROLES
from ks_driver.esp_image import make

DAY_MS = 86400000
GOOD = {
    "main.py": b"print('good')\n",
    "ks_agent/empty.py": b"",
    "ks_agent/a.py": b"A" * 700,
    "same.py": b"# the same in both\n" * 20,
}
NEW = dict(GOOD)
NEW["main.py"] = b"print('better')\n" * 9
NEW["ks_agent/a.py"] = b"B" * 5000
NEW["ks_agent/b.py"] = b"# not packed at all\n" * 150
BAD = dict(NEW)
BAD["main.py"] = CRASHING + b"\n"
STUCK = dict(NEW)
STUCK["main.py"] = HANGING + b"\n"
# Raw deflate of ks_agent/a.py with a window of 2^10.
WBITS = 10
PACKED = {"ks_agent/a.py": unhexlify(b"edc13101000000c2a06eeb1fca147e4001000000006f03")}
EXTRA_SEED = b"E" * 32
# How each release is known in the checks: FW2 -> files.
RELEASES = {"1.0.0": GOOD, "1.1.0": NEW, "1.2.0": BAD, "1.3.0": STUCK}


def make_manifest(crypto, version, files, counter, packed=(), **texts):
    manifest = {"KIND": "application", "FW1": "rel-" + version, "FW2": version}
    manifest["COUNTER"] = str(counter)
    manifest["BUILT"] = timetext.format_ms(NOW_MS - DAY_MS)
    manifest["EXPIRES"] = timetext.format_ms(NOW_MS + 3000 * DAY_MS)
    manifest["TYPES"] = "ESP32_TERMINAL"
    if packed:
        manifest["WBITS"] = str(WBITS)
    manifest["FILE"] = [
        {"PATH": path, "SHA256": signing.sha256_hex(crypto, data), "SIZE": str(len(data))}
        for path, data in sorted(files.items())
    ]
    manifest.update(texts)
    encoded = toon.encode(manifest, as_text)
    return add_packed(encoded, files, packed) if packed else encoded


def add_packed(encoded, files, packed):
    """PACKED as the last column of FILE, as stage 0 expects it."""
    lines = encoded.split(b"\n")
    for index, line in enumerate(lines):
        path = line[2:].split(b",")[0].decode()
        if line.startswith(b"FILE["):
            lines[index] = line.replace(b"}", b",PACKED}")
        elif line.startswith(b"  "):
            count = len(PACKED[path] if path in packed else files[path])
            lines[index] = line + b',"%d"' % count
    return b"\n".join(lines)


def make_release(crypto, version, files, counter, packed=(), **texts):
    """As the server offers it."""
    manifest = make_manifest(crypto, version, files, counter, packed, **texts)
    signature = signing.sign_text(crypto, RELEASE_SEED, signing.manifest_text(crypto, manifest))
    contents = [PACKED[path] if path in packed else files[path] for path in sorted(files)]
    content = bundle.make_head(manifest, signature) + manifest + b"".join(contents)
    tokens = {"FW1": "rel-" + version, "FW2": version, "FW5": str(len(content))}
    tokens["FW3"] = HOST + "/download/" + version
    tokens["FW4"] = signing.sha256_hex(crypto, content)
    tokens["FW_SIG"] = signing.sign_release(crypto, SEEDS[0], tokens)
    return Release(tokens, content, texts.get("IMAGE"))


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
    for path, data in list(files.items()) + [("manifest.toon", manifest)]:
        with fs.open(folder + "/" + path, "wb") as file:
            file.write(data)


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
    check_slot(terminal)
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


class FirstBoot(Phase):
    """From a flash of the factory to the first heartbeat: key, configuration, registration."""

    name = "first-boot"

    def prepare(self, terminal):
        terminal.power_on()

    def is_done(self, terminal):
        return terminal.beats >= 2

    def check(self, terminal, told):
        public = terminal.crypto.public_key(terminal.hardware.vault.get(KEY))
        if public != terminal.server.known:
            raise Wrong("the server knows another key")
        check_told_keys(terminal, told)


def check_told_keys(terminal, told):
    if [kind for kind, _ in told].count("key_made") > 1:
        raise Wrong("two keys were made")


class Registration(Phase):
    name = "registration"

    def prepare(self, terminal):
        terminal.link_down = True
        terminal.power_on()
        for _ in range(6):
            terminal.step()
        terminal.link_down = False
        terminal.power_on()

    check = FirstBoot.check


class Heartbeat(Phase):
    """With another interval from the server, and a day that has passed."""

    name = "heartbeat"

    def begin(self, terminal):
        terminal.server.rto = "50"
        terminal.clock.ticks += 2 * DAY_MS

    def is_done(self, terminal):
        return terminal.beats >= 2

    def check(self, terminal, told):
        if terminal.agent.rto_s != 50:
            raise Wrong("the interval")


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


class Commanded(Phase):
    """Commands in the server's queue: (name, payload, signed by two administrators)."""

    commands = ()
    # What may be said of each in the end.
    allowed = ("OK", "ERROR")

    def begin(self, terminal):
        server = terminal.server
        for number, (name, payload, admins) in enumerate(self.commands):
            server.command(name, number, terminal.now_ms(), payload, admins)

    def is_done(self, terminal):
        return not terminal.server.commands and terminal.beats >= self.beats

    beats = 2

    def check(self, terminal, told):
        server = terminal.server
        if len(server.acks) != len(self.commands):
            raise Wrong("not all are acknowledged")
        for cmd1 in server.acks:
            said = {status for status, _ in server.acks[cmd1]}
            if len(said) != 1 or not said.issubset(self.allowed):
                raise Wrong("said of a command: %s" % (server.acks[cmd1],))

    def outcome(self, terminal, number):
        cmd1 = "%s-%d" % (signing.command_prefix(terminal.crypto, D1), number)
        return terminal.server.acks[cmd1][0]


class Commands(Commanded):
    """Commands whose effect cannot be taken back, and the restart among them."""

    name = "commands"
    commands = (
        ("IDENTIFY", "", False),
        ("FETCH_LOGS", "LEVEL:DEBUG", False),
        ("RESTART", "", False),
        ("HALT_UPDATES", "", False),
    )

    def check(self, terminal, told):
        Commanded.check(self, terminal, told)
        if self.outcome(terminal, 2)[0] != "OK":
            raise Wrong("the restart")
        # What never began, as its record was not written, is done after the cut.
        halted = Store(terminal.fs).read("data/state/update.toon") or {}
        if (self.outcome(terminal, 3)[0] == "OK") != (halted.get("HALTED") == "true"):
            raise Wrong("HALT_UPDATES is not what was said of it")


class Outbox(Commanded):
    """Acknowledgements of many commands, in the order in which their ids sort."""

    name = "outbox"
    commands = (("RESUME_UPDATES", "", False),) * 3 + (("IDENTIFY", "", False),) * 2


class ConfigProven(Commanded):
    name = "config-proven"
    commands = (("APPLY_CONFIG", "SERVER:" + OTHER_HOST + "|LOG_LEVEL:WARN", False),)
    reachable = (HOST, OTHER_HOST)

    def begin(self, terminal):
        terminal.server.hosts = self.reachable
        Commanded.begin(self, terminal)

    def check(self, terminal, told):
        Commanded.check(self, terminal, told)
        status, _text = self.outcome(terminal, 0)
        server = OTHER_HOST if status == "OK" else HOST
        config = Store(terminal.fs).read("data/state/config.toon")
        if config["SERVER"] != server or terminal.agent.config.get("SERVER") != server:
            raise Wrong("%s, but %s is the server" % (status, config["SERVER"]))
        if terminal.agent.config.on_trial or Store(terminal.fs).exists(
            "data/state/config_trial.toon"
        ):
            raise Wrong("a trial that never ends")


class ConfigFailed(ConfigProven):
    name = "config-failed"
    reachable = (HOST,)
    allowed = ("ERROR",)


class TrustKey(Commanded):
    """A key is added as the release key's, with its word, and distrusted again."""

    name = "trust-change"
    allowed = ("OK",)

    def begin(self, terminal):
        crypto = terminal.crypto
        key = public_text(crypto, EXTRA_SEED)
        word = signing.sign_text(crypto, RELEASE_SEED, signing.trust_text(RELEASE, key))
        add = "KEY:%s|RELEASE_SIG:%s|ROLE:release" % (key, word)
        admin = "KEY:%s|ROLE:admin" % public_text(crypto, b"F" * 32)
        remove = "KEY:%s|ROLE:release" % key
        self.commands = (
            ("TRUST_KEY", add, False),
            ("TRUST_KEY", admin, True),
            ("DISTRUST_KEY", remove, True),
        )
        Commanded.begin(self, terminal)

    def check(self, terminal, told):
        self.commands = (None,) * 3
        # One that was interrupted before its effect says so, and the others go on from there.
        self.allowed = ("OK", "ERROR")
        Commanded.check(self, terminal, told)
        trust = terminal.agent.trust
        added, admin, removed = [self.outcome(terminal, number)[0] for number in range(3)]
        key = public_text(terminal.crypto, EXTRA_SEED)
        if trust.has(RELEASE, key) != (added == "OK" and removed != "OK"):
            raise Wrong("the release key is not what was said of it")
        if (removed == "OK") != (key in trust.distrusted):
            raise Wrong("a key is trusted that was distrusted")
        if (admin == "OK") != trust.has(ADMIN, public_text(terminal.crypto, b"F" * 32)):
            raise Wrong("the administrator's key is not what was said of it")
        if not trust.has(RELEASE, public_text(terminal.crypto, RELEASE_SEED)):
            raise Wrong("the release key is gone")


class Links(Phase):
    """The server's key has changed three times while the terminal was off."""

    name = "link"

    def begin(self, terminal):
        terminal.server.seeds = SEEDS

    def is_done(self, terminal):
        return terminal.beats >= 2

    def check(self, terminal, told):
        expected = signing.key_id(terminal.crypto, terminal.crypto.public_key(SEEDS[-1]))
        if terminal.agent.trust.server_key_id() != expected:
            raise Wrong("an old key of the server's is the newest")


class Rotation(Commanded):
    """The device's own key; `loses`: whose answers get lost, once each."""

    name = "key-rotation"
    commands = (("ROTATE_DEVICE_KEY", "", False),)
    keeps_key = False
    loses = ()

    def begin(self, terminal):
        terminal.server.loses = self.loses
        Commanded.begin(self, terminal)

    def is_done(self, terminal):
        settled = terminal.hardware.vault.get(KEY_NEXT) is None
        return settled and Commanded.is_done(self, terminal)

    def check(self, terminal, told):
        Commanded.check(self, terminal, told)
        public = terminal.crypto.public_key(terminal.hardware.vault.get(KEY))
        if public != terminal.server.known:
            raise Wrong("the server knows another key")


class RotationLost(Rotation):
    """The server has taken the new key, and its word of it gets lost."""

    name = "key-rotation-lost"
    loses = ("rotate-key",)


class RotationLostTwice(Rotation):
    name = "key-rotation-lost-twice"
    loses = ("rotate-key", "heartbeat", "command-ack")


class Punching(Phase):
    """People punch, one whenever the terminal sleeps, and each who hears a beep is recorded."""

    names = ()
    # Full segments before, and whether they are to be uploaded, and more of the next one than a
    # record's room left.
    segments = 0
    fills = False

    def begin(self, terminal):
        while self.fills and not self._is_filled(terminal.agent.punches.journal):
            terminal.clock.ticks += 700
            self.punch(terminal, LONG + str(terminal.clock.ticks))
        if self.segments:
            terminal.run(lambda: is_uploaded(terminal))

    def _is_filled(self, held):
        return held.last >= self.segments and held.size > journal.SEGMENT_BYTES - 2 * RECORD_BYTES

    def start(self):
        Phase.start(self)
        self._left = list(self.names)

    def resume(self):
        Phase.start(self)
        self._left = ["after the cut"]

    def act(self, terminal):
        if not self._left or not self.is_ready(terminal):
            return False
        name = self._left.pop(0)
        terminal.clock.ticks += 700
        self.punch(terminal, name)
        return True

    def is_ready(self, terminal):
        return bool(terminal.agent.punches.boot)

    def punch(self, terminal, name):
        """The reader's side: the punch in the journal is what was beeped for."""
        terminal.watch("try", name)
        said = terminal.agent.punches.take(name)
        if said == "accepted":
            terminal.watch("beep", name)
        elif said != "full":
            raise Wrong("a punch was %s" % said)

    def is_done(self, terminal):
        return not self._left and terminal.beats >= 2 and is_uploaded(terminal)

    def check(self, terminal, told):
        beeped = [what for kind, what in told if kind == "beep"]
        tried = [what for kind, what in told if kind == "try"]
        stored = []
        for _jid, rows in sorted(terminal.server.journals.items()):
            for seq in sorted(rows):
                stored.append(rows[seq]["E1"])
        for name in beeped:
            if stored.count(name) != beeped.count(name):
                raise Wrong("%s beeped, and is there %d times" % (name, stored.count(name)))
        for name in stored:
            if stored.count(name) > tried.count(name):
                raise Wrong("%s is there, and never punched" % name)
        if terminal.server.conflicts:
            raise Wrong("two punches with one number, or a gap")


LONG = "employee-" * 6
RECORD_BYTES = 66


def is_uploaded(terminal):
    return terminal.agent.punches.journal.is_settled()


class Append(Punching):
    name = "journal-append"
    names = tuple(["person-%d" % number for number in range(6)])


class Roll(Punching):
    """Over the end of a segment."""

    name = "journal-roll"
    names = tuple([LONG + "r%d" % number for number in range(4)])
    fills = True


class Drop(Punching):
    """Acknowledged segments are dropped when others begin."""

    name = "journal-drop"
    kept = 1
    fills = True
    segments = 2
    names = tuple([LONG + "d%d" % number for number in range(4)])

    def is_ready(self, terminal):
        return terminal.beats > 0 and terminal.agent.punches.journal.settled > 1


class AllowList(Phase):
    """Another version of the list of who may punch."""

    name = "allow-list"
    sync_bytes = 100

    def begin(self, terminal):
        terminal.server.allow = published(terminal.crypto, 0)
        terminal.power_on()
        terminal.run(lambda: held(terminal) == terminal.server.allow[0])
        terminal.server.allow = published(terminal.crypto, 6)

    def is_done(self, terminal):
        return held(terminal) == terminal.server.allow[0]

    def check_boot(self, terminal):
        if held(terminal) not in [published(terminal.crypto, first)[0] for first in (0, 6)]:
            raise Wrong("a list that nobody published")

    def check(self, terminal, told):
        found = terminal.agent.punches.allow_list.find("card 7")
        if found != "E7" or terminal.agent.punches.allow_list.find("card 3") is not None:
            raise Wrong("not the list that it says it is")


def held(terminal):
    allow_list = terminal.agent.punches.allow_list
    return None if allow_list is None else allow_list.version


def published(crypto, first):
    """(version, pages, digests) of a list of 20 credentials from a number on."""
    pages = [[], []]
    for number in range(first, first + 20):
        c1 = allow_pages.text_digest(hashlib.sha256, "card %d" % number)
        pages[allow_pages.page_of(c1, 2)].append((c1, "E%d" % number))
    texts = tuple([allow_pages.page_text(sorted(page)) for page in pages])
    digests = "".join([allow_pages.text_digest(hashlib.sha256, text) for text in texts])
    return allow_pages.text_digest(hashlib.sha256, digests), texts, digests


class Wipe(Commanded):
    """Everything goes but what has to stay; the key goes when the server knows."""

    name = "wipe"
    commands = (("WIPE", "FORCE:true", True),)
    keeps_key = False
    beats = 0

    def begin(self, terminal):
        terminal.hardware.vault.set(COUNTER, b"7")
        for number in range(3):
            terminal.clock.ticks += 700
            terminal.agent.punches.take("gone %d" % number)
        Commanded.begin(self, terminal)

    def is_done(self, terminal):
        return terminal.dormant or self._was_interrupted(terminal)

    def _was_interrupted(self, terminal):
        """Begun, and cut before anything was erased: the server is told so."""
        return [acks for acks in terminal.server.acks.values() if ("ERROR", "interrupted") in acks]

    def check(self, terminal, told):
        vault = terminal.hardware.vault
        if self._was_interrupted(terminal):
            self._check_all_is_there(terminal, told)
            return
        if vault.get(KEY) is not None or vault.get(KEY_NEXT) is not None:
            raise Wrong("the key outlives the end")
        if vault.get(COUNTER) != b"7":
            raise Wrong("the security counter was wiped")
        said = [ack for acks in terminal.server.acks.values() for ack in acks]
        if not said or {status for status, _ in said} != {"OK"}:
            raise Wrong("said of the wipe: %s" % (said,))
        state = set(Store(terminal.fs).names("data/state"))
        left = state - {"identity.toon", "performed.toon", "trust.toon", "boot.toon", "outbox"}
        if left:
            raise Wrong("left over: %s" % sorted(left))
        if list(terminal.fs.listdir("data/journal")):
            raise Wrong("punches outlive a wipe")

    def _check_all_is_there(self, terminal, told):
        if "wiped" in [kind for kind, _ in told]:
            raise Wrong("wiped, and said to be not")
        if terminal.agent.punches.journal.tail.seq != 3:
            raise Wrong("punches are gone, and there was no wipe")
        public = terminal.crypto.public_key(terminal.hardware.vault.get(KEY))
        if public != terminal.server.known or terminal.hardware.vault.get(COUNTER) != b"7":
            raise Wrong("the key or the counter is gone, and there was no wipe")


class Revoke(Wipe):
    """The same for a terminal that the server does not want any more."""

    name = "revoke"
    commands = (("REVOKE", "", True),)

    def begin(self, terminal):
        Wipe.begin(self, terminal)
        terminal.server.revoked = True


PHASES = (
    FirstBoot,
    Registration,
    Heartbeat,
    Download,
    Unpacking,
    Switch,
    TrialPhase,
    Confirm,
    Rollback,
    Reset,
    Image,
    ImageRollback,
    ConfigProven,
    ConfigFailed,
    TrustKey,
    Links,
    Rotation,
    RotationLost,
    RotationLostTwice,
    Commands,
    Outbox,
    Append,
    Roll,
    Drop,
    AllowList,
    Wipe,
    Revoke,
)


def phase_named(name):
    for phase in PHASES:
        if phase.name == name:
            return phase()
    raise ValueError("no phase " + name)


def check_once(phase, told):
    """No command is performed twice, over all boots: by their ids, and by what was seen of them."""
    begun = [what["CMD1"] for kind, what in told if kind == "command"]
    for cmd1 in begun:
        if begun.count(cmd1) > 1:
            raise Wrong("performed twice: " + cmd1)
    names = [command[0] for command in getattr(phase, "commands", ()) if command]
    seen = [kind for kind, _ in told].count("identify")
    if seen > names.count("IDENTIFY"):
        raise Wrong("identified itself once more than it was told to")
    if [what for kind, what in told if kind == "restart"].count("command") > names.count("RESTART"):
        raise Wrong("restarted once more than it was told to")

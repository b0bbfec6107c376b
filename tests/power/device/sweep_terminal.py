"""A terminal on a flash that may be cut, from the frozen start-up over boot.py to the real agent.

Runs on CPython and MicroPython. Built anew for each boot: `Terminal` stands for the place where it
hangs, with the server's end of the line, and what people saw of it (its notes).
"""

from fake_ports import NOW_MS, Clock, Rng
from sweep_boot import Boot

from ks_agent.agent import Agent
from ks_agent.ports import Ports
from ks_agent.recovery import Recovery
from ks_driver.inflate import Inflater

STEPS_MAX = 900
BOOTS_MAX = 40
FETCH_MS = 40
# What a release's main.py begins with, when it does not run: it raises, or the watchdog bites.
CRASHING = b"crash"
HANGING = b"hang!"
BAD_IMAGE = "1.27.0"
COMPLAINTS = ("damaged", "unreadable", "not readable", "not stored", "lost its end", "no key")
SHOWN = ("command", "identify", "acknowledged", "key_made", "registered", "wiped", "punch")
SHOWN += ("update_staged", "update_trial", "update_confirmed", "update_rolled_back")
SHOWN += ("update_postponed", "image_staged", "image_trial", "image_confirmed", "image_postponed")
SHOWN += ("recovery", "recovery_failed")


class Wrong(AssertionError):
    """What must never happen has happened."""


class PowerGone(Exception):
    """The hardware died while the core was at work."""


class Partition:
    def __init__(self, running, version, images):
        self.running = running
        self.stage0 = version
        self.images = images


class Board:
    name = "desk"

    def __init__(self, terminal):
        self._terminal = terminal

    def inflate(self, file, window_bits):
        return Inflater(file, window_bits)

    def temperature_c(self):
        return "41.5"

    def memory_used_bytes(self):
        return 81920

    def memory_free_bytes(self):
        return None

    def reader_ok(self):
        return True

    def unload(self, names):
        pass

    def show(self, event, detail):
        self._terminal.shown(event, detail)


class Terminal:
    """`hardware`: vault; bootloader() -> the port `images` or None; frozen() mounts `vfs` as the
    frozen start-up does; `partition` is the one with the data, attach_data() mounts it and
    make_data() formats it, which sets `formatted`; then `fs` is the port. `dead`: it died.
    `watch(kind, what)` hears of what happens.

    `label` makes the random numbers: another one after each cut, or nonces would come again.
    """

    def __init__(self, hardware, server, elapsed_ms, label, watch, crypto):
        self.hardware = hardware
        self.server = server
        self.crypto = crypto
        self.watch = watch
        self.act = None
        self.link_down = False
        self.boots = 0
        self.beats = 0
        self.dormant = False
        self.steps = 0
        self.booted_ms = elapsed_ms
        self.clock = Clock()
        self.agent = None
        self.slot = None
        self._label = label
        self._hangs = False

    @property
    def elapsed_ms(self):
        return self.booted_ms + self.clock.ticks

    def now_ms(self):
        return NOW_MS + self.elapsed_ms

    def power_on(self):
        """Until an application runs: the bootloader, the frozen start-up, stage 0, and crashes."""
        while not self._start():
            self.clock.ticks += 500

    def _start(self):
        """One reset. False when it is followed by another one."""
        self.boots += 1
        if self.boots > BOOTS_MAX:
            raise Wrong("a reset loop")
        self.booted_ms = self.elapsed_ms
        self.clock = Clock()
        self.beats = 0
        images = self.hardware.bootloader()
        if images is not None and images.image()[0] == BAD_IMAGE:
            return False
        self.hardware.frozen()
        self._boot = Boot(self.hardware, self._begin, self.clock)
        try:
            lives = self._boot.run()
        except Exception as error:
            if self.hardware.dead:
                raise PowerGone()
            raise Wrong("at the prompt: %s %s" % (type(error).__name__, error))
        if self.hardware.formatted:
            self.hardware.formatted = False
            self.watch("formatted", None)
        if not lives or self._hangs:
            return False
        self._live(images)
        return True

    def _begin(self, folder, slot, version):
        """What main.py in the folder does at once."""
        self.fs = self.hardware.fs
        self.slot = slot
        self._stage0 = version
        self.watch("slot", slot)
        with self.fs.open(folder + "/main.py", "rb") as file:
            begins = file.read(len(CRASHING))
        self._hangs = begins == HANGING
        if begins == CRASHING:
            raise RuntimeError("it crashes")

    def _live(self, images):
        rng = Rng(("%s %d" % (self._label, self.boots)).encode())
        partition = Partition(self.slot, self._stage0, images)
        ports = Ports(
            self.clock, rng, self.fs, self.hardware.vault, partition, self.crypto, Board(self)
        )
        self.agent = Agent(ports) if self.slot else Recovery(ports)
        self._life = self.agent.run()
        self._result = None
        self._failure = None

    def shown(self, event, detail):
        if event == "heartbeat":
            self.beats += 1
        if event in SHOWN:
            self.watch(event, detail)

    def step(self):
        """One effect. False at the end of the life."""
        self.steps += 1
        try:
            if self._failure is not None:
                effect = self._life.throw(self._failure)
            else:
                effect = self._life.send(self._result)
        except StopIteration:
            self.dormant = True
            return False
        self._result = None
        self._failure = None
        if self.hardware.dead:
            raise PowerGone()
        if effect.kind == "sleep":
            if self.act is not None and self.act():
                return True  # woken by who punched
            self.clock.ticks += effect.ms
        elif effect.kind == "restart":
            self.check_log()
            self.watch("restart", effect.reason)
            self._life.close()
            self._boot.ended("restart")
            self.power_on()
        else:
            self._exchange(effect)
        return True

    def _exchange(self, effect):
        self.clock.ticks += FETCH_MS
        try:
            if self.link_down:
                raise OSError("no link")
            self._result = self.server.handle(effect, self.now_ms())
        except Exception as error:
            self._failure = error
        self.watch("server", None)

    def run(self, until):
        """Live until the condition holds. Raises Wrong when it does not come to that."""
        while not until():
            if self.steps > STEPS_MAX:
                raise Wrong("it never came to that")
            if not self.step():
                if until():
                    return
                raise Wrong("dormant")

    def check_log(self):
        """A power cut damages nothing: whatever the terminal says was damaged is a failure."""
        for _, _, text in self.agent.log.rows("DEBUG", ""):
            if [word for word in COMPLAINTS if word in text]:
                raise Wrong("logged: " + text)

    def close(self):
        """Off, without another word."""
        self._life = None
        self.agent = None

"""All phases of a terminal's life, and those before and between all others.

See sweep_basis for what a phase is. Runs on CPython and MicroPython.
"""

from sweep_basis import Phase, check_boot
from sweep_commands import (
    Commands,
    ConfigFailed,
    ConfigProven,
    Distrust,
    Links,
    Outbox,
    Revoke,
    Rotation,
    RotationLost,
    RotationLostTwice,
    TrustKey,
    Wipe,
)
from sweep_punches import AllowList, Append, Drop, Roll
from sweep_releases import DAY_MS
from sweep_starts import Format, Recovery
from sweep_terminal import Wrong
from sweep_updates import (
    Away,
    AwayForGood,
    Confirm,
    Download,
    Image,
    ImageRollback,
    Mute,
    Outage,
    Reset,
    Rollback,
    Switch,
    TrialPhase,
    Unpacking,
)

from ks_agent.ports import KEY

__all__ = ("PHASES", "Phase", "check_boot", "check_once", "phase_named")


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


PHASES = (
    Format,
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
    Outage,
    Away,
    AwayForGood,
    Mute,
    Recovery,
    Image,
    ImageRollback,
    ConfigProven,
    ConfigFailed,
    TrustKey,
    Distrust,
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
    """No command is performed twice, over all boots: by their ids, and by what was seen of them.
    Nothing is formatted.
    """
    if "formatted" in [kind for kind, _ in told] and not phase.formats:
        raise Wrong("a partition was formatted")
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

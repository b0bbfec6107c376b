"""How the configuration changes: at the factory, on trial, by a WIPE."""

from .config import PATH
from .config_check import check
from .store import STATE

TRIAL_PATH = STATE + "config_trial.toon"
TRIAL_MS = 600000
CONNECTION = ("SERVER", "TIME_SERVER", "WIFI_SSID", "WIFI_PASSWORD", "CA")


def start(config, store, fields):
    """The factory's configuration, once. Raises Malformed."""
    check(fields)
    store.write(PATH, fields)
    config.proven = fields


def forget(config, fields):
    """After a WIPE only the connection is left, in memory."""
    config.proven = fields
    config.trial = None


def try_out(config, store, clock, fields, cmd1):
    """Use the fields from now on, as long as they have not failed. Raises Malformed."""
    trial = dict(config.proven)
    trial.update(fields)
    check(trial)
    store.write(TRIAL_PATH, dict(trial, CMD1=cmd1))
    config.trial = trial
    config.deadline_ms = clock.ticks_ms() + TRIAL_MS
    config.cmd1 = cmd1


def accept(config, store):
    """A signed round trip succeeded under the trial: from now on it is the configuration."""
    store.write(PATH, config.trial)
    config.proven = config.trial
    config.trial = None


def end_trial(config, store):
    """After the trial's acknowledgement is stored: until then its record tells how it ended."""
    config.trial = None
    store.remove(TRIAL_PATH)


def settle(config, store, cmd1):
    """After a restart: True if the trial of that command had been proven."""
    trial = store.read_or_none(TRIAL_PATH)
    if trial is None or trial.pop("CMD1", None) != cmd1:
        return False
    return trial == config.proven

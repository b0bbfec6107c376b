"""The configuration, and the trial of a new one (PROTOCOL section 5, APPLY_CONFIG).

A trial is kept beside the configuration and in use until a signed round trip proves it. A restart
or ten minutes without one end it: the configuration itself was never touched.
"""

from .errors import Malformed
from .store import STATE

PATH = STATE + "config.toon"
TRIAL_PATH = STATE + "config_trial.toon"
TRIAL_MS = 600000
CONNECTION = ("SERVER", "TIME_SERVER", "WIFI_SSID", "WIFI_PASSWORD", "CA")


class Config:
    def __init__(self, store, clock):
        from .config_check import check

        self._store = store
        self._clock = clock
        self._proven = store.read_as(PATH) or {}
        try:
            check(self._proven)
        except Malformed:
            self._proven = {}
        self._trial = None
        self._deadline_ms = 0
        self.cmd1 = None

    def get(self, name, otherwise=""):
        fields = self._proven if self._trial is None else self._trial
        return fields.get(name, otherwise)

    def connection(self):
        """What it takes to reach the server: kept over a WIPE until it is acknowledged."""
        return {key: value for key, value in self._proven.items() if key in CONNECTION}

    def start(self, fields):
        """The factory's configuration, once."""
        from .config_check import check

        check(fields)
        self._store.write(PATH, fields)
        self._proven = fields

    def forget(self, connection):
        """After a WIPE only the connection is left, in memory."""
        self._proven = connection
        self._trial = None

    @property
    def on_trial(self):
        return self._trial is not None

    def try_out(self, fields, cmd1):
        trial = dict(self._proven)
        trial.update(fields)
        from .config_check import check

        check(trial)
        self._store.write(TRIAL_PATH, dict(trial, CMD1=cmd1))
        self._trial = trial
        self._deadline_ms = self._clock.ticks_ms() + TRIAL_MS
        self.cmd1 = cmd1

    def proven(self):
        """A signed round trip succeeded under the trial: from now on it is the configuration."""
        self._store.write(PATH, self._trial)
        self._proven = self._trial
        self._trial = None

    def overdue(self):
        return self.on_trial and self._clock.ticks_ms() >= self._deadline_ms

    def end_trial(self):
        """After the trial's acknowledgement is stored: until then its record tells how it ended."""
        self._trial = None
        self._store.remove(TRIAL_PATH)

    def settle(self, cmd1):
        """After a restart: True if the trial of that command had been proven."""
        trial = self._store.read_or_none(TRIAL_PATH)
        if trial is None or trial.pop("CMD1", None) != cmd1:
            return False
        return trial == self._proven

"""The configuration, and the trial of a new one (PROTOCOL section 5, APPLY_CONFIG).

A trial is kept beside the configuration and in use until a signed round trip proves it. A restart
or ten minutes without one end it: the configuration itself was never touched. How it changes is in
config_changes.
"""

from .errors import Malformed
from .store import STATE

PATH = STATE + "config.toon"


class Config:
    """`trial`: the fields on trial, or None; `cmd1`: the command that brought them."""

    def __init__(self, store, clock):
        from .config_check import check

        self._clock = clock
        self.proven = store.read_as(PATH) or {}
        try:
            check(self.proven)
        except Malformed:
            self.proven = {}
        self.trial = None
        self.deadline_ms = 0
        self.cmd1 = None

    def get(self, name, otherwise=""):
        fields = self.proven if self.trial is None else self.trial
        return fields.get(name, otherwise)

    @property
    def on_trial(self):
        return self.trial is not None

    def overdue(self):
        return self.on_trial and self._clock.ticks_ms() >= self.deadline_ms

"""An update's progress in memory; the table of its states is not there while nothing happens."""

from .states import Machine

TRIAL_MS = 15 * 60000
# Of update_state, which has them all.
IDLE = "IDLE"
TRIAL = "TRIAL"


class Progress:
    """What the terminal remembers of updates from one heartbeat to the next, until it restarts."""

    def __init__(self, clock, backoff):
        self._clock = clock
        self._backoff = backoff
        self.state = IDLE
        self._offered = None
        self.not_before_ms = 0
        self.version = "0.0.0"
        self.reported = None
        self.shortages = 0
        # Whether nothing else could leave more room: what finds none now never will.
        self.has_all_room = False
        # Whether there may be a download to go on with; at boot nobody knows yet.
        self.resumable = True
        # How long to wait for the next heartbeat where an attempt is to go on, else None.
        self.pause_ms = None

    def step(self, event):
        """Raises LocalError for an event that the state does not have."""
        from .update_state import TRANSITIONS

        self.state = Machine(TRANSITIONS, self.state).step(event)

    def on_trial(self):
        return self.state == TRIAL

    def begin_trial(self):
        self.state = TRIAL

    def wanted(self, version):
        """Whether an update to the version that a heartbeat's answer named should be tried now."""
        if version != self._offered:
            self._offered = version
            self.not_before_ms = 0
            self._backoff.succeeded()
        return self.state == IDLE and self._clock.ticks_ms() >= self.not_before_ms

    def attempt(self):
        self.not_before_ms = self._clock.ticks_ms() + self._backoff.failed()

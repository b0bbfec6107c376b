"""An update's progress as a table (docs/architecture.md draws it from here), and in memory."""

from .states import Machine

IDLE = "IDLE"
OFFERED = "OFFERED"
DOWNLOADING = "DOWNLOADING"
STAGED = "STAGED"
TRIAL = "TRIAL"

TRANSITIONS = {
    (IDLE, "offered"): OFFERED,
    (OFFERED, "refused"): IDLE,
    (OFFERED, "link_lost"): IDLE,
    (OFFERED, "manifest_trusted"): DOWNLOADING,
    (DOWNLOADING, "refused"): IDLE,
    (DOWNLOADING, "link_lost"): IDLE,
    (DOWNLOADING, "verified"): STAGED,
    (STAGED, "restarted"): TRIAL,
    (TRIAL, "restarted"): TRIAL,
    (TRIAL, "proven"): IDLE,
    (TRIAL, "given_up"): IDLE,
}

TRIAL_MS = 15 * 60000


class Progress:
    """What the terminal remembers of updates from one heartbeat to the next, until it restarts."""

    def __init__(self, clock, backoff):
        self._clock = clock
        self._backoff = backoff
        self._machine = Machine(TRANSITIONS, IDLE)
        self._offered = None
        self.not_before_ms = 0
        self.version = "0.0.0"
        self.reported = None
        # Whether there may be a download to go on with; at boot nobody knows yet.
        self.resumable = True
        # How long to wait for the next heartbeat where an attempt is to go on, else None.
        self.pause_ms = None

    @property
    def state(self):
        return self._machine.state

    def step(self, event):
        self._machine.step(event)

    def on_trial(self):
        return self.state == TRIAL

    def begin_trial(self):
        self._machine.state = TRIAL

    def wanted(self, version):
        """Whether an update to the version that a heartbeat's answer named should be tried now."""
        if version != self._offered:
            self._offered = version
            self.not_before_ms = 0
            self._backoff.succeeded()
        return self.state == IDLE and self._clock.ticks_ms() >= self.not_before_ms

    def attempt(self):
        self.not_before_ms = self._clock.ticks_ms() + self._backoff.failed()

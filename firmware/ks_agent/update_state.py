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
    (OFFERED, "paused"): IDLE,
    (OFFERED, "manifest_trusted"): DOWNLOADING,
    (DOWNLOADING, "refused"): IDLE,
    (DOWNLOADING, "link_lost"): IDLE,
    (DOWNLOADING, "paused"): IDLE,
    (DOWNLOADING, "verified"): STAGED,
    (STAGED, "restarted"): TRIAL,
    (TRIAL, "restarted"): TRIAL,
    (TRIAL, "proven"): IDLE,
    (TRIAL, "given_up"): IDLE,
}

TRIAL_MS = 15 * 60000
OUTAGE_MS = 24 * 3600000
# From an attempt that took its time to the next: punches are sent in between.
GO_ON_MS = 1000


class Progress:
    """What the terminal remembers of updates from one heartbeat to the next, until it restarts."""

    def __init__(self, clock, backoff):
        self._clock = clock
        self._backoff = backoff
        self._machine = Machine(TRANSITIONS, IDLE)
        self._offered = None
        self._not_before_ms = 0
        self.version = "0.0.0"
        self.reported = None
        # Whether the last failure was the link's or the server's: no release is bad for that.
        self.is_outage = True
        # Whether there may be a download to go on with; at boot nobody knows yet.
        self.resumable = True
        self.unfinished = False

    @property
    def state(self):
        return self._machine.state

    def step(self, event):
        self._machine.step(event)

    def on_trial(self):
        return self.state == TRIAL

    def begin_trial(self):
        self._machine.state = TRIAL
        self._begun_ms = self._clock.ticks_ms()

    def trial_ms(self):
        """How long the trial goes on since this boot."""
        return self._clock.ticks_ms() - self._begun_ms

    def overdue(self):
        """Why the trial is to be given up, None while it may go on."""
        passed_ms = self.trial_ms() if self.on_trial() else 0
        if passed_ms >= OUTAGE_MS:
            return "no_server"
        return "no_round_trip" if passed_ms >= TRIAL_MS and not self.is_outage else None

    def wanted(self, version):
        """Whether an update to the version that a heartbeat's answer named should be tried now."""
        if version != self._offered:
            self._offered = version
            self._not_before_ms = 0
            self._backoff.succeeded()
        return self.state == IDLE and self._clock.ticks_ms() >= self._not_before_ms

    def attempt(self):
        self._not_before_ms = self._clock.ticks_ms() + self._backoff.failed()

    def go_on(self):
        """The attempt ended for the sake of heartbeats and punches: the next need not wait."""
        self.step("paused")
        self.unfinished = True
        self._not_before_ms = 0
        self._backoff.succeeded()

    def pause_ms(self, usual_ms):
        """How long to wait for the next heartbeat."""
        return min(usual_ms, GO_ON_MS) if self.unfinished else usual_ms

    def withdrawn(self, agent):
        """A heartbeat's answer offers nothing: nothing is kept of what an earlier one did."""
        self.unfinished = False
        if self.resumable:
            from .download_record import forget

            forget(agent)

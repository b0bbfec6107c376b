"""What a rollout decides, without a database: who comes when, and when it stops or goes on.

    draft --start--> running <--pause, resume--> paused
    running -> done       the last phase has soaked, and of nobody that is online more is expected
    running, paused, done --abort--> aborted
    any --revoke--> revoked

A device's bucket is a number below 10000 made of the rollout's salt and its D1, and a phase of p
percent is the buckets below 100 p: whoever is in a phase is in all later ones.

A device counts as failing from its first failed attempt until it runs the release, whatever it is
offered meanwhile, so that trying again hides nothing. It runs the release when it has confirmed it:
a release on trial is in its heartbeats, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple

from ks_agent import bundle
from ks_agent.errors import Malformed
from ks_agent.trial import OUTAGE_MS

BUCKETS: Final = 10_000
CANARY_MAX_PERCENT: Final = 5
# fewer: five percent of them would be nobody
SMALL_TARGET: Final = 20
IMAGE: Final = "image"
# No trial is longer: what a device reports for all that time it has confirmed, whatever became of
# its acknowledgement.
TRIAL_ENDS_MS: Final = OUTAGE_MS

ROLLED_BACK: Final = "ROLLED_BACK"
POSTPONED: Final = "POSTPONED"
BANNED: Final = "BANNED"

# offers, and what came of them is still open
UNDER_WAY: Final = ("offered", "downloading", "postponed")
FAILED: Final = ("rolled_back", "failed", "penalty")
# a terminal fetches nothing again that it went back from
ENDED: Final = ("updated", "rolled_back", "penalty", "halted")
OFFERING: Final = ("running", "done")
JUDGED: Final = ("running", "paused", "done")

TRANSITIONS: Final = {
    "start": (("draft",), "running"),
    "pause": (("running",), "paused"),
    "resume": (("paused",), "running"),
    "promote": (("running",), "running"),
    "abort": (("draft", "running", "paused", "done"), "aborted"),
    "revoke": (("draft", "running", "paused", "aborted", "done", "revoked"), "revoked"),
}
"""What an administrator may do: from which states, and to which."""


class Asker(NamedTuple):
    """A device that may be offered something: texts as it said them, None where it did not."""

    d1: str
    d2: str
    d5: str | None
    site: str | None
    fw2: str | None
    img1: str | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Whom a rollout is for; None admits anybody, and so does a Filter of nothing else."""

    types: frozenset[str] | None = None
    models: frozenset[str] | None = None
    sites: frozenset[str] | None = None
    versions: frozenset[str] | None = None
    devices: frozenset[str] | None = None

    @classmethod
    def of(cls, lists: dict[str, list[str]]) -> Filter:
        """From the lists of the admin API; a list that is not there admits anybody."""
        return cls(**{name: frozenset(values) for name, values in lists.items()})

    def admits(self, asker: Asker) -> bool:
        """Whether it is for this device as it is now."""
        return (
            (self.devices is None or asker.d1 in self.devices)
            and (self.types is None or asker.d2 in self.types)
            and (self.models is None or asker.d5 in self.models)
            and (self.sites is None or asker.site in self.sites)
            and (self.versions is None or asker.fw2 in self.versions)
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """One as it is stored. `phase` counts from 0; `succeeded` and `failing` are devices."""

    id: int
    fw1: str
    salt: str
    phases: tuple[float, ...]
    phase: int
    filter: Filter
    soak_s: int
    automatic: bool
    abort_share: float
    abort_min: int
    abort_count: int | None
    penalty: int
    downloads_at_once: int | None
    state: str
    phase_started_ms: int | None
    succeeded: int
    failing: int

    @property
    def is_last_phase(self) -> bool:
        return self.phase >= len(self.phases) - 1

    def salted(self, salt: str) -> Rollout:
        """The same with other buckets."""
        return replace(self, salt=salt)

    def is_open_to(self, d1: str) -> bool:
        """Whether the device's bucket is in the open phase."""
        return bucket(self.salt, d1) < round(self.phases[self.phase] * BUCKETS / 100)


def bucket(salt: str, d1: str) -> int:
    """The device's place in a rollout, 0 to 9999: the same for ever."""
    digest = hashlib.sha256(f"{salt}|{d1}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % BUCKETS


def check_phases(phases: Sequence[float], targeted: int) -> str | None:
    """What is wrong with the shares for that many devices; None when nothing is."""
    if not phases or any(not 0 < share <= 100 for share in phases):
        return "phases are shares above 0 and up to 100 percent"
    if any(share >= following for share, following in pairwise(phases)):
        return "each phase must be larger than the one before"
    if phases[0] > CANARY_MAX_PERCENT and targeted >= SMALL_TARGET:
        return f"of {targeted} devices the first phase may be {CANARY_MAX_PERCENT} percent at most"
    return None


def version_of(text: str | None) -> Any:
    """Its key for comparing; None for none, and for what is no version."""
    try:
        return None if text is None else bundle.version(text)
    except Malformed:
        return None


class Held(NamedTuple):
    """What a rollout keeps of a device. `outcome` is how its last attempt ended."""

    state: str
    outcome: str | None
    failures: int

    @property
    def share(self) -> tuple[int, int]:
        """What it adds to `succeeded` and `failing`."""
        if self.state == "updated":
            return 1, 0
        return 0, 1 if self.failures else 0


NOTHING_HELD: Final = Held("waiting", None, 0)


def after_offer(held: Held) -> Held | None:
    """The device was told of the release; None: it must not be, its attempts are used up."""
    if held.state == "penalty":
        return None
    if held.state == "downloading":
        return held
    return held._replace(state="offered")


def may_be_offered(state: str, held: Held) -> bool:
    """Whether a rollout in this state is offered to the device: a pause lets finish who has begun
    to download."""
    return state in OFFERING or (state == "paused" and held.state == "downloading")


def after_first_byte(held: Held) -> Held:
    """It has begun to fetch the bundle."""
    return held._replace(state="downloading") if held.state == "offered" else held


def after_ack(held: Held, ack1: str, ack2: str | None, penalty: int) -> Held | None:
    """The device said how an attempt ended; None when that changes nothing.

    An acknowledgement may come twice: only one that follows an offer counts as a failure.
    """
    if ack1 == "OK":
        return None if held.state == "updated" else Held("updated", "updated", held.failures)
    if ack1 != "ERROR" or held.state in FAILED:
        return None
    reason = (ack2 or "").split(" ", 1)[0]
    if reason == POSTPONED:
        state = "halted" if held.state == "halted" else "postponed"
        return Held(state, "postponed", held.failures)
    # it refuses for ever what it has once gone back from
    again = reason == BANNED and held.outcome == "rolled_back"
    outcome = "rolled_back" if reason == ROLLED_BACK or again else "failed"
    failures = held.failures + 1
    return Held("penalty" if failures >= penalty else outcome, outcome, failures)


def shown_state(held: Held | None, is_offline: bool) -> str:
    """The state that people see; "offline" only while something is expected of the device.

    One that rolled back has banned the release: it is offered that again, and does not fetch it.
    """
    state = "waiting" if held is None else held.state
    if held is not None and (state, held.outcome) == ("offered", "rolled_back"):
        return "rolled_back"
    return "offline" if is_offline and state in ("waiting", *UNDER_WAY) else state


def stop_reason(rollout: Rollout) -> str | None:
    """Why the rollout must be aborted, as far as it is judged; None: it may go on."""
    if rollout.state not in JUDGED:
        return None
    failing, attempts = rollout.failing, rollout.failing + rollout.succeeded
    if rollout.abort_count is not None and failing >= rollout.abort_count:
        return f"{failing} devices failed, of which {rollout.abort_count} are too many"
    if attempts >= rollout.abort_min and _is_share_reached(rollout):
        return f"{failing} of {attempts} devices failed, {rollout.abort_share:g} % are too many"
    return None


def _is_share_reached(rollout: Rollout) -> bool:
    attempts = rollout.failing + rollout.succeeded
    # in hundredths of a percent, which are whole numbers
    limit = round(rollout.abort_share * 100)
    return rollout.failing > 0 and rollout.failing * 10_000 >= limit * attempts


class Survey(NamedTuple):
    """Whether, of the devices of a running rollout,

    `expected`: one of the open phase that is not offline may yet end its first attempt.
    `proved`: one has come to run the release since the phase was opened.
    `failed`: one has failed since then.
    """

    expected: bool
    proved: bool
    failed: bool


Step = Literal["promote", "finish"]


def is_ready(rollout: Rollout, now_ms: int) -> bool:
    """Whether a rollout takes a step by itself, but for what a survey of its devices may say.

    The phase has soaked, and somebody runs the release. There is a phase to come only in an
    automatic one whose failures are below the share that would abort it, with fewer attempts than
    the minimum, too.
    """
    started_ms = rollout.phase_started_ms
    if rollout.state != "running" or not rollout.succeeded or stop_reason(rollout) is not None:
        return False
    if started_ms is None or now_ms < started_ms + rollout.soak_s * 1000:
        return False
    return rollout.is_last_phase or (rollout.automatic and not _is_share_reached(rollout))


def next_step(rollout: Rollout, survey: Survey, now_ms: int) -> Step | None:
    """What a rollout does by itself now.

    The last phase ends when nobody is expected to end its first attempt: who is offline is offered
    the release when it comes back. Another one is followed when somebody came to run the release
    in it, or when there is nobody in it who tried or could.
    """
    if not is_ready(rollout, now_ms):
        return None
    if rollout.is_last_phase:
        return None if survey.expected else "finish"
    return "promote" if survey.proved or not (survey.expected or survey.failed) else None

"""What was held to the readers of terminals, what they answered, and what the server has of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ks_agent.punch import HASHED, prev_of, punch_hash

from .events import Event

BEEP = "punch"
REFUSAL = "punch_refused"
ACCEPTED = "accepted"
CLOSED = "closed"
# The power was cut, or the terminal went to restart, before it answered.
UNHEARD = "unheard"


@dataclass(frozen=True)
class Answer:
    """What a person heard: `outcome` as Punches.take says it, or UNHEARD."""

    credential: str
    outcome: str
    jid: str = ""
    seq: int = 0

    @property
    def beeped(self) -> bool:
        return self.outcome == ACCEPTED


def answered(answer: Answer) -> asyncio.Future[Answer]:
    """An answer that is there already."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    future.set_result(answer)
    return future


class Answers:
    """Matches what a terminal shows with what was held to its reader: first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, asyncio.Future[Answer]]] = deque()

    def held(self, credential: str) -> asyncio.Future[Answer]:
        """The answer to come."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((credential, future))
        return future

    def hear(self, event: Event) -> None:
        """Take note of what the terminal has shown."""
        if event.name == BEEP:
            self._answer(ACCEPTED, event.detail["JID"], int(event.detail["SEQ"]))
        elif event.name == REFUSAL:
            self._answer(event.detail["S1"])

    def silence(self) -> None:
        """The power is gone: who still waits hears nothing."""
        while self._waiting:
            self._answer(UNHEARD)

    def _answer(self, outcome: str, jid: str = "", seq: int = 0) -> None:
        if not self._waiting:
            return
        credential, future = self._waiting.popleft()
        if not future.done():
            future.set_result(Answer(credential, outcome, jid, seq))


@dataclass
class Ledger:
    """All answers, by terminal."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)

    def add(self, d1: str, answer: Answer, latency_ms: float | None = None) -> Answer:
        self.answers.setdefault(d1, []).append(answer)
        if latency_ms is not None:
            self.latencies_ms.append(latency_ms)
        return answer

    def outcomes(self) -> Counter[str]:
        """How often each answer was heard."""
        return Counter(answer.outcome for one in self.answers.values() for answer in one)

    def beeped(self, d1: str) -> list[Answer]:
        return [answer for answer in self.answers.get(d1, []) if answer.beeped]

    def percentile_ms(self, share: float) -> float:
        """The latency that so great a share of the answers did not exceed; 0 without answers."""
        ordered = sorted(self.latencies_ms)
        if not ordered:
            return 0.0
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass(frozen=True)
class Reconciliation:
    """One terminal's punches, or the sum of many. `beeped` are not all of `held`: the rest was
    refused or not heard. `extra` are stored without a beep that anybody heard: the power was cut
    between the two."""

    held: int = 0
    refused: int = 0
    unheard: int = 0
    beeped: int = 0
    stored: int = 0
    extra: int = 0
    lost: int = 0
    wrong: int = 0
    gaps: int = 0
    broken: int = 0
    duplicates_dropped: int = 0

    @property
    def ok(self) -> bool:
        """Each that beeped is stored, as it was held, chained, and what is more was held too."""
        return not (self.lost or self.wrong or self.gaps or self.broken) and (
            self.stored == self.beeped + self.extra and self.extra <= self.unheard
        )

    def __add__(self, other: Reconciliation) -> Reconciliation:
        names = self.__dataclass_fields__
        return Reconciliation(
            **{name: getattr(self, name) + getattr(other, name) for name in names}
        )

    def __str__(self) -> str:
        said = f"held {self.held} = beeped {self.beeped} + refused {self.refused}"
        if self.unheard:
            said += f" + unheard {self.unheard}"
        said += f"; stored {self.stored} = beeped {self.beeped}"
        if self.extra:
            said += f" + {self.extra} whose beep a power cut swallowed"
        bad = {name: getattr(self, name) for name in ("lost", "wrong", "gaps", "broken")}
        return "; ".join([said, *(f"{count} {name}" for name, count in bad.items() if count)])


def reconcile(
    answers: Sequence[Answer],
    punches: Iterable[Mapping[str, Any]],
    journals: Iterable[Mapping[str, Any]],
) -> Reconciliation:
    """Compare a terminal's answers with the server's punches and journals (admin API) of it."""
    rows = list(punches)
    by_number = {(row["jid"], int(row["seq"])): row for row in rows}
    beeped = [answer for answer in answers if answer.beeped]
    heard = {(answer.jid, answer.seq): answer for answer in beeped}
    extra = [row for key, row in by_number.items() if key not in heard]
    unheard = Counter(answer.credential for answer in answers if answer.outcome == UNHEARD)
    strangers = Counter(str(row["e1"]) for row in extra) - unheard
    wrong = [
        answer
        for key, answer in heard.items()
        if key in by_number and by_number[key]["e1"] != answer.credential
    ]
    outcomes = Counter(answer.outcome for answer in answers)
    numbered = list(journals)
    return Reconciliation(
        held=len(answers),
        refused=len(answers) - outcomes[ACCEPTED] - outcomes[UNHEARD],
        unheard=outcomes[UNHEARD],
        beeped=len(beeped),
        stored=len(rows),
        extra=len(extra),
        lost=sum(key not in by_number for key in heard),
        wrong=len(wrong)
        + strangers.total()
        + len(beeped)
        - len(heard)
        + len(rows)
        - len(by_number),
        gaps=sum(len(journal["gaps"]) + journal["unsent"] for journal in numbered),
        broken=sum(row["chain"] != "linked" for row in rows)
        + sum(journal["conflicts"] + journal["quarantine"] for journal in numbered),
        duplicates_dropped=sum(journal["duplicates"] for journal in numbered),
    )


def unbroken(punches: Iterable[Mapping[str, str]]) -> bool:
    """Whether one journal's punches, as dicts of a punch's texts, are numbered from 1 without a
    gap, and each names the one before it (PREV)."""
    prev = ""
    for number, punch in enumerate(sorted(punches, key=lambda row: int(row["SEQ"])), 1):
        if int(punch["SEQ"]) != number or punch["PREV"] != prev:
            return False
        texts = {key: punch[key] for key in HASHED}
        prev = prev_of(punch_hash(hashlib.sha256, texts))
    return True

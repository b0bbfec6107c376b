"""Many terminals in one process, with real sockets to one server.

Each is the whole terminal: stage 0, the agent from its slot, its own files, vault, link and HTTP
connection. They share what is immutable: the release's files and the loaded code.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ks_agent.ports import KEY
from ks_driver.http import HttpClient
from ks_server.crypto import NaclCrypto

from .admin_punches import PunchApi
from .application import Release
from .keys import TrustedKey, public_text
from .link import FaultLink, Faults
from .memory import MemoryFs, MemoryVault
from .people import People, Traffic
from .provision import device_seed, factory_files
from .punching import ACCEPTED, Reconciliation, reconcile
from .report import Check, Report
from .spoiled import Spoiling, Versions
from .terminal import CRASH_PAUSE_S, RandomBytes, Terminal

START_RATE = 200
DEFAULT_PREFIX = "sim"
ASKED_AT_ONCE = 8


@dataclass(frozen=True)
class FleetPlan:
    """What to run. `pace` divides every wait of a terminal: at 1 they wait as the protocol says.

    The run ends after `duration_s`, or earlier when each terminal has `heartbeats` of them (if
    that is not 0).
    """

    devices: int
    seed: int = 0
    duration_s: float = 30.0
    heartbeats: int = 0
    pace: float = 1.0
    prefix: str = DEFAULT_PREFIX
    faults: Faults = field(default_factory=Faults)
    start_rate: float = START_RATE
    traffic: Traffic = field(default_factory=Traffic)
    spoiling: Spoiling | None = None

    def ids(self) -> list[str]:
        """D1 of every terminal."""
        width = max(4, len(str(self.devices)))
        return [f"{self.prefix}-{self.seed}-{number:0{width}}" for number in range(self.devices)]

    def public_keys(self) -> dict[str, str]:
        """D3 by D1: what a whitelist needs."""
        return {d1: public_text(device_seed(self.seed, d1)) for d1 in self.ids()}


@dataclass
class Seen:
    """What one terminal has shown."""

    d1: str
    events: Counter[str] = field(default_factory=Counter)
    problem: str = ""
    first_heartbeat_s: float | None = None

    @property
    def heartbeats(self) -> int:
        return self.events["heartbeat"]

    @property
    def registered(self) -> bool:
        return bool(self.events["registered"]) or bool(self.heartbeats)


class Fleet:
    """The terminals of a plan. `random_for(d1)` gives each its source of random bytes.

    `api` is asked at the end what has become of the punches; where people punch, it is needed.
    `tokens` are one-time registration tokens by D1. `listeners` are told D1, event and detail.
    """

    def __init__(
        self,
        plan: FleetPlan,
        server: str,
        trust: Sequence[TrustedKey],
        release: Release,
        random_for: Callable[[str], RandomBytes] = lambda d1: os.urandom,
        api: PunchApi | None = None,
        tokens: Mapping[str, str] | None = None,
    ) -> None:
        self.plan = plan
        self.seen = {d1: Seen(d1) for d1 in plan.ids()}
        self.total: Counter[str] = Counter()
        self.links: dict[str, FaultLink] = {}
        self.people = People(plan.traffic, plan.seed)
        self.versions = Versions(release.token("FW2"), plan.spoiling, plan.seed)
        self.punches: dict[str, Reconciliation] = {}
        self.listeners: list[Callable[[str, str, Mapping[str, str]], None]] = []
        self._api = api
        self._terminals: dict[str, Terminal] = {}
        self._server = server
        self._trust = trust
        self._release = release
        self._random_for = random_for
        self._tokens = tokens or {}
        self._crypto = NaclCrypto(cached_keys=plan.devices + 16)
        self._start = time.monotonic()
        self._enough = asyncio.Event()
        self._short_of = plan.devices

    @property
    def seconds(self) -> float:
        """Since the start of the run."""
        return time.monotonic() - self._start

    async def run(self) -> Report:
        """Run the plan and judge it."""
        self._start = time.monotonic()
        self._terminals = {d1: self._terminal(d1) for d1 in self.seen}
        lives = [
            asyncio.create_task(self._live(d1, index / self.plan.start_rate))
            for index, d1 in enumerate(self.seen)
        ]
        try:
            await self._last(asyncio.create_task(self._trouble()))
        finally:
            seconds = self.seconds
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        if self._api is not None:
            await self._reconcile(self._api)
        return self.report(seconds)

    async def _last(self, trouble: asyncio.Task[None]) -> None:
        """Until it is enough or takes too long, and what was begun has come to its end."""
        wandering = asyncio.create_task(self._wander())
        try:
            try:
                async with asyncio.timeout(self.plan.duration_s):
                    await self._enough.wait()
            except TimeoutError:
                pass
            await trouble
        finally:
            trouble.cancel()
            wandering.cancel()
            await asyncio.gather(trouble, wandering, return_exceptions=True)
        await self.people.settled()

    async def _wander(self) -> None:
        """People punch here and there."""
        await asyncio.gather(
            *(self.people.wander(d1, terminal) for d1, terminal in self._terminals.items())
        )

    async def _trouble(self) -> None:
        """The storm, and the outage in which it comes."""
        traffic = self.plan.traffic
        if not traffic.storm and not traffic.outage_s:
            return
        await asyncio.sleep(self.plan.duration_s / 3)
        if traffic.outage_s:
            self.outage()
        storms = [
            asyncio.create_task(self.people.storm(d1, terminal))
            for d1, terminal in self._terminals.items()
        ]
        try:
            await asyncio.sleep(traffic.outage_s)
            self.restore()
            await asyncio.gather(*storms)
        finally:
            for storm in storms:
                storm.cancel()

    async def _reconcile(self, api: PunchApi) -> None:
        """Ask the server what it has of each terminal's punches."""
        turns = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(d1: str) -> None:
            answers = self.people.ledger.answers[d1]
            jids = sorted({answer.jid for answer in answers if answer.jid})
            async with turns:
                journals = await api.journals(d1) if jids else []
                rows = [row for jid in jids for row in await api.punches(d1=d1, jid=jid)]
            ours = [journal for journal in journals if journal["jid"] in jids]
            self.punches[d1] = reconcile(answers, rows, ours)

        await asyncio.gather(*(ask(d1) for d1 in self.people.ledger.answers))

    def outage(self) -> None:
        """Take every terminal's link away."""
        for link in self.links.values():
            link.outage()

    def restore(self) -> None:
        """Give the links back."""
        for link in self.links.values():
            link.restore()

    def report(self, seconds: float) -> Report:
        """Each terminal must register, heartbeat as often as asked, and never crash."""
        wanted = self.plan.heartbeats or 1
        checks = [self._check(seen, wanted, seconds) for seen in self.seen.values()]
        checks += [
            Check("every punch that beeped is stored once, in order", found.ok, str(found), d1)
            for d1, found in self.punches.items()
        ]
        checks += self.versions.checks()
        return Report("fleet", checks, self.figures(seconds), seconds)

    def figures(self, seconds: float) -> dict[str, object]:
        """Numbers of the whole fleet."""
        return {
            "server": self._server,
            "devices": self.plan.devices,
            "seed": self.plan.seed,
            "pace": self.plan.pace,
            "registered": sum(seen.registered for seen in self.seen.values()),
            "heartbeats": self.total["heartbeat"],
            "heartbeats_per_second": round(self.total["heartbeat"] / seconds, 2) if seconds else 0,
            "commands": self.total["command"],
            "offline": self.total["offline"],
            "refused": self.total["refused"],
            "unbelievable": self.total["unbelievable"],
            "crashes": self.total["crash"],
            "updates_confirmed": self.total["update_confirmed"],
            **self.versions.figures(list(self.seen)),
            "link_faults": sum(link.failures for link in self.links.values()),
            **(self._punch_figures() if self.plan.traffic.has_punches else {}),
        }

    def _punch_figures(self) -> dict[str, object]:
        ledger = self.people.ledger
        outcomes = ledger.outcomes()
        beeped = outcomes.pop(ACCEPTED, 0)
        figures: dict[str, object] = {
            "punches_held": beeped + outcomes.total(),
            "punches_beeped": beeped,
            "punches_refused": dict(sorted(outcomes.items())),
            "beep_ms_median": round(ledger.percentile_ms(0.5), 3),
            "beep_ms_99_percent": round(ledger.percentile_ms(0.99), 3),
        }
        if self.punches:
            total = sum(self.punches.values(), Reconciliation())
            figures |= {
                "punches_stored": total.stored,
                "punches_lost": total.lost,
                "punch_gaps": total.gaps,
                "punch_duplicates_dropped": total.duplicates_dropped,
            }
        return figures

    def _check(self, seen: Seen, wanted: int, seconds: float) -> Check:
        wrong = []
        if not seen.registered:
            wrong.append("not registered")
        if seen.heartbeats < wanted:
            wrong.append(f"{seen.heartbeats} of {wanted} heartbeats")
        wrong += [f"{name}: {seen.problem}" for name in ("crash", "dead") if seen.events[name]]
        if wrong and seen.problem and seen.problem not in wrong[-1]:
            wrong.append(f"last trouble: {seen.problem}")
        return Check(
            "registers, heartbeats and stays alive",
            not wrong,
            "; ".join(wrong),
            seen.d1,
            round(seconds if seen.first_heartbeat_s is None else seen.first_heartbeat_s, 3),
        )

    async def _live(self, d1: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._terminals[d1].run()

    def _terminal(self, d1: str) -> Terminal:
        dice = random.Random(f"{self.plan.seed}|{d1}|link")
        link = FaultLink(HttpClient(), self.plan.faults, dice)
        self.links[d1] = link
        vault = MemoryVault()
        vault.set(KEY, device_seed(self.plan.seed, d1))

        def observe(event: str, detail: Mapping[str, str]) -> None:
            self._observe(d1, event, detail)

        otrt = self._tokens.get(d1, "")
        return Terminal(
            MemoryFs(factory_files(d1, self._server, self._trust, self._release, otrt=otrt)),
            vault,
            link,
            observe,
            crypto=self._crypto,
            random_bytes=self._random_for(d1),
            pace=self.plan.pace,
            crash_pause_s=CRASH_PAUSE_S / self.plan.pace,
            spoiling=self.plan.spoiling if self.versions.hits(d1) else None,
        )

    def _observe(self, d1: str, event: str, detail: Mapping[str, str]) -> None:
        for listener in self.listeners:
            listener(d1, event, detail)
        seen = self.seen[d1]
        if self.versions.observe(d1, event, detail):
            return
        seen.events[event] += 1
        self.total[event] += 1
        self.people.observe(d1, event, detail)
        if event == "heartbeat":
            if seen.first_heartbeat_s is None:
                seen.first_heartbeat_s = self.seconds
            if seen.heartbeats == self.plan.heartbeats:
                self._short_of -= 1
                if not self._short_of:
                    self._enough.set()
        elif event in ("crash", "dead", "refused", "unbelievable", "offline"):
            seen.problem = " ".join([event, *detail.values()])


def seeded_bytes(seed: int) -> Callable[[str], RandomBytes]:
    """Random bytes that follow from a number: for a server that starts empty, whose fence of
    nonces cannot know them from the run before."""
    return lambda d1: random.Random(f"{seed}|{d1}|bytes").randbytes

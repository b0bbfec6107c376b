"""A terminal, its flash, its link, and the truth about every punch, for property tests.

A World does what a list of events says, with a server of punch_servers, in virtual time. It keeps
what was held to the reader and what beeped; `check` compares that with what the server has.

Truth that is checked on the way: nobody is told "already recorded" who was not; no segment is
dropped whose punches the server has not acknowledged, by what the terminal was told last; nothing
is erased by a WIPE without FORCE before it is acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fake_ports import Partition, PowerCut, Rng, Vault

from ks_agent import envelope
from ks_agent.agent import Agent
from ks_agent.effects import Response
from ks_agent.ports import Ports
from ks_agent.punch import METHODS, prev_of, punch_hash
from ks_agent.store import WIPE_PATH, Store

from .punch_parts import FOLDER, Backend, Flash, Held, Indicator, Key, Link

START_MS = 1_795_000_000_000
BUILD_MS = START_MS - 400 * 86_400_000
ROUND_TRIP_MS = 40
SENT = ("A1", "A2", "A3", "BOOT", "CLK", "E1", "METHOD", "PREV", "SEQ", "UP")


@dataclass
class Ticks:
    """The terminal's own time base, which runs too fast or too slow by `ppm`."""

    world: World
    boot_ms: int
    ppm: int
    build_ms: int = BUILD_MS

    def ticks_ms(self) -> int:
        passed_ms = self.world.now_ms - self.boot_ms
        return passed_ms + passed_ms * self.ppm // 1_000_000


class World:
    def __init__(self, backend: Backend, ppm: int = 0, **config: str) -> None:
        self.backend = backend
        self.now_ms = START_MS
        self.ppm = ppm
        self.config = config
        self.link = Link()
        self.held: list[Held] = []
        self.told: dict[str, int] = {}
        self.segments: dict[str, list[Held]] = {}
        self.excused: set[Key] = set()
        self.wiped: set[Key] = set()
        self.restored = False
        self.forced = False
        self.lives = 0
        self.exchanges = 0
        self._life: Any = None
        self.live_anew()

    def live_anew(self) -> None:
        """A terminal as it comes from provisioning."""
        self.lives += 1
        self.d1 = f"dev-{self.lives}"
        self.forced = False
        self.told = {}
        self.segments = {}
        self.fs = Flash(self._removing)
        self.vault = Vault(self.fs)
        seed = bytes([self.lives]) * 32
        self.vault.set("key", seed)
        self.rng = Rng(self.d1.encode())
        self.backend.expect(self.d1, seed)
        store = Store(self.fs)
        store.write("trust.toon", {"TRUST": self.backend.trust})
        store.write("factory.toon", {"D1": self.d1, "SERVER": self.backend.url})
        self.boot()
        if self.config:
            config = dict(self.config, SERVER=self.backend.url)
            store.write("data/state/config.toon", config)
            self.boot()
        self.live(5000)

    def boot(self) -> None:
        """Power on; a life that runs is cut off."""
        while True:
            if self._life is not None:
                self._life.close()
            self.fs.power_on()
            self.dormant = False
            self.board: Any = Indicator()
            self.beeps: dict[str, int] = {}
            self._result: Response | None = None
            self._failure: Exception | None = None
            self._wake_ms = self.now_ms
            ticks = Ticks(self, self.now_ms, self.ppm)
            crypto = self.backend.crypto
            ports = Ports(ticks, self.rng, self.fs, self.vault, Partition(), crypto, self.board)
            try:
                self.agent = Agent(ports)
                self._life = self.agent.run()
                self._step()
                return
            except PowerCut:
                continue

    # the terminal's time

    def live(self, ms: int) -> None:
        """Let so much time pass."""
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            if self.dormant or self._wake_ms >= end_ms:
                self.now_ms = end_ms
                return
            self.now_ms = max(self.now_ms, self._wake_ms)
            try:
                self._step()
            except PowerCut:
                self.boot()

    def _step(self) -> None:
        """Until the next effect is done, or begun where it is a sleep."""
        result, failure = self._result, self._failure
        self._result = self._failure = None
        try:
            effect = self._life.throw(failure) if failure else self._life.send(result)
        except StopIteration:
            self.dormant = True
            return
        if effect.kind == "sleep":
            self._wake_ms = self.now_ms + effect.ms
        elif effect.kind == "restart":
            self.boot()
        else:
            self.now_ms += ROUND_TRIP_MS // 2
            life = self._life
            response, lost = None, None
            try:
                response = self._carry(effect)
            except OSError as error:
                lost = error
            self.now_ms += ROUND_TRIP_MS // 2
            if self._life is life:  # else the power went meanwhile
                self._result, self._failure, self._wake_ms = response, lost, self.now_ms

    def _carry(self, effect: Any) -> Response:
        link = self.link
        self.exchanges += 1
        if link.meanwhile:
            self.take(link.meanwhile.pop())
        if not link.up:
            raise OSError("no link")
        if link.lose_requests:
            link.lose_requests -= 1
            raise OSError("the request was lost")
        response = self.backend.serve(effect, self.now_ms)
        if link.replay_requests:
            link.replay_requests -= 1
            self.backend.serve(effect, self.now_ms)
        if link.lose_answers:
            link.lose_answers -= 1
            raise OSError("the answer was lost")
        link.last, last = response, link.last
        if link.replay_answers and last is not None:
            link.replay_answers -= 1
            return last
        self._hear(effect, response)
        return response

    def _hear(self, effect: Any, response: Response) -> None:
        """What the terminal is told of the journal that it named."""
        answer = envelope.parse(response.body, "text/toon", 65536, 4096)
        if effect.body is not None and "ACK_SEQ" in answer:
            request = envelope.parse(effect.body, "text/toon", 65536, 4096)
            self.told[request["JID"]] = int(answer["ACK_SEQ"])

    # what people do

    def take(self, credential: str, method: str = "RFID", key: str = "") -> str:
        """Hold a credential to the reader; the outcome, or "cut" when the power went."""
        self.now_ms += 1
        punches, clock = self.agent.punches, self.agent.clock
        content = {
            "E1": self.person(credential),
            "METHOD": method,
            "BOOT": str(punches.boot),
            "UP": str(clock.ticks_ms()),
            "CLK": str(clock.state),
            "A3": clock.text(),
        }
        held = Held(content, self.now_ms)
        up_s = clock.ticks_ms() // 1000
        try:
            outcome = str(punches.take(credential, method, key))
        except PowerCut:
            self.held.append(held)
            self.boot()
            return "cut"
        if outcome == "accepted":
            beep = self.board.beep
            held.jid, held.seq = beep["JID"], int(beep["SEQ"])
            content["A2"] = beep["A2"]
            self.held.append(held)
            path = punches.journal.path(punches.journal.last)
            self.segments.setdefault(path, []).append(held)
            self.beeps[content["E1"]] = up_s
            self._wake_ms = self.now_ms
        elif outcome in ("failed", "full"):
            self.held.append(held)
        elif outcome == "duplicate":
            window_s = int(self.agent.config.get("DUPLICATE_S", "60"))
            assert up_s - self.beeps[content["E1"]] < window_s, "never punched in the window"
        return outcome

    def person(self, credential: str) -> str:
        """E1 of a credential by the list that is in force."""
        return credential

    def beeped(self) -> list[Held]:
        return [one for one in self.held if one.jid]

    def _removing(self, path: str) -> None:
        """A segment goes: with a WIPE, or because the server has what is in it."""
        if not path.startswith(FOLDER) or not path.endswith(".seg"):
            return
        gone = self.segments.pop(path, [])
        if WIPE_PATH in self.fs.files:
            self.wiped.update(one.key for one in gone)
        lost = [one for one in gone if self.told.get(one.jid, 0) < one.seq]
        if self.forced and WIPE_PATH in self.fs.files:
            self.excused.update(one.key for one in lost)
        else:
            assert not lost, f"dropped before it was acknowledged: {lost}, told {self.told}"

    # the end

    def heal(self) -> None:
        """All goes well from now on, until nothing is left to do.

        With a boot: only then is a restored server given again what it lacks of a journal id that
        is not the newest.
        """
        self.link = Link()
        self.fs.power_on()
        if self.restored and not self.dormant:
            self.boot()
        for _ in range(400):
            if self.dormant:
                return
            beats = self.board.counts.get("heartbeat", 0)
            self.live(60_000)
            journal = self.agent.punches.journal
            if self.board.counts.get("heartbeat", 0) > max(beats, 1) and self._is_done(journal):
                return
        raise AssertionError(f"never done: {self.board.shown[-12:]}")

    def _is_done(self, journal: Any) -> bool:
        if self.dormant or not journal.is_settled():
            return self.dormant
        tail = journal.tail
        stored = self.backend.stored()
        named = self.backend.named()
        return tail is None or all(
            one.seq in stored.get(one.jid, {}) or one.key in named
            for one in self.beeped()
            if one.jid == tail.jid
        )

    def check(self) -> None:
        """Every beeped punch once, unchanged, in order; or named as missing, where that is due."""
        stored = self.backend.stored()
        named = self.backend.named()
        for one in self.beeped():
            row = stored.get(one.jid, {}).get(one.seq)
            if row is not None:
                assert {name: row[name] for name in one.content} == one.content
            elif one.key not in self.excused:
                assert self.restored, f"missing, though nobody took it away: {one}"
                # what a terminal erased when it was acknowledged, a backup may not have
                assert one.key in named | self.wiped, f"gone and not named: {one}"
        known = {one.key: one for one in self.beeped()}
        assert len(known) == len(self.beeped()), "a number was given twice"
        self._check_unheard(stored, known)
        self._check_order(known.values())
        for jid, rows in stored.items():
            self._check_chain(jid, rows)

    def _check_unheard(
        self, stored: dict[str, dict[int, dict[str, str]]], known: dict[Key, Held]
    ) -> None:
        unheard = [one.content for one in self.held if not one.jid]
        for jid, rows in stored.items():
            for seq, row in rows.items():
                if (jid, seq) not in known:
                    content = {name: row[name] for name in ("E1", "METHOD", "BOOT", "UP", "CLK")}
                    content["A3"] = row["A3"]
                    assert content in unheard, f"nobody held this to the reader: {row}"
                    unheard.remove(content)

    def _check_order(self, beeped: Iterable[Held]) -> None:
        last: dict[str, int] = {}
        for one in sorted(beeped, key=lambda one: one.true_ms):
            assert one.seq > last.get(one.jid, 0)
            last[one.jid] = one.seq

    def _check_chain(self, jid: str, rows: dict[int, dict[str, str]]) -> None:
        for seq, row in rows.items():
            assert row["A1"] == f"{jid}-{seq}" and row["METHOD"] in METHODS
            before = rows.get(seq - 1)
            if seq == 1:
                assert row["PREV"] == ""
            elif before is not None:
                sent = {name: before[name] for name in SENT} | {"JID": jid}
                assert row["PREV"] == prev_of(punch_hash(self.backend.crypto.sha256, sent))

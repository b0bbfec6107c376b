"""Servers for the punches' property tests: a strict one in memory, and the real one in process."""

from __future__ import annotations

import copy
from typing import Any

import fakes
from fake_ports import CRYPTO

from ks_agent import signing, timetext
from ks_agent.effects import Response
from ks_agent.punch import prev_of, punch_hash


class Time:
    ticks = 0


class Reference(fakes.Server):
    """The protocol's server with nothing but dicts. Raises AssertionError for what a terminal must
    not send: a nonce twice, a hole in a batch, other content under a number, a broken chain.
    """

    crypto = CRYPTO
    url = "http://server"

    def __init__(self) -> None:
        self.time = Time()
        super().__init__(self.time)  # type: ignore[no-untyped-call]
        self.wrong_ms = 0
        self.trust = fakes.trust_rows()
        self.rows: dict[str, dict[int, dict[str, str]]] = {}
        self.gaps: set[tuple[str, int]] = set()
        self.waiting: dict[str, list[dict[str, str]]] = {}
        self._saved: Any = ({}, set())
        self._given = 0

    def expect(self, d1: str, seed: bytes) -> None:
        """Anybody may come."""

    def serve(self, effect: Any, now_ms: int) -> Response:
        self.time.ticks = now_ms
        self.offset_ms = self.wrong_ms
        response: Response = self.handle(effect)  # type: ignore[no-untyped-call]
        return response

    def snapshot(self) -> None:
        self._saved = copy.deepcopy((self.rows, self.gaps))

    def restore(self) -> None:
        self.rows, self.gaps = copy.deepcopy(self._saved)

    def restart(self) -> None:
        """All that it knows is in its database."""

    def order(self, d1: str, name: str, payload: str) -> None:
        self._given += 1
        row = {"CMD1": f"{signing.command_prefix(CRYPTO, d1)}-{self._given}", "CMD2": name}
        now_ms = self.time.ticks + self.wrong_ms
        row["TS"] = timetext.format_ms(now_ms)
        row["CMD5"] = timetext.format_ms(now_ms + 7 * 86_400_000)
        row["CMD3"] = payload
        if not payload:
            del row["CMD3"]
        signing.sign_command(CRYPTO, self.seed, row)
        for field, seed in zip(("SIG_ADMIN_A", "SIG_ADMIN_B"), fakes.ADMIN_SEEDS, strict=True):
            row[field] = signing.sign_text(CRYPTO, seed, signing.admin_text(row, d1))
        self.waiting.setdefault(d1, []).append(row)

    def stored(self) -> dict[str, dict[int, dict[str, str]]]:
        return self.rows

    def named(self) -> set[tuple[str, int]]:
        return self.gaps

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.requests:
            del self.requests[:-1]
        self.commands = self.waiting.get(request["D1"], [])
        answer: dict[str, Any] = super()._answer(request)  # type: ignore[no-untyped-call]
        self.waiting[request["D1"]] = self.commands
        return answer

    def _store_punches(self, request: dict[str, Any]) -> dict[str, Any]:
        jid = request["JID"]
        rows = self.rows.setdefault(jid, {})
        numbers = [int(row["SEQ"]) for row in request["EVENT"]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert 1 <= len(numbers) <= 20
        assert int(request["SEQ_MIN"]) <= numbers[0]
        for row in request["EVENT"]:
            seq = int(row["SEQ"])
            assert rows.setdefault(seq, row) == row, "another content"
            before = rows.get(seq - 1)
            if before is not None:
                digest = punch_hash(CRYPTO.sha256, dict(before, JID=jid))
                assert row["PREV"] == prev_of(digest)
        for seq in range(1, int(request["SEQ_MIN"])):
            if seq not in rows:
                self.gaps.add((jid, seq))
        return {"S1": "ok", "ACK_SEQ": str(self.ack_seq(jid)), "RESULT": []}

    def ack_seq(self, jid: str) -> int:
        rows = self.rows.get(jid, {})
        seq = 0
        while seq + 1 in rows or (jid, seq + 1) in self.gaps:
            seq += 1
        return seq

"""Servers for the punches' property tests: a strict one in memory, and the real one in process."""

from __future__ import annotations

import asyncio
import copy
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import fakes
from fake_ports import CRYPTO

from ks_agent import signing, timetext
from ks_agent.effects import Response
from ks_agent.punch import prev_of, punch_hash
from ks_server.db.punch_schema import punch_findings, punch_gaps, punches
from ks_server.db.schema import whitelist
from tests.attack.terminal import ADMIN_SEEDS, trust
from tests.attack.wire import Wire
from tests.attack.world import World as Running
from tests.attack.world import opened
from tests.property.punch_world import START_MS
from tests.server.client import BASE
from tests.server.client import CRYPTO as NACL
from tests.server.client import Clock as ServerClock


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


class Real:
    """The server application in process, on SQLite; `findings` are the kinds that it has found."""

    crypto = NACL
    url = BASE

    def __init__(self, folder: Path) -> None:
        self.wrong_ms = 0
        self.clock = ServerClock(START_MS)
        self.trust = [
            {"ROLE": key.role, "KEY": key.key} | ({"SEQ": str(key.seq)} if key.seq else {})
            for key in trust()
        ]
        self._folder = folder
        self._database = folder / "server.sqlite3"
        self._runner = asyncio.Runner()
        self._saved = b""
        self._expected: dict[str, bytes] = {}
        self._start()
        self.snapshot()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def _start(self) -> None:
        self._opened = opened(self._folder, self.clock)
        self._server: Running = self._run(self._opened.__aenter__())
        self._wire = Wire(self._server.http)

    def _stop(self) -> None:
        self._run(self._opened.__aexit__(None, None, None))

    def close(self) -> None:
        self._stop()
        self._runner.close()

    def expect(self, d1: str, seed: bytes) -> None:
        self._expected[d1] = seed
        known = {row["d1"] for row in self._run(self._server.rows(whitelist))}
        if d1 not in known:
            self._run(self._server.allow(self._server.device(d1=d1, seed=seed)))

    def serve(self, effect: Any, now_ms: int) -> Response:
        self.clock.ms = now_ms + self.wrong_ms
        response: Response = self._run(self._wire.forward(effect))
        return response

    def snapshot(self) -> None:
        """As a backup does it, while the server runs."""
        copied = sqlite3.connect(":memory:")
        with sqlite3.connect(self._database) as live:
            live.backup(copied)
        live.close()
        self._saved = copied.serialize()
        copied.close()

    def restore(self) -> None:
        self._stop()
        for path in self._folder.glob("server.sqlite3*"):
            path.unlink()
        self._database.write_bytes(self._saved)
        self._start()
        for d1, seed in self._expected.items():
            self.expect(d1, seed)  # else the terminal would have to wait for an administrator

    def restart(self) -> None:
        self._stop()
        self._start()

    def order(self, d1: str, name: str, payload: str) -> None:
        self._run(self._order(d1, name, payload))

    async def _order(self, d1: str, name: str, payload: str) -> None:
        fields = dict(pair.split(":", 1) for pair in payload.split("|")) if payload else {}
        expires = timetext.format_ms(self.clock.ms + 7 * 86_400_000)
        form = {"name": name, "payload": fields, "expires": expires}
        draft = await self._server.admin("POST", f"/devices/{d1}/commands", form)
        if draft.get("error", {}).get("code") == "NOT_FOUND":
            return  # by a backup from before it came
        assert "error" not in draft, draft
        for seed in ADMIN_SEEDS if draft.get("sign_text") else ():
            signature = signing.sign_text(NACL, seed, draft["sign_text"])
            path = f"/commands/{draft['cmd1']}/signatures"
            await self._server.admin("POST", path, {"signature": signature})

    def stored(self) -> dict[str, dict[int, dict[str, str]]]:
        found: dict[str, dict[int, dict[str, str]]] = {}
        for row in self.rows():
            sent = {name.upper(): str(row[name]) for name in _SENT}
            found.setdefault(row["jid"], {})[row["seq"]] = sent
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The table of punches."""
        rows: list[dict[str, Any]] = self._run(self._server.rows(punches))
        return rows

    def named(self) -> set[tuple[str, int]]:
        gaps = self._run(self._server.rows(punch_gaps))
        return {
            (gap["jid"], seq)
            for gap in gaps
            for seq in range(gap["first_seq"], gap["last_seq"] + 1)
        }

    def findings(self) -> set[str]:
        return {row["kind"] for row in self._run(self._server.rows(punch_findings))}


_SENT = ("a1", "a2", "a3", "boot", "clk", "e1", "method", "prev", "seq", "up")

"""A server of the protocol's words in this process, for terminals in virtual time.

It knows one terminal, checks what that signs, answers as PROTOCOL says, and keeps nothing that a
real one would have to keep. Never for anything but simulations: see ks_server for the real one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from ks_agent import lines, schema, signing, timetext
from ks_agent.effects import Response

from .application import Release
from .keys import CRYPTO, RoleKeys

URL: Final = "http://model"
PIECE_BYTES: Final = 1024
BODY_MAX_BYTES: Final = 65_536


class ModelServer:
    """`now_ms()` is its clock. `offered` is the release that waits for the terminal, or None."""

    def __init__(self, keys: RoleKeys, now_ms: Callable[[], int], rto_s: int = 60) -> None:
        self.offered: Release | None = None
        self.acknowledged: list[str] = []
        self.heartbeats = 0
        self.bytes_sent = 0
        self._keys = keys
        self._now_ms = now_ms
        self._rto_s = rto_s
        self._punches: dict[str, int] = {}

    def perform(self, effect: Any) -> Response:
        """A Fetch or a Download of the terminal's. Raises OSError for what nobody serves."""
        target = urlsplit(effect.url)
        if target.path.startswith("/bundle/"):
            return self._serve(effect)
        if effect.body is None:
            query = parse_qs(target.query)["toon"][0]
            request = lines.decode(query.encode(), BODY_MAX_BYTES)
        else:
            request = signing.parse(effect.body, signing.TOON, BODY_MAX_BYTES, 4096)
        schema.check_request(request["OP"], request)
        answer = self._answer(request)
        for key in ("D1", "NONCE", "OP"):
            answer[key] = request[key]
        answer["TS"] = timetext.format_ms(self._now_ms())
        answer["RQ"] = signing.request_digest(CRYPTO, request)
        signing.sign_message(CRYPTO, self._keys.server, answer, "SIG_SERV")
        status = schema.STATUS.get(answer.get("ERR1", ""), 200)
        return Response(
            status, {"content-type": signing.TOON}, signing.compose(answer, signing.TOON)
        )

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if abs(timetext.parse_ms(request["TS"]) - self._now_ms()) > 300_000:
            return {"ERR1": "TIMESTAMP_INVALID"}
        op = request["OP"]
        if op == "register":
            return {"S1": "registered", "RTO": str(self._rto_s)}
        if op == "heartbeat":
            return self._heartbeat(request)
        if op == "firmware/check":
            return self._offer()
        if op == "firmware/ack":
            self.acknowledged.append(f"{request['ACK1']} {request.get('ACK2', '')}")
        if op == "events":
            jid = request["JID"]
            self._punches[jid] = max(int(row["SEQ"]) for row in request["EVENT"])
            return {"S1": "ok", "ACK_SEQ": str(self._punches[jid])}
        if op == "commands":
            return {"S1": "no_commands"}
        return {"S1": "ok"}

    def _heartbeat(self, request: dict[str, Any]) -> dict[str, Any]:
        self.heartbeats += 1
        answer = {"S1": "ok", "RTO": str(self._rto_s), "PENDING_CMDS": "0"}
        waits = self.offered is not None and self.offered.token("FW2") != request.get("FW2")
        answer["FW_AVAILABLE"] = "true" if waits else "false"
        if waits and self.offered is not None:
            answer["FW2"] = self.offered.token("FW2")
        if "JID" in request:
            answer["ACK_SEQ"] = str(self._punches.get(request["JID"], 0))
        return answer

    def _offer(self) -> dict[str, Any]:
        if self.offered is None:
            return {"S1": "no_update", "RTO": str(self._rto_s)}
        data = self.offered.assemble()
        fields = {
            "FW1": self.offered.token("FW1"),
            "FW2": self.offered.token("FW2"),
            "FW4": hashlib.sha256(data).hexdigest(),
            "FW5": str(len(data)),
        }
        fields["FW_SIG"] = signing.sign_release(CRYPTO, self._keys.server, fields)
        fields["FW3"] = f"{URL}/bundle/{fields['FW1']}"
        return {"S1": "update_available", "O1": "default", **fields}

    def _serve(self, effect: Any) -> Response:
        """The bundle or the range that is asked for, in pieces."""
        if self.offered is None:
            return Response(404, {}, b"")
        data = self.offered.assemble()
        wanted = dict(effect.headers).get("Range", "")
        start, end = 0, len(data)
        headers = {"etag": f'"{hashlib.sha256(data).hexdigest()}"'}
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start = int(first)
            end = min(int(last) + 1, end) if last else end
            headers["content-range"] = f"bytes {start}-{end - 1}/{len(data)}"
        body = data[start:end]
        headers["content-length"] = str(len(body))
        if len(body) > effect.max_bytes:
            raise OSError(f"{len(body)} bytes, more than {effect.max_bytes}")
        self.bytes_sent += len(body)
        status = 206 if wanted else 200
        if effect.kind == "fetch":
            return Response(status, headers, body)
        getattr(effect, "begin", lambda *_: None)(status, headers)
        for offset in range(0, len(body), PIECE_BYTES):
            effect.sink(memoryview(body)[offset : offset + PIECE_BYTES])
        return Response(status, headers, b"")

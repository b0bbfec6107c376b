"""Updates as a server with the right key could offer them, bent as a test likes."""

from __future__ import annotations

import hashlib
from typing import Any

from ks_agent import bundle, signing, toon
from ks_agent.effects import Response
from ks_agent.errors import Malformed
from ks_agent.store import as_text
from ks_simulator.application import Release
from tests.attack.terminal import RELEASE_SEED, Terminal, application
from tests.attack.wire import Forward, answer_of, as_response, deliver, op_of
from tests.server.client import BASE, CRYPTO, SERVER_SEED

LINK = f"{BASE}/api/devices/firmware/download?token=x"


class Offer:
    """An update as a server with the right key could offer it, bent as a test likes.

    `data` is what a download of files gives, `ranged` what the reads of head and manifest give.
    """

    def __init__(self, data: bytes, fw1: str = "app-1.1.0", fw2: str = "1.1.0") -> None:
        self.data = data
        self.ranged = data
        self.tokens = {
            "S1": "update_available",
            "FW1": fw1,
            "FW2": fw2,
            "FW3": LINK,
            "FW4": hashlib.sha256(data).hexdigest(),
            "FW5": str(len(data)),
        }
        self.sign()

    def sign(self, seed: bytes = SERVER_SEED) -> Offer:
        self.tokens["FW_SIG"] = signing.sign_release(CRYPTO, seed, self.tokens)
        return self

    async def meddle(self, effect: Any, forward: Forward) -> Response:
        if effect.url == self.tokens.get("FW3"):
            return self.serve(effect)
        response = await forward(effect)
        op = op_of(effect)
        if op not in ("heartbeat", "firmware/check"):
            return response
        answer = answer_of(response)
        if "ERR1" in answer:
            return response
        if op == "heartbeat":
            answer |= {"FW_AVAILABLE": "true", "FW2": self.tokens.get("FW2", "9.0.0")}
        else:
            for key in ("S1", "RTO"):
                answer.pop(key, None)
            answer |= self.tokens
        signing.sign_message(CRYPTO, SERVER_SEED, answer, "SIG_SERV")
        return as_response(answer)

    def serve(self, effect: Any) -> Response:
        first, last = map(int, dict(effect.headers)["Range"].removeprefix("bytes=").split("-"))
        data = self.ranged if first < files_start(self.ranged) else self.data
        part = data[first : last + 1]
        span = f"bytes {first}-{first + len(part) - 1}/{self.tokens['FW5']}"
        return deliver(effect, 206, {"content-range": span}, part)


def files_start(data: bytes) -> int:
    """Where the files begin in a bundle; for what is none, where its head would end."""
    try:
        return int(bundle.parse_head(data[: bundle.HEAD_BYTES])[0]) + bundle.HEAD_BYTES
    except Malformed:
        return bundle.HEAD_BYTES


async def attempt(terminal: Terminal, offer: Offer) -> str:
    """Offer it: "staged", or the code of the refusal."""
    terminal.wire.meddle = offer.meddle
    before = terminal.board.shown.copy()
    for _ in range(4):
        await terminal.cycle()
        if terminal.restarts:
            return "staged"
        if "update_refused" in terminal.events():
            return str(terminal.details("update_refused")[-1]["code"])
    return f"nothing: {terminal.board.shown[len(before) :]}"


def good() -> Release:
    return application("1.1.0", 2)


def resigned(release: Release, seed: bytes = RELEASE_SEED, **fields: Any) -> bytes:
    """The bundle with these fields of its manifest changed, and signed again."""
    manifest = bytes(toon.encode({**release.message, **fields}, as_text)) + b"\n"
    signature = signing.sign_text(CRYPTO, seed, signing.manifest_text(CRYPTO, manifest))
    content = release.assemble()[bundle.HEAD_BYTES + len(release.manifest) :]
    return bytes(bundle.make_head(manifest, signature)) + manifest + content


def untouched(terminal: Terminal, before: dict[str, bytes]) -> bool:
    """The running slot and the boot record are what they were."""
    now = terminal.flash()
    return all(
        now.get(path) == data for path, data in before.items() if path.startswith("slot_a/")
    ) and now.get("data/state/boot.toon") == before.get("data/state/boot.toon")

"""One authenticated request and what its operation makes of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ks_agent import signing, timetext
from ks_agent.message import canonical

from ..keys import ServerKey
from ..repository.devices import Device
from ..repository.releases import Offer
from ..rollout_engine import Asker
from .wire import Answer

if TYPE_CHECKING:
    from ..context import Context


@dataclass(slots=True)
class Call:
    """A request on its way through the checks. `text` is its canonical string.

    `device` is None only where a registration has not happened yet. `now_ms` is the server's
    clock when the request was read. `wait_s` is what the rate limit said, None while unasked.
    `remembered`: the device is from memory. `offer` is what `find_offer` found.
    """

    context: Context
    op: str
    message: dict[str, Any]
    text: bytes
    ts_ms: int
    now_ms: int
    device: Device | None
    headers: dict[bytes, bytes]
    offer: Offer | None = None
    wait_s: int | None = None
    remembered: bool = False
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def d1(self) -> str:
        return str(self.message["D1"])

    @property
    def nonce(self) -> str:
        return str(self.message["NONCE"])

    @property
    def known(self) -> Device:
        """The device, for operations that only registered devices may call."""
        assert self.device is not None
        return self.device

    def get(self, key: str) -> str | None:
        """A token's text, or None."""
        value = self.message.get(key)
        return value if isinstance(value, str) else None

    async def find_offer(self, fw2: str | None) -> None:
        """Look up what waits for the device that runs this version; without a database query
        unless releases or rollouts have changed."""
        device = self.known
        asker = Asker(device.d1, device.d2, device.d5, device.site, fw2, self.get("IMG1"))
        self.offer = await self.context.catalogue.offer(asker, self.now_ms)

    def rows(self, key: str) -> list[dict[str, str]]:
        """A list's rows; none when the list is absent."""
        value = self.message.get(key)
        return value if isinstance(value, list) else []

    def verify(self, public: bytes, field_name: str = "SIG1") -> None:
        """Raises ks_agent.errors.BadSignature."""
        signing.verify_pieces(
            self.context.crypto, public, (self.text,), self.message.get(field_name, "")
        )

    def answering_key(self) -> tuple[ServerKey, list[dict[str, str]]]:
        """The key that signs the answer, and the links that lead the device to it."""
        keys = self.context.keys
        kid = self.get("KID")
        if kid is not None:
            return keys.current, keys.links_from(kid) or []
        if self.device is None:
            return keys.current, []
        return keys.for_legacy(self.device.server_seq, self.now_ms), []

    def bind(self, answer: Answer) -> Answer:
        """Make the answer one to this request and sign it (PROTOCOL section 2)."""
        key, links = self.answering_key()
        digest = hashlib.sha256(self.text + b"\n" + self.message["SIG1"].encode("utf-8"))
        answer["D1"] = self.d1
        answer["NONCE"] = self.nonce
        answer["OP"] = self.op
        answer["RQ"] = digest.hexdigest()[:32]
        answer["TS"] = timetext.format_ms(self.context.now_ms())
        if links:
            answer["LINK"] = links
        answer["SIG_SERV"] = signing.sign_pieces(
            self.context.crypto, key.seed, (canonical(answer),)
        )
        return answer


@dataclass(slots=True)
class Outcome:
    """What an operation did: the answer's own tokens, and events to announce after the commit."""

    answer: Answer
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

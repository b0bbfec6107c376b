"""Messages per second: encoded, decoded, and made canonical, once each."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ks_agent import tokens, toon
from ks_agent.message import canonical
from ks_agent.schema import REQUESTS

from .figure import Figure, Unavailable
from .pairing import Work, in_turns
from .samples import Message, heartbeat, punches

NOW_MS = 1_763_632_800_000
UNIT = "messages/s"
OURS = "ours"


def measure() -> Iterator[Figure]:
    """Against `json`, and against `toon-format`, the format's own Python library.

    The peers have no canonical form; theirs is the same document written with sorted keys.
    """
    samples = {
        "heartbeat": (heartbeat("dev_0001", NOW_MS), "heartbeat"),
        "punches-20": (punches("dev_0001", NOW_MS), "events"),
    }
    for name, (message, op) in samples.items():
        bodies = {OURS: _ours(message, op), "json": _json(message), "toon-format": _toon(message)}
        rates = in_turns(bodies)
        for peer in ("json", "toon-format"):
            yield Figure.compared(
                f"message/{name}/{peer}", rates.median(OURS), UNIT, peer, rates.ratio(OURS, peer)
            )


def _ours(message: Message, op: str) -> Work:
    limits = REQUESTS[op]

    def work() -> None:
        data = toon.encode(message, tokens.kind_of)
        toon.decode(data, limits.max_body_bytes, limits.max_tokens, limits.max_rows)
        canonical(message)

    data = toon.encode(message, tokens.kind_of)
    decoded = toon.decode(data, limits.max_body_bytes, limits.max_tokens, limits.max_rows)
    assert decoded == message
    return work


def _json(message: Message) -> Work:
    def work() -> None:
        data = json.dumps(message, separators=(",", ":")).encode()
        json.loads(data)
        json.dumps(message, separators=(",", ":"), sort_keys=True).encode()

    return work


def _toon(message: Message) -> Work:
    try:
        import toon_format
    except ImportError:
        raise Unavailable("toon-format is not installed: it comes with the tests") from None

    def work() -> None:
        data = toon_format.encode(message).encode()
        toon_format.decode(data)
        toon_format.encode(message, sort_keys=True).encode()

    return work

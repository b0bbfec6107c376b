"""Messages as terminals send them, for measuring."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from ks_agent import signing, timetext
from ks_agent.tokens import BATCH_MAX_PUNCHES
from ks_server.crypto import NaclCrypto

CRYPTO = NaclCrypto(cached_keys=65_536)

Message = dict[str, Any]


def seed_of(d1: str) -> bytes:
    """A device key that follows from the id."""
    return hashlib.sha256(b"KS-BENCHMARK|" + d1.encode()).digest()


def signed(op: str, d1: str, now_ms: int, kid: str, **tokens: Any) -> Message:
    """A request of the operation with a new nonce."""
    message: Message = {
        "D1": d1,
        "KID": kid,
        "NONCE": secrets.token_hex(16),
        "OP": op,
        "TS": timetext.format_ms(now_ms),
        **tokens,
    }
    signing.sign_message(CRYPTO, seed_of(d1), message)
    return message


def heartbeat(d1: str, now_ms: int, kid: str = "0123abcd", beat: int = 4321) -> Message:
    """A heartbeat with every token that a terminal without a battery sends."""
    return signed(
        "heartbeat",
        d1,
        now_ms,
        kid,
        HB1=str(beat),
        HB2=str(beat * 60),
        HB3="0.09",
        HB4="41.5",
        HB5=timetext.format_ms(now_ms - beat * 60_000),
        HB6="ONLINE",
        FW2="1.0.0",
    )


def punches(d1: str, now_ms: int, count: int = BATCH_MAX_PUNCHES) -> Message:
    """A whole batch of punches."""
    rows = [
        {
            "A1": f"{d1}-{sequence:08d}",
            "A2": "IN" if sequence % 2 else "OUT",
            "A3": timetext.format_ms(now_ms - 1000 * (count - sequence)),
            "BOOT": "17",
            "CLK": "SYNCED",
            "E1": secrets.token_hex(4).upper(),
            "METHOD": "RFID",
            "PREV": secrets.token_hex(8),
            "SEQ": str(2000 + sequence),
            "UP": str(86_400_000 + 1000 * sequence),
        }
        for sequence in range(count)
    ]
    return signed(
        "events", d1, now_ms, "0123abcd", JID=secrets.token_hex(8), SEQ_MIN="1981", EVENT=rows
    )

"""One good request of every kind, and what is in the database for it to be about."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from ks_agent import schema, signing
from ks_server.db.schema import devices, sites
from ks_server.repository import allow_list
from tests.attack.terminal import application
from tests.attack.world import World
from tests.server.client import CRYPTO, Device, public_text

OPS = tuple(schema.REQUESTS)
_EMPTY = allow_list.build([])
assert _EMPTY is not None
NOBODY = _EMPTY.version
NEW_SEED = b"n" * 32
READER = "ESP32_READER"
NEWER = application("1.1.0", 2, types=[READER])
EVENT = {
    "A1": "e1", "E1": "card", "A2": "IN", "A3": "2027-01-15T08:00:00.000Z", "SEQ": "1",
    "PREV": "", "BOOT": "1", "UP": "5", "CLK": "SYNCED", "METHOD": "RFID",
}  # fmt: skip
LOG = {"LOG2": "ERROR", "LOG3": "it broke", "LOG4": "2027-01-15T08:00:00.000Z"}


async def prepare(world: World, d1: str) -> str:
    """Commands to poll, one of them to acknowledge: gives its id. And a site that holds a list."""
    if not await world.rows(sites):
        await world.insert(
            sites, site="hq", name="HQ", time_zone="UTC", allow_list=True, created_ms=0
        )
    await world.execute(update(devices).where(devices.c.d1 == d1).values(site="hq"))
    allow_list.changed(world.context)
    await world.command("RESTART", d1=d1)
    await world.command("ROTATE_DEVICE_KEY", d1=d1)
    return await world.command("IDENTIFY", d1=d1)


def request(device: Device, op: str, cmd1: str, **tokens: Any) -> dict[str, Any]:
    """A signed request with all the tokens that this operation knows."""
    full: dict[str, dict[str, Any]] = {
        "register": {"D4": "KS", "D5": "model", "M1": "site", "OTRT": "one-time-token"},
        "heartbeat": {
            "HB1": "7", "HB2": "60", "HB3": "0.09", "HB4": "41.5",
            "HB5": "2027-01-15T07:59:00.000Z", "HB6": "ONLINE", "HB7": "90", "FW2": "1.0.0",
        },
        "commands": {},
        "command-ack": {"CMD1": cmd1, "ACK1": "OK", "ACK2": "done", "ACK3": "12", "ACK4": "l1"},
        "firmware/check": {"FW2": "1.0.0"},
        "firmware/download": {"FW1": NEWER.token("FW1")},
        "firmware/ack": {
            "FW1": NEWER.token("FW1"), "FW2": "1.1.0", "ACK1": "OK", "ACK2": "fine", "ACK3": "9",
            "LOG1": "l2",
        },
        "logs": {
            "LOG1": "l3", "LOG2": "ERROR", "LOG3": "x", "LOG4": LOG["LOG4"], "LOG5": "y",
            "CMD1": cmd1, "LOG": [LOG, dict(LOG, LOG2="FATAL")],
        },
        "events": {
            "JID": "0123456789abcdef", "SEQ_MIN": "1",
            "EVENT": [EVENT, dict(EVENT, A1="e2", SEQ="2")],
        },
        "allow-list": {"AL1": NOBODY, "AL2": "0"},
        "rotate-key": {},
        "time": {},
    }  # fmt: skip
    if op == "rotate-key":
        return rotation(device, **tokens)
    return device.build(op, **full[op] | tokens)


def rotation(device: Device, seed: bytes = NEW_SEED, **tokens: Any) -> dict[str, Any]:
    """A rotate-key request; SIG_NEW and SIG1 are given as None to be left out."""
    given = ("SIG_NEW", "SIG1")
    signatures: dict[str, Any] = {key: tokens.pop(key) for key in given if key in tokens}
    message = device.build("rotate-key", D3=public_text(seed), SIG1="", **tokens)
    if "SIG_NEW" not in signatures:
        signing.sign_message(CRYPTO, seed, message, "SIG_NEW")
    if "SIG1" not in signatures:
        signing.sign_message(CRYPTO, device.seed, message)
    message |= signatures
    return {key: value for key, value in message.items() if value is not None}

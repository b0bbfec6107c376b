"""POST register: a new device, or a known one that says hello again (PROTOCOL section 5).

SIG1 is checked with the key in the message, so that refusals are signed as well: from them a new
device learns the time. A refused stranger leaves nothing in the database.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import signing
from ks_agent.errors import Malformed

from ...db.base import storable
from ...db.schema import devices, otrts, whitelist
from ...limits import FIRST_REGISTRATION
from ...repository.devices import ACTIVE, Device, find_one
from ..call import Call, Outcome
from ..operation import Operation
from ..refusal import Refusal

D2_MAX_CHARACTERS: Final = 64


class Register(Operation):
    """Modes: `whitelist` (id and key known), `token` (one-time token), `open` (anybody)."""

    op = "register"
    needs_device = False

    def check(self, message: dict[str, Any]) -> None:
        keys = {
            signing.decode_public_key(message[name]) for name in ("D3", "PK1") if name in message
        }
        if len(keys) != 1:
            raise Malformed("D3 and PK1 differ")
        if not 1 <= len(message["D2"]) <= D2_MAX_CHARACTERS:
            raise Malformed("bad D2")

    def signers(self, call: Call) -> list[bytes]:
        return [_public_of(call)]

    def limit(self, call: Call) -> tuple[str, ...]:
        key = _key_of(call)
        if call.device is not None and call.device.public_key == key:
            return self.op, call.d1
        # counted by key as well: a stranger must not use up the tries of the right device
        return FIRST_REGISTRATION, call.d1, key

    async def may_remember(self, call: Call, connection: AsyncConnection) -> bool:
        if call.device is not None and call.device.public_key == _key_of(call):
            return True
        return await _is_invited(call, connection)

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        key = _key_of(call)
        device = await find_one(connection, call.d1)
        if device is None:
            return await _enrol(call, connection, key)
        if device.public_key == key:
            return Outcome(_registered(call, device.o1, device.rto_s))
        if device.reenrol_public_key == key:
            return await _enrol_again(call, connection, device, key)
        raise Refusal("DEVICE_ALREADY_REGISTERED", "this id belongs to another key", recorded=False)


def _public_of(call: Call) -> bytes:
    return bytes(signing.decode_public_key(call.get("D3") or call.get("PK1")))


def _key_of(call: Call) -> str:
    return str(signing.b64(_public_of(call)))


def _registered(call: Call, o1: str, rto_s: int | None) -> dict[str, Any]:
    rto_s = rto_s or call.context.settings.heartbeat_rto_s
    return {"S1": "registered", "O1": o1, "RTO": str(rto_s)}


def _described(call: Call) -> dict[str, Any]:
    """What a registration says about the device."""
    return {
        name.lower(): storable(value)
        for name in ("D2", "D4", "D5", "M1")
        if (value := call.get(name)) is not None
    }


async def _enrol(call: Call, connection: AsyncConnection, key: str) -> Outcome:
    if not await _is_invited(call, connection) or not await _spend(call, connection):
        raise Refusal("UNAUTHORIZED", "this device may not register", recorded=False)
    o1 = call.context.settings.ota_policy_id
    await connection.execute(
        insert(devices).values(
            d1=call.d1,
            public_key=key,
            state=ACTIVE,
            server_seq=call.context.keys.current.seq,
            o1=o1,
            registered_ms=call.now_ms,
            last_seen_ms=call.now_ms,
            kid=call.get("KID"),
            **_described(call),
        )
    )
    event = ("device_registered", {"d1": call.d1, "d2": call.get("D2"), "at_ms": call.now_ms})
    return Outcome(_registered(call, o1, None), [event])


async def _enrol_again(
    call: Call, connection: AsyncConnection, device: Device, key: str
) -> Outcome:
    """A repaired device: an administrator has allowed this one new key under the same id."""
    await connection.execute(
        update(devices)
        .where(devices.c.d1 == call.d1)
        .values(
            public_key=key,
            previous_public_key=None,
            reenrol_public_key=None,
            server_seq=call.context.keys.current.seq,
            registered_ms=call.now_ms,
            **_described(call),
        )
    )
    event = ("device_registered", {"d1": call.d1, "d2": call.get("D2"), "at_ms": call.now_ms})
    return Outcome(_registered(call, device.o1, device.rto_s), [event])


def _usable_token(call: Call) -> tuple[Any, ...]:
    token_hash = hashlib.sha256((call.get("OTRT") or "").encode("utf-8")).hexdigest()
    return (
        otrts.c.hash == token_hash,
        otrts.c.used_by.is_(None),
        otrts.c.expires_ms > call.now_ms,
        or_(otrts.c.d1.is_(None), otrts.c.d1 == call.d1),
    )


async def _is_invited(call: Call, connection: AsyncConnection) -> bool:
    mode = call.context.settings.registration_mode
    if mode == "open":
        return True
    if mode == "token":
        query = select(otrts.c.hash).where(*_usable_token(call))
        return (await connection.execute(query)).first() is not None
    query = select(whitelist.c.d1).where(
        whitelist.c.d1 == call.d1, whitelist.c.public_key == _key_of(call)
    )
    return (await connection.execute(query)).first() is not None


async def _spend(call: Call, connection: AsyncConnection) -> bool:
    """Use up the one-time token; False when somebody else was faster."""
    if call.context.settings.registration_mode != "token":
        return True
    result = await connection.execute(
        update(otrts).where(*_usable_token(call)).values(used_by=call.d1, used_ms=call.now_ms)
    )
    return bool(result.rowcount == 1)

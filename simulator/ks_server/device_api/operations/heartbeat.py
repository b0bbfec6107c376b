"""POST heartbeat: many at once, in a handful of statements for all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import tokens

from ... import audit, nonces
from ...db.base import storable
from ...db.bulk import Bulk
from ...db.schema import devices, heartbeats
from ...repository import allow_list, commands, findings, journal_state
from ...repository.devices import DeviceChanged
from ..call import Call, Outcome
from ..operation import Operation
from ..refusal import Refusal, nonce_reused, too_many

_TOKENS: Final = tuple(f"HB{number}" for number in range(1, 8))
_COLUMNS: Final = tuple((token, token.lower()) for token in (*_TOKENS, "FW2"))
# An UPDATE may not call a parameter by the name of a column that it sets.
_PARAMETERS: Final[dict[str, Any]] = {column: bindparam("its_" + column) for _, column in _COLUMNS}
_TEXTS: Final = {column: _PARAMETERS[column] for column in _PARAMETERS if column != "fw2"}

_insert: Final = Bulk(
    insert(heartbeats)
    .inline()
    .values(d1=bindparam("id"), received_ms=bindparam("now"), **_PARAMETERS)
)
# Only a device that is what the request was judged by.
_update: Final = Bulk(
    update(devices)
    .where(
        devices.c.d1 == bindparam("id"),
        devices.c.public_key == bindparam("known_public_key"),
        devices.c.state == bindparam("known_state"),
        devices.c.server_seq == bindparam("known_server_seq"),
        devices.c.d2 == bindparam("known_d2"),
        devices.c.rto_s.is_not_distinct_from(bindparam("known_rto_s")),
        devices.c.site.is_not_distinct_from(bindparam("known_site")),
    )
    .values(
        last_seen_ms=bindparam("now"),
        heartbeat_ms=bindparam("now"),
        kid=bindparam("its_kid"),
        fw2=func.coalesce(_PARAMETERS["fw2"], devices.c.fw2),
        img1=func.coalesce(bindparam("its_img1"), devices.c.img1),
        **_TEXTS,
    )
)


class _Done(NamedTuple):
    """What came of storing one heartbeat; `ack_seq` of the journal that it named, if it did."""

    command_ids: Sequence[str]
    ack_seq: int | None
    events: Sequence[findings.Event]


class Heartbeat(Operation):
    """The answer says what waits: commands, an update, an allow list, and how far the punches of
    the terminal's journal are settled."""

    op = "heartbeat"
    asks_late = True

    async def store(self, call: Call) -> Outcome:
        call.values = _values(call)
        await call.find_offer(call.get("FW2") or call.known.fw2)
        stored = await call.context.writer.batched(_store_all, call)
        if isinstance(stored, Refusal):
            # memory may be old, and key and revocation come before nonce and limit
            raise DeviceChanged if call.remembered else stored
        if _must_resume(call):
            call.context.catalogue.forget()
        return Outcome(
            await _answer(call, stored),
            [("heartbeat", {"d1": call.d1, "at_ms": call.now_ms, **call.values}), *stored.events],
        )


def _values(call: Call) -> dict[str, Any]:
    message = call.message
    return {
        column: storable(message[token]) if token in message else None for token, column in _COLUMNS
    }


async def _store_all(
    connection: AsyncConnection, calls: Sequence[Call]
) -> Sequence[_Done | Refusal]:
    """Store the heartbeats; for each what came of it, or why it was not stored. Raises
    DeviceChanged, NonceReused."""
    used = await nonces.used(connection, [nonces.use_of(call.d1, call.nonce) for call in calls])
    refusals = [_refusal(call, used) for call in calls]
    good = [call for call, refusal in zip(calls, refusals, strict=True) if refusal is None]
    done = iter(await _store_good(connection, good) if good else ())
    return [next(done) if refusal is None else refusal for refusal in refusals]


def _refusal(call: Call, used: set[str]) -> Refusal | None:
    """What comes between the freshness of TS and the work (PROTOCOL section 3)."""
    if nonces.use_of(call.d1, call.nonce) in used:
        return nonce_reused()
    if call.wait_s is None:  # a batch that failed is tried again one by one
        call.wait_s = call.context.limits.hit("heartbeat", call.d1)
    return too_many(call.wait_s) if call.wait_s else None


async def _store_good(connection: AsyncConnection, calls: Sequence[Call]) -> Sequence[_Done]:
    await nonces.store(connection, [nonces.row(call.d1, call.nonce, call.ts_ms) for call in calls])
    rows = [_row(call) for call in calls]
    if await _update.execute(connection, rows) not in (len(rows), -1):
        raise DeviceChanged
    await _insert.execute(connection, rows)
    await audit.insert_rows.execute(
        connection,
        [audit.row(call.op, call.message, call.text, call.now_ms) for call in calls],
    )
    now_ms = max(call.now_ms for call in calls)
    for call in calls:
        if _must_resume(call):
            await call.context.update_commands.resume(connection, call.d1, call.now_ms)
    waiting = await commands.next_ids(connection, [call.d1 for call in calls], now_ms)
    told = {number: _told(call) for number, call in enumerate(calls) if "JID" in call.message}
    journals = await journal_state.store(connection, told) if told else {}
    return [
        _Done(waiting.get(call.d1, ()), *journals.get(number, (None, ())))
        for number, call in enumerate(calls)
    ]


def _must_resume(call: Call) -> bool:
    return call.offer is not None and call.offer.is_halted


def _told(call: Call) -> journal_state.Told:
    numbers = {name: call.message.get(name.upper()) for name in ("seq", "j1", "j2")}
    return journal_state.Told(
        d1=call.d1,
        jid=call.message["JID"],
        now_ms=call.now_ms,
        # what makes no sense is not worth a refusal: the device has to be heard
        **{name: None if text is None else max(0, int(text)) for name, text in numbers.items()},
    )


def _row(call: Call) -> dict[str, Any]:
    """The parameters of both statements."""
    device = call.known
    row = {
        "id": call.d1,
        "now": call.now_ms,
        "its_kid": call.get("KID"),
        "known_public_key": device.public_key,
        "known_state": device.state,
        "known_server_seq": device.server_seq,
        "known_d2": device.d2,
        "known_rto_s": device.rto_s,
        "known_site": device.site,
    }
    image = call.get("IMG1")
    row["its_img1"] = None if image is None else storable(image)
    for column, text in call.values.items():
        row["its_" + column] = text
    return row


async def _answer(call: Call, done: _Done) -> dict[str, Any]:
    command_ids = done.command_ids
    device = call.known
    offer = call.offer if call.offer is not None and call.offer.has_place else None
    answer = {
        "S1": "ok",
        "RTO": str(device.rto_s or call.context.settings.heartbeat_rto_s),
        "PENDING_CMDS": str(len(command_ids)),
        "FW_AVAILABLE": "false" if offer is None else "true",
    }
    if command_ids:
        answer["CMD_IDS"] = ",".join(command_ids[: tokens.ANSWER_MAX_COMMANDS])
    if offer is not None:
        answer["FW2"] = offer.release.fw2
    if done.ack_seq is not None:
        answer["ACK_SEQ"] = str(done.ack_seq)
    if "JID" in call.message or "AL1" in call.message:
        # of a list that cannot be made nothing is said: `none` would lock people out, or in
        with suppress(allow_list.TooLarge):
            current = await call.context.allow_lists.current(device.site)
            answer["AL1"] = allow_list.NONE if current is None else current.version
    return answer

"""POST events: one punch that cannot be right does not hold up the rest of the journal."""

from __future__ import annotations

import pytest

from ks_server.db.punch_schema import punches
from tests.server.client import Device, Server

JID = "0123456789abcdef"
GOOD = {
    "A1": "e1", "E1": "card", "A2": "IN", "A3": "2026-11-20T10:00:00.000Z", "SEQ": "1",
    "PREV": "", "BOOT": "1", "UP": "1000", "CLK": "SYNCED", "METHOD": "RFID",
}  # fmt: skip


@pytest.mark.parametrize(("key", "text"), [("A3", "yesterday"), ("BOOT", "x"), ("UP", "1.5")])
async def test_a_punch_of_the_wrong_kind_is_quarantined_and_settled(
    server: Server, device: Device, key: str, text: str
) -> None:
    rows = [GOOD | {"A1": "bad", key: text}, GOOD | {"SEQ": "2"}]
    answer = await device.call("events", OP="events", JID=JID, EVENT=rows)
    assert answer.code == "ok"
    assert answer.message["ACK_SEQ"] == "2"
    assert answer.message["RESULT"] == [{"A1": "bad", "S1": "rejected", "ERR1": "MALFORMED"}]
    stored = await server.rows(punches)
    assert [row["state"] for row in stored] == ["quarantine", "accepted"]
    assert stored[0][key.lower()] == text


@pytest.mark.parametrize("number", ["", "x", "0", "-1", "1.0"])
async def test_a_punch_without_a_number_cannot_be_settled(device: Device, number: str) -> None:
    answer = await device.call("events", OP="events", JID=JID, EVENT=[GOOD | {"SEQ": number}])
    assert answer.code == "MALFORMED"

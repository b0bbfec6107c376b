"""Receipts over the admin API, verified with public keys alone."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from ks_server import receipts
from ks_server.db.punch_schema import punches

from .admin_support import CRYPTO, SERVER_SEED, Admin, after, open_admin
from .punch_support import JID, chain, store

PUBLIC = CRYPTO.public_key(SERVER_SEED)


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        yield opened


def form(first: int, last: int) -> dict[str, object]:
    return {"d1": "dev_1", "jid": JID, "first_seq": first, "last_seq": last}


async def receipt(admin: Admin, first: int, last: int) -> bytes:
    answer = await admin.client.post("/api/admin/receipts", json=form(first, last))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/toon")
    return answer.content


async def test_a_receipt_verifies_with_the_servers_public_key(admin: Admin) -> None:
    rows = chain(9)
    await store(admin, rows)
    found = receipts.verify(CRYPTO, await receipt(admin, 3, 7), [PUBLIC])
    assert [row["SEQ"] for row in found.rows] == ["3", "4", "5", "6", "7"]
    assert (found.d1, found.jid, found.made) == ("dev_1", JID, after())
    assert [row["E1"] for row in found.rows] == [row["e1"] for row in rows[2:7]]
    assert await admin.actions() == [("receipt", "dev_1")]


async def test_a_punch_that_was_erased_or_rejected_is_in_it_as_what_it_is(admin: Admin) -> None:
    rows = chain(4, e1=lambda seq: "gone" if seq == 2 else "stays")
    rows[2] |= {"state": "quarantine", "err1": "MALFORMED"}
    await store(admin, rows)
    await admin.call("POST", "/punches/erase", {"e1": ["gone"]})
    document = await receipt(admin, 1, 4)
    found = receipts.verify(CRYPTO, document, [PUBLIC])
    assert (found.erased, found.rejected) == (1, 1)
    assert b"gone" not in document


async def test_a_range_that_is_not_whole_has_no_receipt(admin: Admin) -> None:
    rows = chain(5)
    await store(admin, [row for row in rows if row["seq"] != 3])
    body = form(2, 4)
    message = await admin.refused("POST", "/receipts", body, status=409, code="RANGE_INCOMPLETE")
    assert "2 of these 3" in message
    await receipt(admin, 1, 2)
    await receipt(admin, 4, 5)
    unknown = {**form(1, 2), "d1": "dev_2"}
    await admin.refused("POST", "/receipts", unknown, status=409, code="RANGE_INCOMPLETE")


async def test_a_broken_chain_has_no_receipt(admin: Admin) -> None:
    rows = chain(5)
    rows[2]["prev"] = "0" * 16
    await store(admin, rows)
    message = await admin.refused("POST", "/receipts", form(1, 5), status=409, code="CHAIN_BROKEN")
    assert "SEQ 3" in message
    await receipt(admin, 4, 5)


async def test_what_was_changed_in_the_database_is_no_more_than_a_hash(admin: Admin) -> None:
    await store(admin, chain(3))
    async with admin.context.engine.begin() as connection:
        await connection.execute(update(punches).where(punches.c.seq == 2).values(e1="forged"))
    found = receipts.verify(CRYPTO, await receipt(admin, 1, 3), [PUBLIC])
    assert [row.get("E1") for row in found.rows] == ["card-1", None, "card-0"]


@pytest.mark.parametrize(
    "body",
    [
        form(2, 1),
        form(0, 1),
        form(1, 10_001),
        form(1, 2**63),
        {**form(1, 2), "jid": "x"},
        {**form(1, 2), "d1": "dev 1"},
        {"d1": "dev_1"},
    ],
    ids=str,
)
async def test_what_is_no_range_is_refused(admin: Admin, body: dict[str, object]) -> None:
    await admin.refused("POST", "/receipts", body, status=422, code="INVALID")


async def test_after_a_new_server_key_the_first_one_still_verifies(tmp_path: Path) -> None:
    async with open_admin(tmp_path) as admin:
        await store(admin, chain(2))
        old = await receipt(admin, 1, 2)
    new_seed = b"t" * 32
    keys = {
        "server_private_key": base64.b64encode(new_seed).decode(),
        "server_previous_private_keys": base64.b64encode(SERVER_SEED).decode(),
    }
    async with open_admin(tmp_path, **keys) as admin:
        new = await receipt(admin, 1, 2)
    for document, key in ((old, PUBLIC), (new, PUBLIC), (new, CRYPTO.public_key(new_seed))):
        assert receipts.verify(CRYPTO, document, [key]).last_seq == 2
    assert receipts.verify(CRYPTO, new, [PUBLIC]).kid != receipts.verify(CRYPTO, old, [PUBLIC]).kid

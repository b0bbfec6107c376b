"""Commands over the admin API, from the draft to the queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from ks_agent import lines, schema, signing
from ks_agent.tokens import ANSWER_MAX_BYTES
from ks_server.db.schema import commands

from .admin_support import (
    ADMIN_SEEDS,
    CRYPTO,
    RELEASE_SEED,
    Admin,
    after,
    open_admin,
    public_text,
)

PATH = "/devices/dev_1/commands"
KEY = public_text(b"k" * 32)


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        await opened.add_device("dev_1")
        yield opened


async def stored(admin: Admin, cmd1: str) -> Any:
    async with admin.context.engine.connect() as connection:
        return (await connection.execute(select(commands).where(commands.c.cmd1 == cmd1))).one()


def signature(text: str, seed: bytes) -> dict[str, str]:
    return {"signature": signing.sign_text(CRYPTO, seed, text)}


async def test_an_ordinary_command_is_queued_with_an_expiry(admin: Admin) -> None:
    made = await admin.call("POST", PATH, {"name": "RESTART"}, status=201)
    assert made["cmd1"].startswith(signing.command_prefix(CRYPTO, "dev_1") + "-")
    assert (made["state"], made["expires"], made["sign_text"]) == ("queued", after(7), None)
    row = await stored(admin, made["cmd1"])
    assert (row.cmd2, row.cmd3, row.cmd4, row.cmd5) == ("RESTART", None, "NORMAL", after(7))
    assert row.ts == after()
    assert await admin.call("GET", f"/commands/{made['cmd1']}") == made
    assert (await admin.call("GET", "/devices/dev_1"))["open_commands"] == 1


async def test_a_payload_is_what_the_device_will_read(admin: Admin) -> None:
    payload = {"LEVEL": "WARN", "SINCE": after(-1)}
    body = {"name": "FETCH_LOGS", "payload": payload, "priority": "HIGH", "expires": after(1)}
    made = await admin.call("POST", PATH, body, status=201)
    row = await stored(admin, made["cmd1"])
    assert lines.decode(row.cmd3.encode(), 4096) == payload
    assert (row.cmd4, row.cmd5) == ("HIGH", after(1))
    assert made["payload"] == payload


@pytest.mark.parametrize("sign", ['"', "%", "|", "\\"])
async def test_a_payload_that_no_answer_could_carry_is_refused(admin: Admin, sign: str) -> None:
    for length in (900, 1300, 2500, 4000):
        body = {"name": "APPLY_CONFIG", "payload": {"SITE": sign * length}}
        answer = await admin.client.post("/api/admin" + PATH, json=body)
        if answer.status_code == 422:
            assert length > 900
            return
        row: Any = await stored(admin, answer.json()["cmd1"])
        command = {"CMD1": row.cmd1, "CMD2": row.cmd2, "CMD3": row.cmd3, "CMD5": row.cmd5}
        for syntax in (signing.TOON, signing.LINES):
            # the rest: signatures, the binding and two links
            assert len(signing.compose({"CMD": [command]}, syntax)) + 1500 < ANSWER_MAX_BYTES
    raise AssertionError("even the longest was taken")


async def test_a_password_in_a_payload_is_stored_but_never_shown(admin: Admin) -> None:
    payload = {"WIFI_SSID": "office", "WIFI_PASSWORD": "hunter2|%x"}
    made = await admin.call("POST", PATH, {"name": "APPLY_CONFIG", "payload": payload}, status=201)
    assert made["payload"] == {"WIFI_SSID": "office", "WIFI_PASSWORD": "[hidden]"}
    row = await stored(admin, made["cmd1"])
    assert lines.decode(row.cmd3.encode(), 4096) == payload
    for path in ("/commands", "/actions", f"/commands/{made['cmd1']}"):
        assert "hunter2" not in (await admin.client.get("/api/admin" + path)).text


@pytest.mark.parametrize(
    "body",
    [
        {"name": "EXPLODE"},
        {"name": "restart"},
        {"name": "RESTART", "payload": {"NOW": "true"}},
        {"name": "FETCH_LOGS", "payload": {"LEVEL": "LOUD"}},
        {"name": "FETCH_LOGS", "payload": {"SINCE": "yesterday"}},
        {"name": "APPLY_CONFIG", "payload": {"SERVER": "ftp://x"}},
        {"name": "APPLY_CONFIG"},
        {"name": "APPLY_CONFIG", "payload": {"SITE": "x" * 5000}},
        {"name": "TRUST_KEY", "payload": {"ROLE": "admin"}},
        {"name": "TRUST_KEY", "payload": {"ROLE": "king", "KEY": KEY}},
        {"name": "TRUST_KEY", "payload": {"ROLE": "server", "KEY": "AAAA"}},
        {"name": "WIPE", "payload": {"FORCE": "yes"}, "expires": after(1)},
        {"name": "WIPE"},
        {"name": "REVOKE"},
        {"name": "WIPE", "expires": after(30, 1)},
        {"name": "RESTART", "expires": after(366)},
        {"name": "RESTART", "expires": after()},
        {"name": "RESTART", "expires": after(-1)},
        {"name": "RESTART", "expires": "2027-13-01T00:00:00Z"},
        {"name": "RESTART", "priority": "URGENT"},
        {"name": "RESTART", "payload": {"A": 1}},
    ],
)
async def test_a_command_that_the_device_would_refuse_is_not_made(
    admin: Admin, body: dict[str, Any]
) -> None:
    await admin.refused("POST", PATH, body, status=422, code="INVALID")
    assert await admin.all_items("/commands", 10) == []


async def test_a_longest_expiry_is_allowed(admin: Admin) -> None:
    await admin.call("POST", PATH, {"name": "WIPE", "expires": after(30)}, status=201)
    await admin.call("POST", PATH, {"name": "RESTART", "expires": after(365)}, status=201)


DESTRUCTIVE: list[dict[str, Any]] = [
    {"name": "WIPE", "payload": {"FORCE": "true"}, "expires": after(1)},
    {"name": "REVOKE", "expires": after(1)},
    {"name": "DISTRUST_KEY", "payload": {"ROLE": "server", "KEY": KEY}},
    {"name": "TRUST_KEY", "payload": {"ROLE": "admin", "KEY": KEY}},
]


@pytest.mark.parametrize("body", DESTRUCTIVE, ids=lambda body: str(body["name"]))
async def test_a_destructive_command_is_queued_by_two_administrators(
    admin: Admin, body: dict[str, Any]
) -> None:
    draft = await admin.call("POST", PATH, body, status=201)
    cmd1, text = draft["cmd1"], draft["sign_text"]
    assert draft["state"] == "draft"
    path = f"/commands/{cmd1}/signatures"
    half = await admin.call("POST", path, signature(text, ADMIN_SEEDS[2]), status=201)
    assert (half["state"], half["signed_by"]) == ("draft", [public_text(ADMIN_SEEDS[2])])
    assert half["sign_text"] == text
    whole = await admin.call("POST", path, signature(text, ADMIN_SEEDS[0]), status=201)
    assert (whole["state"], whole["sign_text"]) == ("queued", None)
    # what the device will check, from what is stored
    row = await stored(admin, cmd1)
    sent = {"CMD1": row.cmd1, "CMD2": row.cmd2, "CMD5": row.cmd5}
    if row.cmd3 is not None:
        sent["CMD3"] = row.cmd3
    signed = signing.admin_text(sent, "dev_1")
    assert signed == text
    assert text.startswith("KS-ADMIN-1|CMD1:")
    keys = [CRYPTO.public_key(ADMIN_SEEDS[2]), CRYPTO.public_key(ADMIN_SEEDS[0])]
    for public, made in zip(keys, (row.sig_admin_a, row.sig_admin_b), strict=True):
        signing.verify_text(CRYPTO, public, signed, made)


async def test_every_command_that_the_protocol_calls_destructive_is_in_the_list_above() -> None:
    named = {name for name, declared in schema.COMMANDS.items() if declared.two_admins}
    assert named | {"TRUST_KEY"} == {str(body["name"]) for body in DESTRUCTIVE}


async def test_signatures_that_do_not_count_are_refused(admin: Admin) -> None:
    draft = await admin.call("POST", PATH, DESTRUCTIVE[0], status=201)
    other = await admin.call("POST", PATH, DESTRUCTIVE[0], status=201)
    path = f"/commands/{draft['cmd1']}/signatures"
    text = draft["sign_text"]
    for form in (
        signature(text, b"x" * 32),  # nobody's key
        signature(text, RELEASE_SEED),  # a key of another role
        signature(other["sign_text"], ADMIN_SEEDS[0]),  # for another command
        signature(text + " ", ADMIN_SEEDS[0]),
        {"signature": ""},
        {"signature": "AAAA"},
        {"signature": "A" * 88},
    ):
        await admin.refused("POST", path, form, status=403, code="SIG_INVALID")
    await admin.call("POST", path, signature(text, ADMIN_SEEDS[0]), status=201)
    same = signature(text, ADMIN_SEEDS[0])
    await admin.refused("POST", path, same, status=409, code="SAME_ADMIN")
    assert (await stored(admin, draft["cmd1"])).state == "draft"


async def test_a_draft_that_has_expired_cannot_be_signed(admin: Admin) -> None:
    draft = await admin.call("POST", PATH, DESTRUCTIVE[1], status=201)
    admin.clock["ms"] += 86_400_000
    form = signature(draft["sign_text"], ADMIN_SEEDS[0])
    path = f"/commands/{draft['cmd1']}/signatures"
    await admin.refused("POST", path, form, status=409, code="EXPIRED")


async def test_only_a_draft_takes_signatures(admin: Admin) -> None:
    made = await admin.call("POST", PATH, {"name": "RESTART"}, status=201)
    form = signature("anything", ADMIN_SEEDS[0])
    path = f"/commands/{made['cmd1']}/signatures"
    await admin.refused("POST", path, form, status=409, code="WRONG_STATE")
    await admin.refused("POST", "/commands/x/signatures", form, status=404, code="NOT_FOUND")


async def test_a_release_key_is_let_in_by_a_release_key_alone(admin: Admin) -> None:
    text = signing.trust_text("release", KEY)
    for seed in (None, b"x" * 32, ADMIN_SEEDS[0]):
        payload = {"ROLE": "release", "KEY": KEY}
        if seed is not None:
            payload["RELEASE_SIG"] = signing.sign_text(CRYPTO, seed, text)
        body = {"name": "TRUST_KEY", "payload": payload}
        await admin.refused("POST", PATH, body, status=403, code="SIG_INVALID")
    payload = {"ROLE": "release", "KEY": KEY}
    payload["RELEASE_SIG"] = signing.sign_text(CRYPTO, RELEASE_SEED, text)
    body = {"name": "TRUST_KEY", "payload": payload}
    assert (await admin.call("POST", PATH, body, status=201))["state"] == "queued"


async def test_a_command_can_be_taken_back_until_it_is_delivered(admin: Admin) -> None:
    queued = await admin.call("POST", PATH, {"name": "RESTART"}, status=201)
    draft = await admin.call("POST", PATH, DESTRUCTIVE[0], status=201)
    for made in (queued, draft, draft):
        path = f"/commands/{made['cmd1']}/cancel"
        assert (await admin.call("POST", path))["state"] == "cancelled"
    form = signature(draft["sign_text"], ADMIN_SEEDS[0])
    path = f"/commands/{draft['cmd1']}/signatures"
    await admin.refused("POST", path, form, status=409, code="WRONG_STATE")
    late = await admin.call("POST", PATH, {"name": "RESTART"}, status=201)
    async with admin.context.engine.begin() as connection:
        await connection.execute(
            update(commands).where(commands.c.cmd1 == late["cmd1"]).values(state="delivered")
        )
    path = f"/commands/{late['cmd1']}/cancel"
    await admin.refused("POST", path, status=409, code="WRONG_STATE")
    await admin.refused("POST", "/commands/x/cancel", status=404, code="NOT_FOUND")


async def test_commands_are_listed_newest_first_by_device_and_state(admin: Admin) -> None:
    await admin.add_device("dev_2")
    made = []
    for number in range(4):
        admin.clock["ms"] += number % 2  # two of the same millisecond
        path = f"/devices/dev_{1 + number % 2}/commands"
        made.append((await admin.call("POST", path, {"name": "IDENTIFY"}, status=201))["cmd1"])
    listed = [item["cmd1"] for item in await admin.all_items("/commands", 1)]
    assert sorted(listed) == sorted(made)
    assert listed[0] == made[3]
    of_one = await admin.all_items("/commands?d1=dev_1&state=queued", 10)
    assert {item["cmd1"] for item in of_one} == {made[0], made[2]}


async def test_an_acknowledgement_is_shown(admin: Admin) -> None:
    made = await admin.call("POST", PATH, {"name": "RESTART"}, status=201)
    async with admin.context.engine.begin() as connection:
        await connection.execute(
            update(commands).values(
                state="done", ack1="OK", ack2="done", ack3="12", acked_ms=admin.clock["ms"]
            )
        )
    shown = await admin.call("GET", f"/commands/{made['cmd1']}")
    assert shown["acknowledgement"] == {
        "ack1": "OK",
        "ack2": "done",
        "ack3": "12",
        "ack4": None,
        "received": after(),
    }

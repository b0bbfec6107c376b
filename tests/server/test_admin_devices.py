"""Devices, whitelist, one-time tokens, logs and overview over the admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from ks_server.admin.tokens import token_hash
from ks_server.db.punch_schema import punches
from ks_server.db.schema import (
    devices,
    firmware_acks,
    heartbeats,
    log_rows,
    log_uploads,
    otrts,
    whitelist,
)
from ks_server.settings import DAY_MS

from .admin_support import DEVICE_KEY, NOW_MS, Admin, after, open_admin, public_text

NEW_KEY = public_text(b"n" * 32)


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        yield opened


async def test_a_device_is_shown_with_what_it_last_said(admin: Admin) -> None:
    await admin.add_device("dev_1", hb1="beat", hb2="3600", fw2="1.0.0", m1="roof", kid="01234567")
    shown = await admin.call("GET", "/devices/dev_1")
    assert shown == {
        "d1": "dev_1",
        "d2": "ESP32_TERMINAL",
        "d4": None,
        "d5": None,
        "state": "active",
        "public_key": DEVICE_KEY,
        "reenrol_public_key": None,
        "server_key_seq": 1,
        "kid": "01234567",
        "fw2": "1.0.0",
        "o1": "default",
        "rto_s": None,
        "site": None,
        "registered": after(),
        "revoked": None,
        "last_seen": after(),
        "last_heartbeat": None,
        "heartbeat": {"HB1": "beat", "HB2": "3600"},
        "m1": "roof",
        "open_commands": 0,
    }


async def test_a_device_that_is_not_there_is_not_found(admin: Admin) -> None:
    for method, path, body in (
        ("GET", "/devices/dev_1", None),
        ("POST", "/devices/dev_1/revoke", {}),
        ("POST", "/devices/dev_1/reinstate", None),
        ("POST", "/devices/dev_1/re-enrol", {"public_key": NEW_KEY}),
        ("DELETE", "/devices/dev_1/re-enrol", None),
        ("POST", "/devices/dev_1/commands", {"name": "RESTART"}),
    ):
        await admin.refused(method, path, body, status=404, code="NOT_FOUND")
    assert await admin.actions() == []
    await admin.refused("GET", "/devices/dev%201", status=422, code="INVALID")


async def test_devices_come_in_pages_that_hold_each_once(admin: Admin) -> None:
    names = sorted(f"dev_{number}" for number in range(7))
    for name in names:
        await admin.add_device(name)
    for limit in (1, 3, 7, 8):
        items = await admin.all_items("/devices", limit)
        assert [item["d1"] for item in items] == names


async def test_devices_are_found_by_state_type_text_and_silence(admin: Admin) -> None:
    await admin.add_device("dev_1", d4="Acme 100%", last_seen_ms=NOW_MS - DAY_MS)
    await admin.add_device("dev_2", state="revoked", d2="RPI_TERMINAL")
    for parameters, expected in (
        ({"state": "active"}, ["dev_1"]),
        ({"state": "revoked"}, ["dev_2"]),
        ({"d2": "RPI_TERMINAL"}, ["dev_2"]),
        ({"search": "acme 100%"}, ["dev_1"]),
        ({"search": "%"}, ["dev_1"]),
        ({"search": "DEV_"}, ["dev_1", "dev_2"]),
        ({"search": "_"}, ["dev_1", "dev_2"]),
        ({"seen_before": NOW_MS}, ["dev_1"]),
        ({"search": "x\x00"}, []),
    ):
        page = await admin.call("GET", "/devices", params=parameters)
        assert [item["d1"] for item in page["items"]] == expected, parameters


async def test_a_revocation_is_done_told_and_recorded_once(admin: Admin) -> None:
    await admin.add_device("dev_1", reenrol_public_key=NEW_KEY)
    for _ in range(2):
        shown = await admin.call("POST", "/devices/dev_1/revoke", {"reason": "stolen"})
        assert (shown["state"], shown["revoked"]) == ("revoked", after())
        assert shown["reenrol_public_key"] is None
    assert admin.events == [("device_revoked", {"d1": "dev_1", "reason": "stolen"})]
    metrics = admin.context.metrics.render().decode()
    assert 'ks_events_total{event="device_revoked"} 1.0' in metrics
    assert await admin.actions() == [("revoke", "dev_1")]
    shown = await admin.call("POST", "/devices/dev_1/reinstate")
    assert (shown["state"], shown["revoked"]) == ("active", None)


async def test_one_new_key_may_be_named_for_a_repaired_device(admin: Admin) -> None:
    await admin.add_device("dev_1")
    path = "/devices/dev_1/re-enrol"
    shown = await admin.call("POST", path, {"public_key": NEW_KEY})
    assert (shown["public_key"], shown["reenrol_public_key"]) == (DEVICE_KEY, NEW_KEY)
    other = public_text(b"o" * 32)
    shown = await admin.call("POST", path, {"public_key": other})
    assert shown["reenrol_public_key"] == other
    assert (await admin.call("DELETE", path))["reenrol_public_key"] is None


async def test_re_enrolment_needs_an_active_device_and_another_key(admin: Admin) -> None:
    await admin.add_device("dev_1")
    path = "/devices/dev_1/re-enrol"
    await admin.refused("POST", path, {"public_key": DEVICE_KEY}, status=409, code="ALREADY_EXISTS")
    await admin.call("POST", "/devices/dev_1/revoke", {})
    await admin.refused("POST", path, {"public_key": NEW_KEY}, status=409, code="WRONG_STATE")


async def test_heartbeats_are_listed_newest_first(admin: Admin) -> None:
    async with admin.context.engine.begin() as connection:
        for number in range(3):
            values = {"d1": "dev_1", "received_ms": NOW_MS + number, "hb1": str(number)}
            await connection.execute(insert(heartbeats).values(**values))
    items = await admin.all_items("/devices/dev_1/heartbeats", 2)
    assert [item["tokens"] for item in items] == [{"HB1": "2"}, {"HB1": "1"}, {"HB1": "0"}]


async def test_an_entry_of_the_whitelist_is_made_changed_and_removed(admin: Admin) -> None:
    path = "/whitelist/dev_1"
    await admin.refused("GET", path, status=404, code="NOT_FOUND")
    await admin.refused("DELETE", path, status=404, code="NOT_FOUND")
    made = await admin.call("PUT", path, {"public_key": DEVICE_KEY, "note": "gate"})
    assert made == {
        "d1": "dev_1",
        "public_key": DEVICE_KEY,
        "note": "gate",
        "created": after(),
    }
    changed = await admin.call("PUT", path, {"public_key": NEW_KEY})
    assert (changed["public_key"], changed["note"]) == (NEW_KEY, None)
    assert await admin.call("GET", path) == changed
    await admin.call("DELETE", path, status=204)
    assert await admin.all_items("/whitelist", 10) == []


async def test_many_entries_are_stored_at_once_and_counted(admin: Admin) -> None:
    entries = [{"d1": f"dev_{number:04}", "public_key": DEVICE_KEY} for number in range(1200)]
    result = await admin.call("POST", "/whitelist/bulk", {"entries": entries})
    assert result == {"added": 1200, "changed": 0, "unchanged": 0}
    entries[0]["public_key"] = NEW_KEY
    entries.append({"d1": "dev_x", "public_key": DEVICE_KEY})
    result = await admin.call("POST", "/whitelist/bulk", {"entries": entries})
    assert result == {"added": 1, "changed": 1, "unchanged": 1199}
    assert len(await admin.all_items("/whitelist", 200)) == 1201


@pytest.mark.parametrize(
    "wrong",
    [
        {"d1": "dev 2", "public_key": DEVICE_KEY},
        {"d1": "dev_2", "public_key": DEVICE_KEY[:-2]},
        {"d1": "dev_2"},
        {"d1": "dev_1", "public_key": NEW_KEY},  # given twice
        {"d1": "dev_2", "public_key": DEVICE_KEY, "note": "x" * 401},
    ],
)
async def test_one_wrong_entry_refuses_them_all(admin: Admin, wrong: dict[str, str]) -> None:
    entries = [{"d1": "dev_1", "public_key": DEVICE_KEY}, wrong]
    await admin.refused("POST", "/whitelist/bulk", {"entries": entries}, status=422, code="INVALID")
    async with admin.context.engine.connect() as connection:
        assert (await connection.execute(select(whitelist))).all() == []


async def test_a_public_key_may_be_given_as_a_pem(admin: Admin) -> None:
    import base64

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(NEW_KEY))
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = {"public_key": base64.b64encode(pem).decode()}
    assert (await admin.call("PUT", "/whitelist/dev_1", body))["public_key"] == NEW_KEY


async def test_tokens_are_shown_once_and_stored_as_hashes(admin: Admin) -> None:
    made = await admin.call("POST", "/tokens", {"count": 3, "valid_hours": 24}, status=201)
    tokens = [item["token"] for item in made["tokens"]]
    assert len(set(tokens)) == 3
    assert all(len(token) == 32 for token in tokens)
    assert made["expires"] == after(1)
    listed = await admin.client.get("/api/admin/tokens")
    assert not any(token in listed.text for token in tokens)
    assert {item["id"] for item in listed.json()["items"]} == set(map(token_hash, tokens))
    async with admin.context.engine.connect() as connection:
        rows = (await connection.execute(select(otrts))).all()
    assert {row.hash for row in rows} == set(map(token_hash, tokens))
    assert all(row.expires_ms == NOW_MS + DAY_MS for row in rows)


async def test_a_token_can_be_bound_to_a_device(admin: Admin) -> None:
    await admin.call("POST", "/tokens", {"d1": "dev_1"}, status=201)
    (item,) = await admin.all_items("/tokens", 5)
    assert (item["d1"], item["expires"]) == ("dev_1", after(3))


async def test_an_unused_token_can_be_withdrawn_and_a_used_one_not(admin: Admin) -> None:
    made = await admin.call("POST", "/tokens", {"count": 2}, status=201)
    first, second = (item["id"] for item in made["tokens"])
    async with admin.context.engine.begin() as connection:
        await connection.execute(
            update(otrts).where(otrts.c.hash == second).values(used_ms=1, used_by="dev_1")
        )
    await admin.call("DELETE", f"/tokens/{first}", status=204)
    await admin.refused("DELETE", f"/tokens/{first}", status=404, code="NOT_FOUND")
    await admin.refused("DELETE", f"/tokens/{second}", status=404, code="NOT_FOUND")
    assert [item["used_by"] for item in await admin.all_items("/tokens", 5)] == ["dev_1"]


async def test_too_many_tokens_or_too_long_are_refused(admin: Admin) -> None:
    for body in ({"count": 0}, {"count": 1001}, {"valid_hours": 2161}, {"d1": "a/b"}):
        await admin.refused("POST", "/tokens", body, status=422, code="INVALID")


async def test_log_uploads_are_listed_and_read(admin: Admin) -> None:
    async with admin.context.engine.begin() as connection:
        for number in (1, 2):
            await connection.execute(
                insert(log_uploads).values(
                    id=number,
                    d1=f"dev_{number}",
                    log1=f"up{number}",
                    log2="INFO",
                    cmd1="c1",
                    received_ms=NOW_MS,
                )
            )
        for position in (1, 0):
            await connection.execute(
                insert(log_rows).values(
                    upload_id=1, position=position, log2="WARN", log3=f"line {position}"
                )
            )
    assert [item["id"] for item in await admin.all_items("/logs?cmd1=c1", 1)] == [2, 1]
    assert [item["id"] for item in await admin.all_items("/logs?d1=dev_1", 5)] == [1]
    upload = await admin.call("GET", "/logs/1")
    assert (upload["log1"], upload["received"]) == ("up1", after())
    assert [row["log3"] for row in upload["rows"]] == ["line 0", "line 1"]
    await admin.refused("GET", "/logs/3", status=404, code="NOT_FOUND")


async def test_update_reports_are_listed(admin: Admin) -> None:
    async with admin.context.engine.begin() as connection:
        await connection.execute(
            insert(firmware_acks).values(
                d1="dev_1", fw1="app-1", fw2="1.0.0", ack1="ERROR", ack2="x", received_ms=NOW_MS
            )
        )
    (report,) = await admin.all_items("/updates?fw1=app-1", 5)
    assert (report["d1"], report["ack1"], report["received"]) == ("dev_1", "ERROR", after())
    assert await admin.all_items("/updates?fw1=app-2", 5) == []


async def test_what_administrators_did_can_be_read_and_holds_no_token(admin: Admin) -> None:
    made = await admin.call("POST", "/tokens", {}, status=201)
    await admin.call("PUT", "/whitelist/dev_1", {"public_key": DEVICE_KEY})
    answer = await admin.client.get("/api/admin/actions")
    assert [item["action"] for item in answer.json()["items"]] == ["whitelist", "tokens"]
    assert made["tokens"][0]["token"] not in answer.text
    items = await admin.all_items("/actions?subject=dev_1", 5)
    assert [item["action"] for item in items] == ["whitelist"]


async def test_the_overview_counts_the_fleet(admin: Admin) -> None:
    await admin.add_device("dev_1", heartbeat_ms=NOW_MS - 179_000, fw2="1.0.0")
    await admin.add_device("dev_2", heartbeat_ms=NOW_MS - 181_000, fw2="1.0.0")
    await admin.add_device("dev_3", heartbeat_ms=NOW_MS - 181_000, rto_s=600)
    await admin.add_device("dev_4", heartbeat_ms=NOW_MS, state="revoked")
    async with admin.context.engine.begin() as connection:
        for seq, state in enumerate(("accepted", "accepted", "quarantine")):
            await connection.execute(
                insert(punches).values(
                    d1="dev_1", jid="0" * 16, seq=seq, state=state, received_ms=NOW_MS
                )
            )
    await admin.call("POST", "/devices/dev_1/commands", {"name": "RESTART"}, status=201)
    shown = await admin.call("GET", "/overview")
    assert shown["time"] == after()
    assert shown["devices"] == {"active": 3, "revoked": 1}
    assert shown["devices_online"] == 2
    assert shown["versions"] == {"1.0.0": 2}
    assert shown["commands"] == {"queued": 1}
    assert shown["punches"] == {"accepted": 2, "quarantine": 1}
    (key,) = shown["server_keys"]
    assert (key["seq"], key["kid"]) == (1, admin.context.keys.current.kid)


async def test_a_device_written_by_the_api_is_seen_by_the_device_api(admin: Admin) -> None:
    await admin.add_device("dev_1")
    found = await admin.context.devices.find("dev_1", "n" * 16)
    assert found.device is not None
    assert found.device.state == "active"
    await admin.call("POST", "/devices/dev_1/revoke", {})
    found = await admin.context.devices.find("dev_1", "n" * 16)
    assert found.device is not None
    assert found.device.state == "revoked"
    async with admin.context.engine.connect() as connection:
        assert (await connection.execute(select(devices.c.state))).scalars().all() == ["revoked"]

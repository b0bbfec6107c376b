"""TS, nonces and the fence: a request is good once, whatever clocks, restarts and backups do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ks_agent import timetext
from ks_server.db.schema import fence, nonces
from ks_server.housekeeping import Housekeeping
from ks_server.nonces import READY_BEHIND_MS
from tests.server.client import Device, Server, read, running_server

Start = Callable[..., running_server]


async def code_of(device: Device, message: dict[str, Any], op: str = "heartbeat") -> str:
    return read(await device.send(op, message)).code


@pytest.mark.parametrize(
    ("offset_s", "code"),
    [(-300, "ok"), (300, "ok"), (-300.001, "TIMESTAMP_INVALID"), (300.001, "TIMESTAMP_INVALID")],
)
async def test_a_request_is_fresh_within_300_s_either_way(
    server: Server, device: Device, offset_s: float, code: str
) -> None:
    ts = timetext.format_ms(server.clock() + int(offset_s * 1000))
    answer = await device.call("heartbeat", TS=ts)
    assert (answer.code, answer.signed) == (code, True)


@pytest.mark.parametrize("ts", ["2027-01-15T08:00:00Z", "2027-01-15T08:00:00.123456Z"])
async def test_a_time_may_have_no_fraction_or_six_digits_and_is_signed_as_written(
    device: Device, ts: str
) -> None:
    assert (await device.call("heartbeat", TS=ts)).code == "ok"


@pytest.mark.parametrize("year", ["1970", "2026", "2028", "9999"])
async def test_a_clock_that_is_years_wrong_is_told_the_time_in_a_signed_answer(
    server: Server, device: Device, year: str
) -> None:
    answer = await device.call("heartbeat", TS=f"{year}-01-01T00:00:00Z")
    assert (answer.status, answer.code, answer.signed) == (400, "TIMESTAMP_INVALID", True)
    assert answer.message["TS"] == timetext.format_ms(server.clock())


async def test_a_nonce_is_good_once_across_all_operations(device: Device) -> None:
    assert (await device.call("heartbeat", NONCE="n" * 16)).code == "ok"
    answer = await device.call("commands", NONCE="n" * 16)
    assert (answer.status, answer.code, answer.signed) == (403, "NONCE_REUSE", True)


async def test_two_devices_may_use_the_same_nonce(server: Server, device: Device) -> None:
    other = await server.registered(d1="dev_2", seed=b"2" * 32)
    assert (await device.call("heartbeat", NONCE="n" * 16)).code == "ok"
    assert (await other.call("heartbeat", NONCE="n" * 16)).code == "ok"


async def test_a_message_for_one_operation_is_no_good_for_another(device: Device) -> None:
    message = device.build("heartbeat")
    assert await code_of(device, message, "command-ack") == "MALFORMED"
    bare = device.build("heartbeat", OP=None)
    assert await code_of(device, bare, "command-ack") == "MALFORMED"


async def test_the_message_of_one_device_is_no_good_for_another(
    server: Server, device: Device
) -> None:
    await server.registered(d1="dev_2", seed=b"2" * 32)
    message = device.build("heartbeat") | {"D1": "dev_2"}
    assert await code_of(device, message) == "SIG_INVALID"


async def test_nonces_are_kept_as_long_as_their_ts_could_be_believed_and_then_forgotten(
    server: Server, device: Device
) -> None:
    ahead = device.build("heartbeat", TS=timetext.format_ms(server.clock() + 299_000))
    assert await code_of(device, ahead) == "ok"
    server.clock.pass_s(598)
    await device.call("heartbeat")
    await Housekeeping(server.context).clean()
    assert await code_of(device, ahead) == "NONCE_REUSE"
    server.clock.pass_s(3)
    await device.call("heartbeat")
    await Housekeeping(server.context).clean()
    assert await code_of(device, ahead) == "TIMESTAMP_INVALID"
    kept = [row["use"] for row in await server.rows(nonces)]
    assert f"dev_1/{ahead['NONCE']}" not in kept
    assert len(kept) == 2


async def test_a_request_dated_in_the_future_is_refused_now_and_when_its_time_has_come(
    server: Server, device: Device
) -> None:
    future = device.build("heartbeat", TS=timetext.format_ms(server.clock() + 86_400_000))
    assert await code_of(device, future) == "TIMESTAMP_INVALID"
    assert await code_of(device, future) == "TIMESTAMP_INVALID"
    server.clock.pass_s(86_400)
    await Housekeeping(server.context).clean()
    assert await code_of(device, future) == "NONCE_REUSE"


@pytest.mark.parametrize("op", ["heartbeat", "commands", "register"])
async def test_requests_dated_in_the_future_are_remembered_beyond_the_rate_limit_and_leave_it_alone(
    start: Start, op: str
) -> None:
    limits = {"rate_limit_heartbeats", "rate_limit_command_polls"}
    limits.add("rate_limit_repeated_registrations")
    async with start(**dict.fromkeys(limits, "2/hour")) as server:
        device = await server.registered()
        ts = timetext.format_ms(server.clock() + 86_400_000)
        future = [device.build(op, TS=ts) for _ in range(4)]
        for message in future:
            assert await code_of(device, message, op) == "TIMESTAMP_INVALID"
        assert (await device.call(op)).status == 200
        server.clock.pass_s(86_400)
        for message in future:
            assert await code_of(device, message, op) == "NONCE_REUSE"


async def test_a_stranger_with_a_date_in_the_future_is_not_remembered(server: Server) -> None:
    stranger = server.device(d1="stranger", seed=b"x" * 32)
    ts = timetext.format_ms(server.clock() + 86_400_000)
    assert (await stranger.call("register", TS=ts)).code == "TIMESTAMP_INVALID"
    assert [row for row in await server.rows(nonces) if "stranger" in row["use"]] == []


def _replace_database(data_folder: Path, fresh: Path) -> None:
    for path in data_folder.glob("server.sqlite3*"):
        path.unlink()
    shutil.copy(fresh, data_folder / "server.sqlite3")


async def test_a_fresh_database_beside_the_file_of_an_older_one_believes_nothing_from_before(
    start: Start, data_folder: Path, migrated_database: Path
) -> None:
    async with start() as server:
        device = await server.registered()
        message = device.build("heartbeat")
        assert await code_of(device, message) == "ok"
        server.clock.pass_s(10)
    _replace_database(data_folder, migrated_database)
    async with start() as server:
        await server.registered()
        assert await code_of(server.device(), message) == "TIMESTAMP_INVALID"
        assert (await server.device().call("heartbeat")).code == "ok"


async def test_a_replay_is_refused_after_a_restart(start: Start) -> None:
    async with start() as server:
        device = await server.registered()
        message = device.build("heartbeat")
        assert await code_of(device, message) == "ok"
    async with start() as server:
        assert await code_of(server.device(), message) == "NONCE_REUSE"
        assert (await server.device().call("heartbeat")).code == "ok"


async def test_a_time_that_passed_while_the_server_was_down_is_not_believed(
    start: Start,
) -> None:
    async with start() as server:
        device = await server.registered()
        server.clock.pass_s(100)
        never_arrived = device.build("heartbeat")
        server.clock.pass_s(100)
    async with start() as server:
        assert await code_of(server.device(), never_arrived) == "TIMESTAMP_INVALID"
        assert (await server.device().call("heartbeat")).code == "ok"


async def test_a_request_is_refused_when_a_backup_from_before_it_was_restored(
    start: Start, data_folder: Path, tmp_path: Path
) -> None:
    async with start() as server:
        await server.registered()
    shutil.copytree(data_folder, tmp_path / "backup")
    async with start() as server:
        server.clock.pass_s(10)
        slow = server.device().build("heartbeat", TS=timetext.format_ms(server.clock() - 60_000))
        exact = server.device().build("heartbeat")
        assert await code_of(server.device(), slow) == "ok"
        assert await code_of(server.device(), exact) == "ok"
        server.clock.pass_s(10)
    for name in ("server.sqlite3", "server.sqlite3-wal", "server.sqlite3-shm"):
        (data_folder / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup" / "server.sqlite3", data_folder / "server.sqlite3")
    async with start() as server:
        assert await code_of(server.device(), exact) == "TIMESTAMP_INVALID"
        assert await code_of(server.device(), slow) == "TIMESTAMP_INVALID"
        assert (await server.device().call("heartbeat")).code == "ok"


async def test_a_request_is_refused_when_the_whole_data_folder_was_restored(
    start: Start, data_folder: Path, tmp_path: Path
) -> None:
    async with start() as server:
        await server.registered()
    shutil.copytree(data_folder, tmp_path / "backup")
    async with start() as server:
        server.clock.pass_s(10)
        message = server.device().build("heartbeat")
        assert await code_of(server.device(), message) == "ok"
        server.clock.pass_s(10)
    shutil.rmtree(data_folder)
    shutil.copytree(tmp_path / "backup", data_folder)
    async with start() as server:
        assert await code_of(server.device(), message) == "TIMESTAMP_INVALID"


async def test_a_server_clock_that_went_back_neither_believes_old_requests_nor_is_ready(
    server: Server, device: Device
) -> None:
    old = device.build("heartbeat")
    assert await code_of(device, old) == "ok"
    server.clock.pass_s(1000)
    await device.call("heartbeat")
    await Housekeeping(server.context).clean()
    assert server.context.fence.behind_ms() == 0
    server.clock.pass_s(-1000)
    assert await code_of(device, old) == "TIMESTAMP_INVALID"
    assert server.context.fence.behind_ms() == 1_000_000 > READY_BEHIND_MS


async def test_the_highest_time_ever_survives_a_restart_with_a_clock_that_is_behind(
    start: Start,
) -> None:
    async with start() as server:
        device = await server.registered()
        old = device.build("heartbeat")
        assert await code_of(device, old) == "ok"
        server.clock.pass_s(1000)
        await device.call("heartbeat")
        await Housekeeping(server.context).clean()
        server.clock.pass_s(-1000)
    async with start() as server:
        assert await code_of(server.device(), old) == "TIMESTAMP_INVALID"
        assert server.context.fence.behind_ms() == 1_000_000
        assert (await server.rows(fence))[0]["mark_ms"] == server.clock() + 1_000_000


async def test_time_is_given_whatever_the_device_believes_and_the_answer_holds_nothing_else(
    server: Server, device: Device
) -> None:
    answer = await device.call("time", TS="1970-01-01T00:00:00Z")
    assert answer.status == 200
    assert set(answer.message) == {"D1", "NONCE", "TS", "OP", "RQ", "SIG_SERV"}
    assert answer.message["TS"] == timetext.format_ms(server.clock())


async def test_a_request_for_the_time_is_good_once(device: Device) -> None:
    message = device.build("time")
    assert read(await device.send("time", message)).status == 200
    assert await code_of(device, message, "time") == "NONCE_REUSE"
    assert (await device.call("time", SIG1="A" * 86 + "==")).code == "SIG_INVALID"

"""What was sent once is sent again: to the server, over its restarts, and to the terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ks_agent import signing
from ks_agent.effects import Response
from ks_server.db.schema import commands, nonces
from tests.attack.requests import OPS, prepare, request
from tests.attack.terminal import Terminal
from tests.attack.wire import Forward, always, message_of, op_of
from tests.attack.world import World, opened
from tests.server.client import SERVER_SEED, Clock, Device, public_text, read

pytestmark = pytest.mark.asyncio(loop_scope="session")

Start = Callable[..., opened]


def database(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("server.sqlite3*")}


def restore(folder: Path, backup: dict[str, bytes]) -> None:
    for name in database(folder):
        (folder / name).unlink()
    for name, data in backup.items():
        (folder / name).write_bytes(data)


async def code_of(device: Device, op: str, message: dict[str, Any]) -> str:
    return read(await device.send(op, message)).code


@pytest.mark.parametrize("op", OPS)
async def test_a_request_sent_again_in_either_syntax_is_refused_and_does_nothing(
    shared: World, device: Device, op: str
) -> None:
    cmd1 = await prepare(shared, device.d1)
    message = request(device, op, cmd1)
    first = await device.send(op, message)
    assert first.status_code == 200, first.text
    before = await shared.contents()
    for device.syntax in ("text/toon", "text/plain"):
        assert await code_of(device, op, message) == "NONCE_REUSE"
    assert await shared.contents() == before


async def test_a_request_that_was_refused_once_is_refused_again(
    shared: World, device: Device
) -> None:
    message = device.build("command-ack", CMD1="no-such-command", ACK1="OK")
    assert await code_of(device, "command-ack", message) == "NOT_FOUND"
    await shared.command("IDENTIFY", d1=device.d1, cmd1="no-such-command")
    assert await code_of(device, "command-ack", message) == "NONCE_REUSE"
    states = [row["state"] for row in await shared.rows(commands) if row["d1"] == device.d1]
    assert states == ["queued"]


async def test_the_nonce_of_one_request_is_no_good_for_another_one(device: Device) -> None:
    message = device.build("heartbeat")
    assert await code_of(device, "heartbeat", message) == "ok"
    for op in OPS:
        again = request(device, op, "c1", NONCE=message["NONCE"])
        assert await code_of(device, op, again) == "NONCE_REUSE", op


@pytest.mark.parametrize("pause_s", [0, 1, 200, 301, 86_400])
async def test_a_request_sent_again_after_a_restart_is_refused(start: Start, pause_s: int) -> None:
    async with start() as world:
        device = await world.registered()
        message = device.build("heartbeat")
        assert await code_of(device, "heartbeat", message) == "ok"
    device.clock.pass_s(pause_s)
    async with start() as world:
        device.http = world.http
        assert await code_of(device, "heartbeat", message) in ("NONCE_REUSE", "TIMESTAMP_INVALID")


@pytest.mark.parametrize("pause_s", [2, 120])
async def test_a_request_sent_again_after_a_backup_was_restored_is_refused(
    start: Start, data_folder: Path, pause_s: int
) -> None:
    async with start() as world:
        device = await world.registered()
    backup = database(data_folder)
    device.clock.pass_s(5)
    async with start() as world:
        device.http = world.http
        message = device.build("heartbeat")
        assert await code_of(device, "heartbeat", message) == "ok"
    restore(data_folder, backup)
    device.clock.pass_s(pause_s)
    async with start() as world:
        device.http = world.http
        assert message["NONCE"] not in str(await world.rows(nonces))
        assert await code_of(device, "heartbeat", message) == "TIMESTAMP_INVALID"
        fresh = device.build("heartbeat")
        assert await code_of(device, "heartbeat", fresh) == "ok", "it goes on with what is new"


async def test_two_copies_of_a_request_at_once_are_performed_once(device: Device) -> None:
    for op in ("heartbeat", "logs", "events"):
        message = request(device, op, "c1")
        answers = await asyncio.gather(*(device.send(op, message) for _ in range(8)))
        codes = sorted(read(answer).code for answer in answers)
        assert codes == ["NONCE_REUSE"] * 7 + ["ok"], op


@contextmanager
def process(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A real server process; what is left of it at the end is killed."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "KS_DATA": str(folder),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "SERVER_PRIVATE_KEY": signing.b64(SERVER_SEED),
        "REGISTRATION_MODE": "open",
    }
    running = subprocess.Popen(
        [sys.executable, "-m", "ks_server"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert running.stdout is not None
        for line in running.stdout:
            if b'"listening"' in line:
                break
        else:
            raise AssertionError("the server did not start")
        yield running
    finally:
        running.kill()
        running.communicate()


async def test_a_request_sent_again_to_a_server_that_was_killed_and_started_anew_is_refused(
    data_folder: Path, unused_tcp_port: int
) -> None:
    base = f"http://127.0.0.1:{unused_tcp_port}"
    async with httpx.AsyncClient() as http:
        device = Device(http, Clock(time.time_ns() // 1_000_000), base=base)
        with process(data_folder, unused_tcp_port) as running:
            assert (await device.call("register")).code == "registered"
            message = device.build("heartbeat")
            assert await code_of(device, "heartbeat", message) == "ok"
            running.send_signal(signal.SIGKILL)
            running.wait()
        with process(data_folder, unused_tcp_port):
            assert await code_of(device, "heartbeat", message) in (
                "NONCE_REUSE",
                "TIMESTAMP_INVALID",
            )
            device.clock.ms = time.time_ns() // 1_000_000 + 1500
            assert (await device.call("heartbeat")).code == "ok"


async def test_a_recorded_answer_is_not_believed_again(shared: World) -> None:
    terminal = await shared.living()
    recorded: dict[str, Response] = {}

    async def record(effect: Any, forward: Forward) -> Response:
        response = await forward(effect)
        recorded.setdefault(op_of(effect), response)
        return response

    async def replay(effect: Any, forward: Forward) -> Response:
        return recorded[op_of(effect)]

    await shared.command("IDENTIFY", d1=terminal.d1)
    terminal.wire.meddle = record
    await terminal.run(lambda: terminal.acknowledged() != {})
    await terminal.cycle()
    heard = terminal.events().count("heartbeat")
    terminal.wire.meddle = replay
    for _ in range(3):
        await terminal.cycle()
    assert terminal.events().count("heartbeat") == heard
    assert terminal.events().count("identify") == 1
    assert terminal.details("unbelievable")[-1]["code"] == "UNBOUND"
    terminal.wire.meddle = None
    await terminal.run(lambda: terminal.events().count("heartbeat") > heard)


async def test_a_recorded_registration_is_not_believed_by_the_next_owner_of_the_id(
    shared: World,
) -> None:
    terminal = await shared.terminal()
    terminal.boot()
    await terminal.run(lambda: len(terminal.wire.answered) == 1)
    successor = Terminal(shared.http, shared.clock, terminal.d1, terminal.seed)
    successor.rng.count = 50
    successor.boot()
    successor.wire.meddle = always(terminal.wire.answered[0])
    await successor.run(lambda: "unbelievable" in successor.events())
    assert successor.state == "UNREGISTERED"
    assert message_of(successor.wire.asked[0])["D3"] == public_text(terminal.seed)

"""The same server on PostgreSQL, where the machine has one (a cluster of its own is started)."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from ks_agent import signing
from ks_server.db.base import metadata  # fmt: skip
from ks_server.db.punch_schema import punches
from ks_server.db.schema import commands, devices, fence, heartbeats, log_rows, nonces, raw_messages
from ks_server.housekeeping import Housekeeping
from tests.server.client import CRYPTO, Clock, public_text, read, running_server

NEW = b"n" * 32


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of an empty database on a server that listens on a socket file only."""
    initdb = shutil.which("initdb")
    runuser = shutil.which("runuser")
    is_root = os.geteuid() == 0
    if initdb is None or (is_root and runuser is None):
        pytest.skip("no PostgreSQL on this machine")
    # PostgreSQL refuses to run as root
    prefix = [str(runuser), "-u", "nobody", "--"] if is_root else []
    made = subprocess.run(
        [*prefix, "mktemp", "-d"], check=True, capture_output=True, text=True, cwd="/"
    )
    folder = Path(made.stdout.strip())
    programs = Path(initdb).resolve().parent

    def run(*command: str) -> None:
        subprocess.run([*prefix, *command], check=True, capture_output=True, cwd="/")

    try:
        run(str(programs / "initdb"), "-D", f"{folder}/d", "-A", "trust", "-U", "ks", "-N")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        control = (str(programs / "pg_ctl"), "-D", f"{folder}/d", "-w", "-l", f"{folder}/log")
        run(*control, "-o", options, "start")
        try:
            yield f"postgresql://ks@/postgres?host={folder}"
        finally:
            run(*control, "-m", "immediate", "stop")
    finally:
        run("rm", "-rf", str(folder))


async def test_a_terminal_lives_on_postgresql_as_on_sqlite(postgres: str, tmp_path: Path) -> None:
    clock = Clock()
    async with running_server(tmp_path, clock, database_url=postgres) as server:
        device = await server.registered()
        assert (await device.call("register")).code == "registered"
        assert (await server.device(seed=b"x" * 32).call("register")).status == 409

        messages = [device.build("heartbeat", HB1="nul \x00 in it") for _ in range(20)]
        responses = await asyncio.gather(
            *(device.send("heartbeat", message) for message in [*messages, messages[4]])
        )
        codes = sorted(read(response).code for response in responses)
        assert codes == ["NONCE_REUSE"] + ["ok"] * 20
        assert len(await server.rows(heartbeats)) == 20
        assert len(await server.rows(nonces)) == 22

        cmd1 = await server.command("ROTATE_DEVICE_KEY", cmd4="HIGH")
        await server.command("IDENTIFY")
        assert (await device.call("heartbeat")).message["PENDING_CMDS"] == "2"
        answer = await device.call("commands")
        assert answer.message["CMD"][0]["CMD1"] == cmd1
        message = device.build("rotate-key", D3=public_text(NEW))
        signing.sign_message(CRYPTO, NEW, message, "SIG_NEW")
        assert read(await device.send("rotate-key", message)).code == "ok"
        device.seed = NEW
        assert (await device.call("command-ack", CMD1=cmd1, ACK1="OK")).code == "ok"
        assert (await device.call("command-ack", CMD1="none", ACK1="OK")).code == "NOT_FOUND"
        states = {row["cmd2"]: row["state"] for row in await server.rows(commands)}
        assert states == {"ROTATE_DEVICE_KEY": "done", "IDENTIFY": "delivered"}

        log = [{"LOG3": "nul \x00"}, {"LOG2": "INFO"}]
        for _ in range(2):
            answer = await device.call("logs", LOG1="up", LOG2="INFO", LOG=log)
            assert answer.code == "ok"
        assert len(await server.rows(log_rows)) == 2
        punch = {"A1": "a", "E1": "e", "A2": "IN", "A3": "2026-11-20T10:00:00Z", "SEQ": "7"}
        for result in ([], [{"A1": "a", "S1": "duplicate"}]):
            answer = await device.call("events", JID="0" * 16, SEQ_MIN="7", EVENT=[punch])
            assert (answer.message["ACK_SEQ"], answer.message["RESULT"]) == ("7", result)
        assert len(await server.rows(punches)) == 1

        await server.release("rel-2", "1.2.0", b"content")
        answer = await device.call("firmware/check", FW2="1.0.0")
        path = answer.message["FW3"].removeprefix("https://ks.example")
        assert (await server.http.get(path)).content == b"content"
        assert (await device.call("heartbeat", TS="2099-01-01T00:00:00Z")).status == 400
        kept = len(await server.rows(nonces))

    async with running_server(tmp_path, clock, database_url=postgres) as server:
        device = server.device(seed=NEW)
        assert read(await device.send("rotate-key", message)).code == "NONCE_REUSE"
        assert (await device.call("heartbeat")).code == "ok"
        clock.pass_s(700)
        assert (await device.call("heartbeat")).code == "ok"
        assert (await server.rows(fence))[0]["mark_ms"] == clock()
        await Housekeeping(server.context).clean()
        # the last heartbeat's, and the one from the future
        assert len(await server.rows(nonces)) == 2 < kept
        clock.pass_s(91 * 86_400)
        await Housekeeping(server.context).clean()
        assert await server.rows(raw_messages) == []
        assert (await server.rows(devices))[0]["public_key"] == public_text(NEW)

        def differences(connection: Connection) -> list[object]:
            found: list[object] = compare_metadata(MigrationContext.configure(connection), metadata)
            return found

        async with server.context.engine.connect() as connection:
            assert await connection.run_sync(differences) == []

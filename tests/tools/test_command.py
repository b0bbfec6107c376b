"""`ks command` and `ks release publish` against a real server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ks_simulator.admin import AdminApi, AdminError
from ks_simulator.application import build
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerProcess, server_settings
from ks_tools.cli import run
from ks_tools.command_command import _checked_text
from ks_tools.console import ToolError
from ks_tools.workspace import Workspace, read_seed
from tests.server.client import Clock, Device

FILES = {"main.py": b"def main(root, slot):\n    return None\n"}


class Desk:
    """A person's folder with keys, a server that runs, and a registered device."""

    def __init__(self, server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self._capsys = capsys

    async def ks(self, *arguments: str) -> tuple[int, str]:
        options = [*arguments, "--server", self.server.url]
        status = await asyncio.to_thread(run, options)
        captured = self._capsys.readouterr()
        return status, captured.out + captured.err

    async def json(self, *arguments: str) -> dict[str, Any]:
        status, shown = await self.ks(*arguments, "--json")
        assert status == 0, shown
        found: dict[str, Any] = json.loads(shown)
        return found


@pytest.fixture
async def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Desk]:
    monkeypatch.chdir(tmp_path)
    for name in ("KS_DATA", "KS_OFFLINE_KEYS"):
        monkeypatch.delenv(name, raising=False)
    workspace = Workspace()
    workspace.make_keys()
    admins = [read_seed(path) for path in workspace.admin_keys]
    keys = RoleKeys(
        read_seed(workspace.server_key), read_seed(workspace.release_key), (admins[0], admins[1])
    )
    server = ServerProcess(server_settings(tmp_path / "server", keys, REGISTRATION_MODE="open"))
    monkeypatch.setenv("ADMIN_TOKEN", server.admin_token)
    async with server.running():
        clock = Clock(time.time_ns() // 1_000_000)
        async with httpx.AsyncClient() as client:
            device = Device(client, clock, base=server.url, trusted_seed=keys.server)
            assert (await device.call("register")).code == "registered"
        yield Desk(server, capsys)


async def test_a_wipe_takes_two_administrators_and_each_step_names_the_next(desk: Desk) -> None:
    status, shown = await desk.ks("command", "send", "dev_1", "WIPE", "FORCE=true")
    assert status == 0
    cmd1 = shown.split()[0]
    assert f"next: ks command sign {cmd1} --key .ks-offline/admin-a.pem" in shown
    first = ("command", "sign", cmd1, "--key", ".ks-offline/admin-a.pem")
    status, shown = await desk.ks(*first)
    assert (status, "state    draft" in shown) == (0, True)
    assert f"next: ks command sign {cmd1} --key .ks-offline/admin-b.pem" in shown
    status, shown = await desk.ks(*first)
    assert (status, shown.count("\n"), "SAME_ADMIN" in shown) == (1, 1, True)
    second = ("command", "sign", cmd1, "--key", ".ks-offline/admin-b.pem")
    assert (await desk.json(*second))["state"] == "queued"
    status, shown = await desk.ks(*second)
    assert (status, "nothing to sign" in shown) == (1, True)
    assert len((await desk.json("command", "show", cmd1))["signed_by"]) == 2


async def test_another_command_is_queued_at_once(desk: Desk) -> None:
    shown = await desk.json("command", "send", "dev_1", "FETCH_LOGS", "LEVEL=INFO", "--days", "1")
    assert shown["state"] == "queued"
    assert shown["payload"] == {"LEVEL": "INFO"}


MISTAKES = (
    (["send", "dev_1", "DANCE"], "no command of this name"),
    (["send", "nobody", "IDENTIFY"], "no such device"),
    (["send", "../dev_1", "IDENTIFY"], "is no D1"),
    (["send", "dev_1", "FETCH_LOGS", "LEVEL"], "is no field"),
    (["send", "dev_1", "FETCH_LOGS", "LEVEL=LOUD"], "bad LEVEL"),
    (["show", "nothing"], "no such command"),
    (["show", "../devices"], "is no CMD1"),
    (["sign", "nothing", "--key", "nowhere.pem"], "nowhere.pem is not there"),
)


async def test_a_mistake_is_one_line(desk: Desk) -> None:
    for arguments, said in MISTAKES:  # one server is enough: none of them changes anything
        status, shown = await desk.ks("command", *arguments)
        assert (status, shown.count("\n"), said in shown) == (1, 1, True), (arguments, shown)


def test_a_text_that_is_not_what_was_shown_is_not_signed() -> None:
    drafted: dict[str, Any] = {
        "cmd1": "c", "name": "IDENTIFY", "payload": {}, "expires": None, "d1": "dev_1",
        "sign_text": "KS-ADMIN-1|CMD1:c|CMD2:WIPE|D1:dev_1",
    }  # fmt: skip
    with pytest.raises(ToolError, match="something else"):
        _checked_text(drafted)
    drafted["sign_text"] = "KS-ADMIN-1|CMD1:c|CMD2:IDENTIFY|D1:dev_1"
    assert _checked_text(drafted) == drafted["sign_text"]


async def test_a_release_whose_publication_broke_off_is_published_by_the_next_try(
    desk: Desk,
) -> None:
    seed = read_seed(Workspace().release_key)
    bundle = build(FILES, version="1.0.0", counter=1).signed(seed).assemble()
    other = build(FILES, version="1.0.1", counter=1, release_id="app-1.0.0").signed(seed)
    async with AdminApi.connect(desk.server.url, desk.server.admin_token) as api:
        fw1 = str((await api.upload(bundle))["fw1"])
        for _ in range(3):  # after the upload alone, and when all was done
            assert await api.publish(bundle) == fw1
            assert (await api.release(fw1))["state"] == "published"
        with pytest.raises(AdminError) as refused:
            await api.publish(other.assemble())
        assert refused.value.code == "ALREADY_EXISTS"
        await api.release_step(fw1, "revoke")
        with pytest.raises(AdminError) as refused:
            await api.publish(bundle)
        assert refused.value.code == "WRONG_STATE"

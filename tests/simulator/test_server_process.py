"""The server as a process: starts, says where it is, keeps its port, explains its failures."""

from pathlib import Path

import pytest

from ks_simulator.admin import AdminApi, AdminError, eventually
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerFailed, ServerProcess, server_settings


async def test_it_comes_back_on_the_same_port_with_the_same_data(tmp_path: Path) -> None:
    server = ServerProcess(server_settings(tmp_path, RoleKeys.make()))
    async with server.running():
        first = server.url
        async with AdminApi.connect(server.url, server.admin_token) as api:
            token = await api.make_token("dev_1")
            assert len(token) >= 32
        await server.kill()
        await server.start()
        assert server.url == first
        async with AdminApi.connect(server.url, server.admin_token) as api:
            assert len(await api.tokens()) == 1
        assert token not in "\n".join(server.output)


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    settings = server_settings(tmp_path, RoleKeys.make(), SERVER_PRIVATE_KEY="nonsense")
    with pytest.raises(ServerFailed, match="private key"):
        await ServerProcess(settings).start()


async def test_refusals_of_the_admin_api_have_their_code(tmp_path: Path) -> None:
    server = ServerProcess(server_settings(tmp_path, RoleKeys.make()))
    async with server.running():
        async with AdminApi.connect(server.url, "wrong") as api:
            with pytest.raises(AdminError) as refused:
                await api.overview()
            assert refused.value.code == "UNAUTHORIZED"
        async with AdminApi.connect(server.url, server.admin_token) as api:
            assert await api.device("nobody") is None
            with pytest.raises(AdminError) as refused:
                await api.upload(b"no bundle")
            assert refused.value.code == "INVALID"
    async with AdminApi.connect(server.url, server.admin_token) as api:
        with pytest.raises(AdminError) as refused:
            await api.overview()
        assert refused.value.code == "LINK"


async def test_waiting_for_what_never_holds_tells_the_last_answer() -> None:
    async def ask() -> str:
        return "not yet"

    with pytest.raises(TimeoutError, match="not yet"):
        await eventually(ask, lambda answer: answer == "now", 0.05, 0.01)

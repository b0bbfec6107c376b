"""Setup mode: another network is kept only when the server has answered over it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ks_agent.config_changes import TRIAL_PATH
from ks_agent.store import Store
from ks_board import setup_mode
from ks_board.setup_mode import SetupMode
from ks_board.setup_trial import NetworkTrial
from tests.serial.desk import FACTS, SESSION, Memory, answers, framed
from tests.serial.site import LABEL, NEW, Site, finished


def attempt(site: Site, name: str, password: str, limit_s: float = 3) -> NetworkTrial:
    site.limit_s = limit_s
    trial = site.trial()
    asyncio.run(trial.attempt(name, password))
    return trial


def test_a_network_over_which_the_server_answers_is_kept() -> None:
    site = Site("new")
    trial = attempt(site, *NEW)
    assert trial.kept
    assert site.network() == NEW
    assert not Store(site.terminal.fs).exists(TRIAL_PATH)
    assert "command-ack" not in site.terminal.server.ops()
    assert NEW[1] not in trial.text


def test_a_servers_signed_no_is_an_answer_too() -> None:
    site = Site("new")
    site.terminal.server.answers["heartbeat"] = {"ERR1": "REVOKED"}
    assert attempt(site, *NEW).kept
    assert site.network() == NEW


def test_a_network_without_the_server_is_not_kept() -> None:
    site = Site("old")
    trial = attempt(site, "nowhere", "12345678", 0.6)
    assert not trial.kept
    assert site.network() == ("old", "the old one")
    assert not Store(site.terminal.fs).exists(TRIAL_PATH)


def test_a_network_over_which_somebody_else_answers_is_not_kept() -> None:
    site = Site("new")
    site.terminal.server.seed = b"another server's private key ...."[:32]
    assert not attempt(site, *NEW, limit_s=0.6).kept
    assert site.network() == ("old", "the old one")


def test_an_open_network_does_not_keep_the_password_of_before() -> None:
    site = Site("cafe")
    assert attempt(site, "cafe", "").kept
    assert site.network() == ("cafe", "")


def test_a_power_cut_in_the_middle_leaves_the_network_of_before() -> None:
    site = Site()

    async def cut() -> None:
        trial = asyncio.ensure_future(site.trial().attempt(*NEW))
        while not Store(site.terminal.fs).exists(TRIAL_PATH):  # noqa: ASYNC110
            await asyncio.sleep(0)
        trial.cancel()
        await asyncio.wait([trial])

    asyncio.run(cut())
    site.reachable = {"old"}
    assert site.network() == ("old", "the old one")
    site.terminal.run(lambda: site.terminal.beats() > 0)
    assert not Store(site.terminal.fs).exists(TRIAL_PATH)


@pytest.mark.parametrize(("name", "password"), [("", "12345678"), ("x" * 33, ""), ("x", "short")])
def test_what_no_network_has_is_not_even_tried(name: str, password: str) -> None:
    site = Site("new")
    with pytest.raises(Exception, match="WIFI_"):
        attempt(site, name, password)
    assert site.network() == ("old", "the old one")


class Point:
    """An access point of this computer's own."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []
        self.is_open = False

    def open(self, name: str, password: str) -> str:
        self.opened.append((name, password))
        self.is_open = True
        return "127.0.0.1"

    def close(self) -> None:
        self.is_open = False


class Silence:
    """A serial line on which nothing comes."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    def write(self, data: bytes) -> None:
        raise AssertionError("nobody asked")


def run_mode(site: Site, stream: Any, point: Point, **more: Any) -> Awaitable[None]:
    mode: Any = SetupMode
    agent = site.terminal.agent
    done: Awaitable[None] = mode(agent.ports, FACTS, site.trial(), stream, point, **more).run()
    return done


def console(site: Site, *requests: dict[str, str]) -> list[dict[str, Any]]:
    """What the console of setup mode answers; then the mode is ended."""
    steps = [{"OP": "hello", "SESSION": SESSION}, *requests, {"OP": "restart"}]
    stream = Memory(*[framed({**step, "SEQ": str(seq)}) for seq, step in enumerate(steps, 1)])
    asyncio.run(finished(run_mode(site, stream, Point())))
    return answers(stream.written)


def test_the_serial_line_of_setup_mode_tells_little_and_sets_the_network() -> None:
    site = Site("new")
    fields = {"WIFI_SSID": NEW[0], "WIFI_PASSWORD": NEW[1]}
    hello, done, _ = console(site, {"OP": "setup", **fields})
    assert (hello["D1"], hello["STATE"], "PUB" in hello) == ("dev-1", "provisioned", False)
    assert (done["S1"], NEW[1] in str(done)) == ("ok", False)
    assert site.network() == NEW


@pytest.mark.parametrize("op", ["make_key", "inject_key", "prove", "write", "seal", "test", "nose"])
def test_everything_else_stays_closed(op: str) -> None:
    site = Site("new")
    values = dict(site.terminal.vault.values)
    fields = {"D1": "dev-1", "CHALLENGE": "ab" * 32, "FILE": "board", "BOARD": "x", "NAME": "flash"}
    refused = console(site, {"OP": op, **fields})[1]
    assert refused["ERR1"] == "SEALED"
    assert site.terminal.vault.values == values


def test_a_network_that_does_not_work_is_said_on_the_line() -> None:
    site = Site()
    site.limit_s = 0.6
    refused = console(site, {"OP": "setup", "WIFI_SSID": "x", "WIFI_PASSWORD": "12345678"})[1]
    assert refused["ERR1"] == "JOIN_FAILED"
    assert "12345678" not in str(refused)


async def http(port: int, text: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


def with_page(site: Site, free_port: int, work: Callable[[], Awaitable[None]]) -> Point:
    """Do `work` while setup mode is on."""
    point = Point()
    site.terminal.vault.values["setup"] = LABEL

    async def both() -> None:
        running = asyncio.ensure_future(run_mode(site, Silence(), point, port=free_port))
        counts: dict[str, int] = site.terminal.board.counts
        while "setup_mode" not in counts:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await work()
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(both())
    return point


@pytest.fixture
def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_person_joins_the_terminals_network_and_gives_it_another(free_port: int) -> None:
    site = Site("new")

    async def person() -> None:
        page = await http(free_port, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert page.startswith("HTTP/1.1 200 OK\r\n")
        assert "<h1>dev-1</h1>" in page
        token = page.split('name="token" value="')[1].split('"')[0]
        body = f"token={token}&ssid=new&password=the+new%20one"
        head = (
            "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        assert (await http(free_port, head + body)).startswith("HTTP/1.1 303 See Other\r\n")
        while "is kept" not in page:
            page = await http(free_port, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert "the new one" not in page
            await asyncio.sleep(0.01)

    point = with_page(site, free_port, person)
    assert point.opened == [("dev-1", LABEL.decode())]
    assert not point.is_open
    assert site.network() == NEW


def test_without_a_password_of_the_factorys_there_is_no_access_point() -> None:
    site, point = Site("new"), Point()
    asyncio.run(finished(run_mode(site, Silence(), point, lasts_s=0)))
    assert point.opened == []


def test_setup_mode_ends_by_itself() -> None:
    site, point = Site("new"), Point()
    site.terminal.vault.values["setup"] = LABEL
    asyncio.run(finished(run_mode(site, Silence(), point, lasts_s=1, port=0)))
    assert point.opened and not point.is_open
    assert setup_mode.LASTS_S == 600

"""Downloads: as many at once as may be, in turns, without the bundle in memory, and no longer than
somebody takes them."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from ks_server.db.schema import releases
from ks_server.device_api import device_app, wire
from ks_server.device_api.operations import firmware_download
from ks_server.downloads import BUSY_RTY_S, Busy, Downloads, Throttle
from tests.server.client import Device, Server, read, running_server

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with room for the downloads of one device."""
    async with running_server(tmp_path, downloads_at_once=1) as server:
        await server.release("rel-2", "1.2.0", CONTENT)
        yield server


async def path_of(device: Device) -> str:
    answer = await device.call("firmware/check", FW2="1.0.0")
    return str(answer.message["FW3"]).removeprefix("https://ks.example")


@dataclass
class Reader:
    """An HTTP client at the edge of the application: reads until `left` pieces have come, then
    nothing more, until it leaves."""

    server: Server
    path: str
    left: int = 1_000_000
    status: int = 0
    taken: int = 0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    leaves: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    asked: bool = False
    ended: bool = False

    async def run(self) -> None:
        parts = urlsplit(self.path)
        scope = {
            "type": "http",
            "method": "GET",
            "path": parts.path,
            "query_string": parts.query.encode(),
            "headers": [],
        }
        await device_app(self.server.context)(scope, self._receive, self._send)

    async def _receive(self) -> Any:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.taken += len(message["body"])
        self.ended = not message.get("more_body", False)
        self.left -= 1
        if not self.left:
            self.stopped.set()
            await self.goes_on.wait()


async def test_a_device_without_a_place_is_told_when_to_come_again(narrow: Server) -> None:
    first = await narrow.registered()
    second = await narrow.registered(d1="dev_2", seed=b"e" * 32)
    reader = Reader(narrow, await path_of(first), left=2)
    path = await path_of(second)
    under_way = asyncio.create_task(reader.run())
    await reader.stopped.wait()
    refused = await narrow.http.get(path)
    assert (refused.status_code, read(refused).code) == (429, "RATE_LIMIT")
    assert read(refused).message["RTY"] == str(BUSY_RTY_S) == refused.headers["retry-after"]
    signed = read(
        await second.send("firmware/download", second.build("firmware/download", FW1="rel-2"))
    )
    assert (signed.code, signed.signed) == ("RATE_LIMIT", True)
    # a lost connection of its own is nothing that a device has to wait for
    again = await narrow.http.get(reader.path, headers={"Range": "bytes=5-9"})
    assert (again.status_code, again.content) == (206, CONTENT[5:10])
    assert len(narrow.context.downloads) == 1
    reader.goes_on.set()
    await under_way
    assert (reader.status, reader.taken) == (200, len(CONTENT))
    assert len(narrow.context.downloads) == 0
    assert (await narrow.http.get(path)).content == CONTENT


async def test_nothing_is_read_any_more_for_a_client_that_has_left(narrow: Server) -> None:
    reader = Reader(narrow, await path_of(await narrow.registered()), left=1)
    under_way = asyncio.create_task(reader.run())
    await reader.stopped.wait()
    reader.leaves.set()
    reader.goes_on.set()
    await under_way
    assert reader.taken < len(CONTENT) / 2
    assert len(narrow.context.downloads) == 0


async def test_a_client_that_stops_reading_does_not_keep_its_place(
    narrow: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STALL_S", 0.01)
    reader = Reader(narrow, await path_of(await narrow.registered()), left=1)
    await reader.run()  # it never goes on
    assert len(narrow.context.downloads) == 0


async def test_a_download_under_way_breaks_off_when_its_release_is_revoked(
    narrow: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firmware_download, "LOOK_EVERY_S", 0.0)
    reader = Reader(narrow, await path_of(await narrow.registered()), left=1)
    under_way = asyncio.create_task(reader.run())
    await reader.stopped.wait()
    await narrow.execute(update(releases).values(state="revoked"))
    reader.goes_on.set()
    await under_way
    assert 0 < reader.taken < len(CONTENT)
    assert not reader.ended
    assert len(narrow.context.downloads) == 0


async def test_an_answer_without_the_bundle_takes_no_place(narrow: Server) -> None:
    device = await narrow.registered()
    path = await path_of(device)
    for header, status in (("If-None-Match", 304), ("Range", 416)):
        value = "*" if status == 304 else "bytes=99999999-"
        assert (await narrow.http.get(path, headers={header: value})).status_code == status
    (narrow.context.settings.firmware_folder / "rel-2").unlink()
    assert (await narrow.http.get(path)).status_code == 500
    assert len(narrow.context.downloads) == 0


async def test_a_large_bundle_never_lies_in_memory(tmp_path: Path) -> None:
    large = 100 * 1024 * 1024
    async with running_server(tmp_path) as server:
        await server.release("rel-2", "1.2.0", b"", fw5=large)
        with (server.context.settings.firmware_folder / "rel-2").open("wb") as file:
            file.truncate(large)
        reader = Reader(server, await path_of(await server.registered()))
        tracemalloc.start()
        try:
            await reader.run()
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert reader.taken == large
    assert peak < 2 * 1024 * 1024


async def test_a_paced_download_is_the_same_bytes(tmp_path: Path) -> None:
    async with running_server(tmp_path, download_bytes_per_s=10**9) as server:
        await server.release("rel-2", "1.2.0", CONTENT)
        path = await path_of(await server.registered())
        assert (await server.http.get(path)).content == CONTENT
        part = await server.http.get(path, headers={"Range": "bytes=100-70000"})
        assert part.content == CONTENT[100:70001]


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._waiting: list[tuple[float, int, asyncio.Event]] = []
        self._numbers = itertools.count()

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self._waiting.append((self.now_s + seconds, next(self._numbers), event))
        await event.wait()

    async def run(self, tasks: list[asyncio.Task[None]]) -> None:
        """Until all are done, as if in no time."""
        while not all(task.done() for task in tasks):
            for _ in range(10):
                await asyncio.sleep(0)
            if self._waiting:
                self._waiting.sort()
                self.now_s, _number, event = self._waiting.pop(0)
                event.set()


async def test_downloads_share_what_goes_out_per_second_in_turns() -> None:
    time = Time()
    downloads = Downloads(0, Throttle(1000, lambda: time.now_s, time.sleep))
    ended: dict[str, float] = {}

    async def take(name: str, d1: str, pieces: int) -> None:
        place = downloads.begin(d1)
        for _ in range(pieces):
            await place.take(100)
        place.leave()
        ended[name] = time.now_s

    tasks = [
        asyncio.create_task(take(*one))
        for one in (("a", "greedy", 40), ("b", "greedy", 40), ("c", "modest", 40))
    ]
    await time.run(tasks)
    # 120 pieces of 0.1 s: the modest one has every other of them, though others opened two
    assert ended["c"] == pytest.approx(8.0, abs=0.3)
    assert max(ended.values()) == pytest.approx(11.9, abs=0.1)
    assert len(downloads) == 0


async def test_without_a_limit_nobody_waits() -> None:
    time = Time()
    throttle = Throttle(0, lambda: time.now_s, time.sleep)
    for _ in range(100):
        await throttle.take(10**9)
    assert (time.now_s, throttle.limits) == (0, False)


async def test_time_in_which_nobody_downloads_is_not_saved_up() -> None:
    time = Time()
    throttle = Throttle(1000, lambda: time.now_s, time.sleep)
    time.now_s = 3600.0
    tasks = [asyncio.create_task(throttle.take(1000)) for _ in range(3)]
    await time.run(tasks)
    assert time.now_s == 3602.0


def test_a_place_is_left_once() -> None:
    downloads = Downloads(2, Throttle(0))
    places = [downloads.begin(d1) for d1 in ("a", "a", "b")]
    with pytest.raises(Busy):
        downloads.begin("c")
    places[0].leave()
    places[0].leave()
    assert len(downloads) == 2
    places[1].leave()
    assert downloads.may_begin("c")

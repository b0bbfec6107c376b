"""The office at a real server: tokens, the whitelist, and a server that is not there."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from ks_tools.factory.office import OnlineOffice
from ks_tools.factory.run import Verdict
from ks_tools.factory.store import now_ms
from ks_tools.workspace import Workspace

from .fake_unit import FakeUnit
from .line_support import World, a_line
from .station import Station, station

pytestmark = pytest.mark.usefixtures("no_waiting_for_readers")
HOURS = 5
HOUR_MS = 3_600_000


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Station]:
    Workspace(tmp_path / ".ks", tmp_path / ".ks-offline").make_keys()
    async with station(tmp_path) as made:
        yield made


async def plug(world: World, unit: FakeUnit) -> Verdict:
    return await asyncio.to_thread(world.plug, unit)


def online(world: World, site: Station, url: str = "", token: str = "") -> None:
    office = OnlineOffice(world.batch, token or site.server.admin_token)
    office._server = url or site.server.url
    world.line = replace(world.line, office=office)


async def test_a_token_is_bound_to_its_unit_and_kept_as_its_hash_everywhere(site: Station) -> None:
    server = {"url": site.server.url, "tokens": True, "token_hours": HOURS}
    with a_line(site.folder / "batch", server=server) as world:
        online(world, site)
        unit = world.unit()
        begun_ms = now_ms()
        assert await plug(world, unit) is Verdict.PASS
        token = unit.words["OTRT"]
        hashed = hashlib.sha256(token.encode()).hexdigest()
        (row,) = await site.api.tokens()
        record = world.record(unit)
        assert (row["id"], row["d1"]) == (hashed, "KS-0001")
        assert record.otrt_hash == hashed
        assert begun_ms <= int(record.otrt_expires_ms or 0) - HOURS * HOUR_MS <= now_ms()
        stored = [path for path in site.folder.rglob("*") if path.is_file()]
        assert len(stored) > 5
        for path in stored:
            assert token.encode() not in path.read_bytes(), path


async def test_a_second_try_leaves_one_good_token(site: Station) -> None:
    server = {"url": site.server.url, "tokens": True}
    with a_line(site.folder / "batch", server=server) as world:
        online(world, site)
        unit = world.unit()
        unit.faults["write trust"] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            await plug(world, unit)
        (first,) = await site.api.tokens()
        assert await plug(world, unit) is Verdict.PASS
        (second,) = await site.api.tokens()
        assert first["id"] != second["id"] == world.record(unit).otrt_hash


async def test_a_server_that_is_away_or_refuses_keeps_the_unit_waiting(site: Station) -> None:
    server = {"url": site.server.url, "tokens": True}
    with a_line(site.folder / "batch", server=server) as world:
        unit = world.unit()
        for url, token, said in (
            ("http://127.0.0.1:9", "", "does not answer"),
            ("", "another-token", "UNAUTHORIZED"),
        ):
            online(world, site, url, token)
            assert await plug(world, unit) is Verdict.WAIT
            assert said in world.said
            assert world.record(unit).step == "proven"
        online(world, site)
        assert await plug(world, unit) is Verdict.PASS
        assert unit.made == 1

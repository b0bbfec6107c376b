"""Sites, and which devices are of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .admin_support import Admin, after, open_admin

BERLIN = {"name": "Headquarters", "time_zone": "Europe/Berlin"}


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        yield opened


async def test_a_site_is_added_changed_and_shown(admin: Admin) -> None:
    expected = {
        **{"site": "hq", "name": "Headquarters", "time_zone": "Europe/Berlin"},
        **{"allow_list": False, "devices": 0, "created": after()},
    }
    assert await admin.call("PUT", "/sites/hq", BERLIN) == expected
    changed = {"name": "HQ", "time_zone": "Asia/Kathmandu", "allow_list": True}
    assert await admin.call("PUT", "/sites/hq", changed) == {**expected, **changed}
    assert await admin.call("GET", "/sites/hq") == {**expected, **changed}
    assert await admin.actions() == [("site", "hq")] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x"},
        {"name": "", "time_zone": "UTC"},
        {"name": "x" * 201, "time_zone": "UTC"},
        {"name": "x", "time_zone": "Europe/Atlantis"},
        {"name": "x", "time_zone": "../../etc/passwd"},
        {"name": "x", "time_zone": "/etc/localtime"},
        {"name": "x", "time_zone": "UTC\x00"},
        {"name": "x", "time_zone": ""},
        {"name": "x", "time_zone": "UTC", "address": "y"},
    ],
)
async def test_a_site_without_a_real_time_zone_is_refused(
    admin: Admin, wrong: dict[str, str]
) -> None:
    await admin.refused("PUT", "/sites/hq", wrong, status=422, code="INVALID")
    assert (await admin.call("GET", "/sites"))["items"] == []


async def test_sites_come_in_pages(admin: Admin) -> None:
    for number in range(5):
        await admin.call("PUT", f"/sites/s{number}", BERLIN)
    items = await admin.all_items("/sites", 2)
    assert [item["site"] for item in items] == [f"s{number}" for number in range(5)]


async def test_a_device_gets_a_site_and_loses_it(admin: Admin) -> None:
    await admin.add_device("dev_1")
    await admin.add_device("dev_2")
    await admin.call("PUT", "/sites/hq", BERLIN)
    shown = await admin.call("PUT", "/devices/dev_1/site", {"site": "hq"})
    assert (shown["d1"], shown["site"]) == ("dev_1", "hq")
    assert (await admin.call("GET", "/sites/hq"))["devices"] == 1
    found = await admin.call("GET", "/devices", params={"site": "hq"})
    assert [item["d1"] for item in found["items"]] == ["dev_1"]
    await admin.call("PUT", "/devices/dev_1/site", {"site": None})
    assert (await admin.call("GET", "/devices/dev_1"))["site"] is None
    assert await admin.actions() == [("site", "hq"), *[("device-site", "dev_1")] * 2]


async def test_what_is_not_there_is_not_found(admin: Admin) -> None:
    await admin.call("PUT", "/sites/hq", BERLIN)
    for method, path, body in (
        ("GET", "/sites/x", None),
        ("DELETE", "/sites/x", None),
        ("PUT", "/devices/dev_1/site", {"site": "hq"}),
    ):
        await admin.refused(method, path, body, status=404, code="NOT_FOUND")
    await admin.add_device("dev_1")
    unknown = {"site": "x"}
    await admin.refused("PUT", "/devices/dev_1/site", unknown, status=404, code="NOT_FOUND")


async def test_a_site_in_use_stays(admin: Admin) -> None:
    await admin.add_device("dev_1")
    await admin.call("PUT", "/sites/hq", BERLIN)
    await admin.call("PUT", "/devices/dev_1/site", {"site": "hq"})
    await admin.refused("DELETE", "/sites/hq", status=409, code="WRONG_STATE")
    await admin.call("PUT", "/devices/dev_1/site", {"site": None})
    await admin.call("DELETE", "/sites/hq", status=204)
    assert (await admin.call("GET", "/sites"))["items"] == []

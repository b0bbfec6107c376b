"""A rollout of a full image over terminals that are processes, with partitions in folders."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ks_driver import esp_image
from ks_simulator.admin import eventually
from ks_simulator.admin_rollouts import RolloutApi
from ks_simulator.application import IMAGE, IMAGE_FILE, Release, build, installed_files, paced
from ks_simulator.interpreters import cpython_command
from ks_simulator.keys import RoleKeys
from ks_simulator.process import ProcessTerminal
from ks_simulator.provision import provision_folder
from ks_simulator.server import ServerProcess, server_settings

PACE = 60.0
PATIENCE_S = 150.0
LOADS = ("6.3", "x64")
OLD, GOOD, BAD = "1.25.0", "1.26.0", "1.26.1"
# What such an image does: it starts, and is gone before anybody can mark it valid.
STARTED = b"ports.partition.images = images_of(ports.fs)"
GONE = STARTED + (
    b"\n        if ports.partition.images.image()[0] == '%s': raise SystemExit(1)" % BAD.encode()
)


class Scene:
    """The API, the keys, and terminals."""

    def __init__(self, folder: Path, server: ServerProcess, api: RolloutApi, keys: RoleKeys):
        self.api = api
        self._folder = folder
        self._server = server
        self._keys = keys
        self.lives: list[asyncio.Task[None]] = []

    async def terminal(self, d1: str) -> ProcessTerminal:
        """A terminal with the old image, heard by the server."""
        files = paced(installed_files(), PACE)
        [path] = [path for path in files if STARTED in files[path]]
        files[path] = files[path].replace(STARTED, GONE)
        release = build(files, version="1.0.0", counter=1).signed(self._keys.release)
        folder = self._folder / d1
        provision_folder(folder, d1, self._server.url, self._keys.trusted(), release)
        (folder / "images").mkdir()
        (folder / "images" / "ota_0.bin").write_bytes(esp_image.make(OLD, *LOADS))
        terminal = ProcessTerminal(d1, folder, cpython_command(), crash_pause_s=0.01)
        self.lives.append(asyncio.create_task(terminal.run()))
        await terminal.wait_for("heartbeat", PATIENCE_S)
        return terminal

    async def start(self, image: str) -> int:
        """A rollout of this image to everybody; its number."""
        release = self._release(image)
        fw1 = await self.api.store(release.assemble())
        form = {"fw1": fw1, "phases": [100], "soak_s": 0, "abort_min": 100}
        number = int((await self.api.create_rollout(form))["id"])
        await self.api.rollout_step(number, "start")
        return number

    def _release(self, image: str) -> Release:
        content = esp_image.make(image, *LOADS, content=b"x" * 9000)
        texts = dict(zip(("IMAGE", "MPY", "ARCH"), (image, *LOADS), strict=True))
        made = build(
            {IMAGE_FILE: content}, version="9.0." + image[-1], counter=1, kind=IMAGE,
            release_id="image-" + image, texts=texts,
        )  # fmt: skip
        return made.signed(self._keys.release)

    async def device(self, number: int, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The rollout's only device once this holds."""

        async def ask() -> dict[str, Any]:
            [found] = await self.api.rollout_devices(number)
            return found

        return await eventually(ask, holds, PATIENCE_S)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """A server for the length of a block."""
    keys = RoleKeys.make()
    settings = server_settings(
        folder / "server", keys, REGISTRATION_MODE="open", HEARTBEAT_RTO_S="10",
        RATE_LIMIT_FIRMWARE_CHECKS="", RATE_LIMIT_HEARTBEATS="",
    )  # fmt: skip
    server = ServerProcess(settings)
    async with server.running(), RolloutApi.connect(server.url, server.admin_token) as api:
        made = Scene(folder, server, api, keys)
        try:
            yield made
        finally:
            for life in made.lives:
                life.cancel()
            await asyncio.gather(*made.lives, return_exceptions=True)


async def test_an_image_that_is_confirmed_is_updated_and_one_that_does_not_come_up_rolled_back(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        terminal = await here.terminal("t-1")
        number = await here.start(GOOD)
        row = await here.device(number, lambda seen: bool(seen["state"] == "updated"))
        assert (row["detail"], row["failures"], row["fw2"]) == ("confirmed", 0, "1.0.0")
        assert (await here.api.rollout(number))["state"] == "done"
        assert [event.name for event in terminal.events if "image" in event.name] == [
            "image_staged", "image_trial", "image_confirmed",
        ]  # fmt: skip

        number = await here.start(BAD)
        row = await here.device(number, lambda seen: bool(seen["state"] == "rolled_back"))
        assert (row["failures"], row["detail"]) == (1, "ROLLED_BACK no try was marked valid")
        reports = [seen["ack2"] for seen in await here.api.updates("image-" + BAD)]
        assert sorted(reports) == [
            *["POSTPONED the old image runs again"] * 3, "ROLLED_BACK no try was marked valid",
        ]  # fmt: skip
        shown = [event.name for event in terminal.events if event.name.startswith("image_")]
        assert shown[3:] == ["image_staged", "image_postponed"] * 3 + [
            "image_staged", "image_rolled_back",
        ]  # fmt: skip
        view = await here.api.rollout(number)
        assert (view["state"], view["failure_share"]) == ("running", 100)

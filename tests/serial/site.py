"""A registered terminal whose site has got another Wi-Fi network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fakes import Server, Terminal

from ks_agent.effects import Fetch, Response
from ks_agent.ports import KEY
from ks_agent.store import Store
from ks_board.setup_agent import RoundTrip
from ks_board.setup_trial import NetworkTrial
from ks_driver.loop import drive

OLD = {"WIFI_SSID": "old", "WIFI_PASSWORD": "the old one"}
NEW = ("new", "the new one")
LABEL = b"label-4711"
SEED = bytes(range(32))


class Air:
    """The networks that there are, as the HTTP client of a terminal: `server` is behind some."""

    def __init__(self, terminal: Terminal, agent: Any, reachable: set[str]) -> None:
        self._server: Server = terminal.server
        self._agent = agent
        self._reachable = reachable

    async def request(self, fetch: Fetch) -> Response:
        await asyncio.sleep(0)
        if self._agent.config.get("WIFI_SSID") not in self._reachable:
            raise OSError(113, "no Wi-Fi")
        answer: Response = self._server.handle(fetch)
        return answer

    download = request


class Site:
    """A registered terminal whose site has got another network."""

    limit_s = 3.0

    def __init__(self, *reachable: str, is_new: bool = False) -> None:
        self.terminal = Terminal()
        self.terminal.boot()
        if is_new:  # as the factory left it: with a key, and nobody yet
            self.terminal.vault.set(KEY, SEED)
        else:
            self.terminal.run(lambda: self.terminal.heartbeats() > 0)
            config = {**self.terminal.agent.config.proven, **OLD}
            Store(self.terminal.fs).write("data/state/config.toon", config)
        self.reachable = set(reachable)

    def boot(self) -> Any:
        self.terminal.boot()
        return self.terminal.agent

    def trial(self) -> NetworkTrial:
        def make_life() -> tuple[Any, Callable[[Any], Awaitable[Any]]]:
            make: Any = RoundTrip
            asking = make(self.boot().ports, "1.2.3")
            air = Air(self.terminal, asking, self.reachable)
            return asking, lambda sleep: drive(asking.run(), air, None, sleep)

        made: NetworkTrial = NetworkTrial(make_life, self.limit_s)
        return made

    def network(self) -> tuple[str, str]:
        """What the next boot joins."""
        config = self.boot().config
        return config.get("WIFI_SSID"), config.get("WIFI_PASSWORD")


async def finished(work: Awaitable[Any], limit_s: float = 30) -> Any:
    return await asyncio.wait_for(work, limit_s)

"""A link that can fail, in front of one terminal's HTTP client."""

from __future__ import annotations

import asyncio
import errno
import random
from dataclasses import dataclass
from typing import Any, Protocol


class Client(Protocol):
    """What `ks_driver.http.HttpClient` offers to the drive loop."""

    async def request(self, fetch: Any) -> Any: ...
    async def download(self, download: Any) -> Any: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Faults:
    """How bad a network is: shares of the exchanges (0-1), and the longest delay of each."""

    lost_requests: float = 0.0
    lost_answers: float = 0.0
    delay_ms: int = 0


class FaultLink:
    """Passes exchanges on, unless the link is down or the dice say otherwise.

    What it loses is an OSError, as every failure of a link is. A lost answer is the interesting
    one: the server has done its part.
    """

    def __init__(
        self, client: Client, faults: Faults | None = None, dice: random.Random | None = None
    ) -> None:
        self._client = client
        self._faults = faults or Faults()
        self._dice = dice or random.Random(0)
        self.is_down = False
        self.failures = 0

    async def request(self, fetch: Any) -> Any:
        await self._before()
        return self._after(await self._client.request(fetch))

    async def download(self, download: Any) -> Any:
        await self._before()
        return self._after(await self._client.download(download))

    def close(self) -> None:
        self._client.close()

    def outage(self) -> None:
        """Take the link away until `restore`."""
        self.is_down = True
        self._client.close()

    def restore(self) -> None:
        self.is_down = False

    async def _before(self) -> None:
        if self._faults.delay_ms:
            await asyncio.sleep(self._dice.uniform(0, self._faults.delay_ms) / 1000)
        if self.is_down:
            self._fail(errno.ENETUNREACH, "the link is down")
        if self._faults.lost_requests and self._dice.random() < self._faults.lost_requests:
            self._fail(errno.ECONNRESET, "the request was lost")

    def _after(self, response: Any) -> Any:
        if self.is_down:
            self._fail(errno.ENETUNREACH, "the link went down")
        if self._faults.lost_answers and self._dice.random() < self._faults.lost_answers:
            self._fail(errno.ETIMEDOUT, "the answer was lost")
        return response

    def _fail(self, number: int, reason: str) -> None:
        self.failures += 1
        raise OSError(number, reason)

"""A client of the server's admin API, for tools, demo and tests."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self, TypeVar

import httpx

from ks_agent import bundle as releases

PREFIX = "/api/admin"
TIMEOUT_S = 15.0
POLL_S = 0.1
PAGE_MAX = 200

T = TypeVar("T")


class AdminError(Exception):
    """The admin API refused, or could not be reached; `code` is its stable code or `LINK`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class AdminApi:
    """Calls as methods; answers are JSON objects. Raises AdminError."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def connect(cls, server: str, token: str) -> AsyncIterator[Self]:
        """An API at the server's base URL."""
        headers = {"Authorization": f"Bearer {token}"}
        try:
            client = httpx.AsyncClient(
                base_url=server.rstrip("/"), headers=headers, timeout=TIMEOUT_S, trust_env=False
            )
        except httpx.InvalidURL as error:
            raise AdminError("LINK", f"{server} is no address of a server: {error}") from None
        async with client:
            yield cls(client)

    async def overview(self) -> dict[str, Any]:
        return await self._json("GET", "/overview")

    async def device(self, d1: str) -> dict[str, Any] | None:
        """The device, None while the server does not know it."""
        return await self._one(f"/devices/{d1}")

    async def devices(self) -> list[dict[str, Any]]:
        return await self._all("/devices")

    async def heartbeats(self, d1: str) -> list[dict[str, Any]]:
        """The newest page, newest first."""
        return await self._page(f"/devices/{d1}/heartbeats")

    async def whitelist(self, d1: str, public_key: str, note: str = "") -> None:
        """Let this device register with this key and no other."""
        form = {"public_key": public_key, "note": note or None}
        await self._json("PUT", f"/whitelist/{d1}", form)

    async def whitelist_many(self, keys: Mapping[str, str]) -> None:
        """The same for many: id to public key."""
        entries = [{"d1": d1, "public_key": key} for d1, key in keys.items()]
        for start in range(0, len(entries), 5000):
            await self._json("POST", "/whitelist/bulk", {"entries": entries[start : start + 5000]})

    async def re_enrol(self, d1: str, public_key: str) -> None:
        """Let this new key register under the id of a device that was repaired."""
        await self._json("POST", f"/devices/{d1}/re-enrol", {"public_key": public_key})

    async def make_token(self, d1: str, valid_hours: int = 72) -> str:
        """A one-time registration token for one device."""
        form = {"count": 1, "d1": d1, "valid_hours": valid_hours}
        made = await self._json("POST", "/tokens", form)
        return str(made["tokens"][0]["token"])

    async def delete_token(self, token_hash: str) -> None:
        """Make a token worthless; also when it is used or gone."""
        try:
            await self._json("DELETE", f"/tokens/{token_hash}")
        except AdminError as error:
            if error.code != "NOT_FOUND":
                raise

    async def tokens(self) -> list[dict[str, Any]]:
        """One-time tokens, without their text."""
        return await self._all("/tokens")

    async def command(
        self, d1: str, name: str, payload: Mapping[str, str] | None = None, expires: str = ""
    ) -> str:
        """Queue a command, or draft one that administrators must sign; gives its id.

        `expires` is a time in UTC; WIPE and REVOKE need one.
        """
        form: dict[str, Any] = {"name": name, "payload": dict(payload or {})}
        if expires:
            form["expires"] = expires
        return str((await self._json("POST", f"/devices/{d1}/commands", form))["cmd1"])

    async def show_command(self, cmd1: str) -> dict[str, Any]:
        return await self._json("GET", f"/commands/{cmd1}")

    async def sign_command(self, cmd1: str, signature: str) -> dict[str, Any]:
        """Add an administrator's signature over the draft's `sign_text`."""
        return await self._json("POST", f"/commands/{cmd1}/signatures", {"signature": signature})

    async def logs(self, cmd1: str) -> list[dict[str, Any]]:
        """Log uploads that a command caused."""
        return await self._page("/logs", cmd1=cmd1)

    async def updates(self, fw1: str) -> list[dict[str, Any]]:
        """Reports of a release's installation, newest first."""
        return await self._all("/updates", fw1=fw1)

    async def upload(self, bundle: bytes) -> dict[str, Any]:
        """Store a bundle as a draft; gives the release."""
        headers = {"Content-Type": "application/octet-stream"}
        return await self._json("POST", "/releases", content=bundle, headers=headers)

    async def release(self, fw1: str) -> dict[str, Any]:
        return await self._json("GET", f"/releases/{fw1}")

    async def release_step(self, fw1: str, step: str) -> dict[str, Any]:
        """`sign`, `publish` or `revoke` a release."""
        return await self._json("POST", f"/releases/{fw1}/{step}")

    async def store(self, bundle: bytes) -> str:
        """Upload and sign; gives FW1. What an earlier try has done is not in the way."""
        try:
            stored = await self.upload(bundle)
        except AdminError as error:
            if error.code != "ALREADY_EXISTS":
                raise
            length, _ = releases.parse_head(bundle[: releases.HEAD_BYTES])
            manifest = bundle[releases.HEAD_BYTES : releases.HEAD_BYTES + length]
            stored = await self.release(str(releases.parse_manifest(manifest)["FW1"]))
            if stored["fw4"] != hashlib.sha256(bundle).hexdigest():
                raise
        fw1 = str(stored["fw1"])
        if stored["state"] != "published":
            await self.release_step(fw1, "sign")
        return fw1

    async def publish(self, bundle: bytes) -> str:
        """The same, and offer it to all devices of its types; gives FW1."""
        fw1 = await self.store(bundle)
        await self.release_step(fw1, "publish")
        return fw1

    async def _one(self, path: str) -> dict[str, Any] | None:
        try:
            return await self._json("GET", path)
        except AdminError as error:
            if error.code == "NOT_FOUND":
                return None
            raise

    async def _page(self, path: str, **query: str) -> list[dict[str, Any]]:
        answer = await self._json("GET", path, params={**query, "limit": str(PAGE_MAX)})
        return list(answer["items"])

    async def _all(self, path: str, **query: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            parameters = {**query, "limit": str(PAGE_MAX)} | ({"after": after} if after else {})
            answer = await self._json("GET", path, params=parameters)
            items += answer["items"]
            after = answer["next"]
            if after is None:
                return items

    async def _json(
        self, method: str, path: str, form: Mapping[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        if form is not None:
            options["json"] = form
        answer = await self._ask(method, path, **options)
        if answer.is_success:
            return dict(answer.json()) if answer.content else {}
        raise refusal(answer)

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._link():
            return await self._client.request(method, PREFIX + path, **options)

    @contextmanager
    def _link(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise AdminError("LINK", f"{self._client.base_url} does not answer: {reason}") from None


def refusal(answer: httpx.Response) -> AdminError:
    """The error that an answer is."""
    try:
        error = answer.json()["error"]
        fields = [f"{item['field']} {item['reason']}" for item in error.get("fields", [])]
        return AdminError(str(error["code"]), "; ".join([str(error["message"]), *fields]))
    except (ValueError, KeyError, TypeError):
        return AdminError(f"HTTP_{answer.status_code}", "this is not the admin API's answer")


async def eventually(
    ask: Callable[[], Awaitable[T]],
    holds: Callable[[T], bool],
    timeout_s: float,
    poll_s: float = POLL_S,
) -> T:
    """Ask until the answer `holds`; raises TimeoutError with the last answer."""
    last: Any = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                last = await ask()
                if holds(last):
                    return last  # type: ignore[no-any-return]
                await asyncio.sleep(poll_s)
    except TimeoutError:
        raise TimeoutError(f"not in {timeout_s:g} s; last seen: {last!r}") from None

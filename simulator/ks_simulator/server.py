"""The reference server as a process of its own, for demo, fleets and tests."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from ks_server.keys import write_pem

from .children import bound_to_parent
from .keys import RoleKeys, public_text

START_LIMIT_S = 120  # one that ends is noticed at once: this is for a busy computer
STOP_LIMIT_S = 15
KEPT_LINES = 400
# What a child needs of our environment; settings are given, not inherited.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
UNLIMITED = (
    "HEARTBEATS",
    "FIRMWARE_CHECKS",
    "COMMAND_POLLS",
    "LOG_UPLOADS",
    "EVENT_BATCHES",
    "REGISTRATIONS",
    "REPEATED_REGISTRATIONS",
    "ACKNOWLEDGEMENTS",
    "DOWNLOADS",
    "ROTATIONS",
    "TIME",
    "SOURCE",
)


class ServerFailed(Exception):
    """The server did not start; the text holds what it said last."""


def server_settings(data: Path, keys: RoleKeys, **settings: str) -> dict[str, str]:
    """The environment of a server with these keys, without rate limits, and a new admin token.

    `settings` come on top, by their names in capitals.
    """
    return {
        "KS_DATA": str(data),
        "PORT": "0",
        "SERVER_PRIVATE_KEY": write_pem(keys.server).decode("ascii"),
        "RELEASE_PUBLIC_KEYS": public_text(keys.release),
        "ADMIN_PUBLIC_KEYS": ",".join(public_text(seed) for seed in keys.admins),
        "ADMIN_TOKEN": secrets.token_urlsafe(32),
        **{f"RATE_LIMIT_{name}": "" for name in UNLIMITED},
        **settings,
    }


class ServerProcess:
    """`python -m ks_server` with the given settings; its working folder is its data folder."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = dict(settings)
        self.url = ""
        self.port = 0
        self.output: deque[str] = deque(maxlen=KEPT_LINES)
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def admin_token(self) -> str:
        return self.settings["ADMIN_TOKEN"]

    @property
    def pid(self) -> int:
        """Its process id; only while it runs."""
        assert self._process is not None
        return self._process.pid

    def data_folder(self) -> Path:
        """Where it keeps everything; made when it is not there."""
        data = Path(self.settings["KS_DATA"]).resolve()
        data.mkdir(parents=True, exist_ok=True)
        return data

    async def start(self) -> None:
        """Start and wait until it listens; on the same port as before, if it ran before.

        Raises ServerFailed.
        """
        data = self.data_folder()
        settings = self.settings | {"KS_DATA": str(data)}
        if self.port:
            settings["PORT"] = str(self.port)
        listening: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ks_server",
            cwd=data,  # away from anybody's .env
            env={name: os.environ[name] for name in INHERITED if name in os.environ} | settings,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            limit=1024 * 1024,
            start_new_session=True,  # Ctrl-C is for us; we then stop it in good order
            preexec_fn=bound_to_parent(signal.SIGTERM),
        )
        self._reader = asyncio.create_task(self._read(self._process, listening))
        try:
            async with asyncio.timeout(START_LIMIT_S):
                self.url, self.port = await listening
        except TimeoutError:
            await self.kill()
            raise ServerFailed(f"no answer in {START_LIMIT_S} s: {self.last_words()}") from None
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Let requests in flight finish, then end."""
        await self._end(kill=False)

    async def kill(self) -> None:
        """End it at once, as a power cut does."""
        await self._end(kill=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ServerProcess]:
        """The server for the length of a block."""
        try:
            await self.start()
            yield self
        finally:
            await self.stop()

    def last_words(self) -> str:
        """The last lines of its log."""
        return "\n".join(list(self.output)[-12:])

    async def _end(self, kill: bool) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.kill() if kill else process.terminate()
            try:
                async with asyncio.timeout(STOP_LIMIT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader

    async def _read(self, process: Process, listening: asyncio.Future[tuple[str, int]]) -> None:
        while process.stderr and (line := await process.stderr.readline()):
            text = line.decode("utf-8", "replace").rstrip()
            self.output.append(text)
            found = None if listening.done() else _listening(text)
            if found:
                listening.set_result(found)
        if not listening.done():
            listening.set_exception(ServerFailed(self.last_words()))


def _listening(line: str) -> tuple[str, int] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("event") != "listening":
        return None
    return f"http://{entry['host']}:{entry['port']}", int(entry["port"])

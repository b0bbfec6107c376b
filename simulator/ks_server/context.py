"""What the parts of one server share, opened and closed as a whole.

    async with open_context(settings, hooks=hooks, metrics=metrics) as context:
        routes = device_routes(context)

Everything that asks for the time calls `context.now_ms()`, so that a test or a simulation can move
the clock. Every write goes through `context.writer` and is durable once awaited.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .crypto import NaclCrypto
from .db.engine import is_sqlite, open_engine, open_inline_engine, probe
from .db.migrate import upgrade
from .db.runner import InlineRunner, PoolRunner, Runner
from .db.schema import server_links
from .downloads import Downloads, Throttle
from .hooks import Hooks
from .housekeeping import Housekeeping
from .keys import Link, ServerKeys, configured_seeds, download_secret
from .limits import Limits
from .metrics import Metrics
from .nonces import Fence
from .repository.allow_list import AllowLists
from .repository.devices import DeviceReader
from .repository.releases import Catalogue
from .repository.rollout_commands import Commands
from .settings import DAY_MS, Settings
from .start import check_settings, explained
from .writer import Writer


@dataclass(frozen=True)
class Context:
    """One running server. `now_ms()` is the server's clock in Unix milliseconds."""

    settings: Settings
    engine: AsyncEngine
    writer: Writer
    fence: Fence
    keys: ServerKeys
    crypto: NaclCrypto
    limits: Limits
    hooks: Hooks
    metrics: Metrics
    devices: DeviceReader
    catalogue: Catalogue
    update_commands: Commands
    allow_lists: AllowLists
    download_secret: bytes
    downloads: Downloads
    now_ms: Callable[[], int]


def system_now_ms() -> int:
    """The computer's clock."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def open_context(
    settings: Settings,
    *,
    hooks: Hooks | None = None,
    metrics: Metrics | None = None,
    now_ms: Callable[[], int] = system_now_ms,
) -> AsyncIterator[Context]:
    """Open the database (migrated to its newest form), read the keys, start the writer.

    Leaving the context finishes what is queued and closes everything. Starting and stopping
    `hooks` stays with the caller. Raises keys.ConfigurationError.
    """
    metrics = metrics or Metrics()
    crypto = NaclCrypto()
    with explained(settings):
        check_settings(settings)
        engine = open_engine(settings.database)
        if is_sqlite(engine):
            probe(engine)
    try:
        with explained(settings):
            await upgrade(engine)
            async with engine.begin() as connection:
                keys = await _open_keys(connection, settings, crypto, now_ms())
                fence = await Fence.open(connection, settings.data, now_ms)
            fence.opened()
            secret = download_secret(settings)
        async with (
            _runners(engine) as (reading, writing),
            Writer.running(
                writing,
                PoolRunner(engine, writes=True),
                fence,
                metrics,
                settings.writer_batch_max,
                settings.writer_queue_max,
            ) as writer,
        ):
            devices = DeviceReader(reading, remembers=is_sqlite(engine))
            context = Context(
                settings=settings,
                engine=engine,
                writer=writer,
                fence=fence,
                keys=keys,
                crypto=crypto,
                limits=Limits(settings, now_ms),
                hooks=hooks or Hooks(settings),
                metrics=metrics,
                devices=devices,
                catalogue=Catalogue(engine, writer),
                update_commands=Commands(crypto, settings.command_expiry_days * DAY_MS),
                allow_lists=AllowLists(engine, now_ms),
                download_secret=secret,
                downloads=Downloads(
                    settings.downloads_at_once, Throttle(settings.download_bytes_per_s)
                ),
                now_ms=now_ms,
            )
            async with devices.running(), Housekeeping(context).running():
                yield context
    finally:
        await engine.dispose()


@asynccontextmanager
async def _runners(engine: AsyncEngine) -> AsyncIterator[tuple[Runner, Runner]]:
    """For what devices' requests read, and for what they write."""
    if not is_sqlite(engine):
        yield PoolRunner(engine), PoolRunner(engine)
        return
    inline_engine = open_inline_engine(engine)
    try:
        async with (
            InlineRunner.open(inline_engine, reads=True) as reading,
            InlineRunner.open(inline_engine, writes=True) as writing,
        ):
            yield reading, writing
    finally:
        inline_engine.dispose()


async def _open_keys(
    connection: AsyncConnection, settings: Settings, crypto: NaclCrypto, now_ms: int
) -> ServerKeys:
    rows = (await connection.execute(select(server_links))).all()
    stored = [Link(row.seq, row.public_key, row.sig or "", row.created_ms) for row in rows]
    keys = ServerKeys.build(
        crypto, configured_seeds(settings), stored, now_ms, settings.legacy_key_window_days
    )
    for link in keys.chain[len(stored) :]:
        await connection.execute(
            insert(server_links).values(
                seq=link.seq,
                public_key=link.key,
                sig=link.signature or None,
                created_ms=link.created_ms,
            )
        )
    return keys

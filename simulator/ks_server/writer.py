"""The one task that writes to the database: group commit.

Work that arrives while a transaction is being committed waits and then shares the next one, so
that a hundred heartbeats cost one flush to disk. Each piece of work has a SAVEPOINT of its own;
one that fails leaves the others alone. Whoever awaits is resumed only after the COMMIT.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from .db.runner import Runner, Work
from .log import get_logger
from .metrics import Metrics
from .nonces import Fence

Item = TypeVar("Item")
Result = TypeVar("Result")

Batch = Callable[[AsyncConnection, Sequence[Item]], Awaitable[Sequence[Result]]]
"""Does many items with few statements; either all of them or, by raising, none."""

log = get_logger("ks_server.writer")


class Unavailable(Exception):
    """Nothing was stored: the queue is full, the writer has stopped, or the database failed."""


@dataclass(slots=True)
class _Job:
    batch: Batch[Any, Any]
    item: Any
    done: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def resolve(self, error: Exception | None = None) -> None:
        error = error or self.error
        if self.done.done():  # its caller went away
            return
        if error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(error)


async def _anywhere(connection: AsyncConnection, items: Sequence[Work[Any]]) -> Sequence[Any]:
    return [await work(connection) for work in items]


async def _alone(connection: AsyncConnection, items: Sequence[Work[Any]]) -> Sequence[Any]:
    return [await work(connection) for work in items]


@dataclass
class Writer:
    """Make one with `Writer.running`. `changes` grows with each `run` that was committed;
    `is_failing`: the last transaction could not be committed."""

    direct: Runner
    anywhere: Runner
    fence: Fence
    metrics: Metrics
    batch_max: int
    queue: asyncio.Queue[_Job | None]
    changes: int = 0
    is_failing: bool = False
    _closed: bool = field(default=False, repr=False)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        direct: Runner,
        anywhere: Runner,
        fence: Fence,
        metrics: Metrics,
        batch_max: int,
        queue_max: int,
    ) -> AsyncIterator[Writer]:
        """A writer that works until the block ends, which first finishes what is queued.

        `direct` runs the work of devices' requests, `anywhere` all other.
        """
        writer = cls(direct, anywhere, fence, metrics, batch_max, asyncio.Queue(queue_max))
        task = asyncio.create_task(writer._serve(), name="database-writer")
        try:
            yield writer
        finally:
            writer._closed = True
            await writer.queue.put(None)
            await task

    async def run(self, work: Work[Result]) -> Result:
        """Do `work(connection)`, which may take long, in a transaction; returns its result once
        that is durable.

        What the work raises rolls back all of it and is raised here. Raises Unavailable. For
        changes that device requests may depend on (releases, devices, commands).
        """
        result: Result = await self._submit(_anywhere, work)
        self.changes += 1
        return result

    async def request(self, work: Work[Result]) -> Result:
        """`run` for the work of a device's request: small, and no cache depends on it."""
        result: Result = await self._submit(_alone, work)
        return result

    async def batched(self, batch: Batch[Item, Result], item: Item) -> Result:
        """Let `batch` do this item together with others of the same transaction."""
        result: Result = await self._submit(batch, item)
        return result

    async def _submit(self, batch: Batch[Any, Any], item: Any) -> Any:
        if self._closed:
            raise Unavailable("the server is stopping")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            self.queue.put_nowait(_Job(batch, item, done))
        except asyncio.QueueFull:
            raise Unavailable("too much is waiting to be written") from None
        return await done

    async def _serve(self) -> None:
        stopping = False
        while not stopping:
            first = await self.queue.get()
            jobs = [] if first is None else [first]
            stopping = first is None
            while not stopping and len(jobs) < self.batch_max and not self.queue.empty():
                job = self.queue.get_nowait()
                stopping = job is None
                if job is not None:
                    jobs.append(job)
            self.metrics.writer_queue.set(self.queue.qsize())
            await self._commit(self.anywhere, [job for job in jobs if job.batch is _anywhere])
            await self._commit(self.direct, [job for job in jobs if job.batch is not _anywhere])

    async def _commit(self, runner: Runner, jobs: list[_Job]) -> None:
        if not jobs:
            return
        self.metrics.writer_batch.observe(len(jobs))

        async def transaction(connection: AsyncConnection) -> int:
            async with connection.begin():
                marked_ms = await self.fence.write(connection)
                await _perform(connection, jobs)
            return marked_ms

        try:
            marked_ms = await runner.run(transaction)
        except Exception as error:  # the writer must outlive anything: everybody waits for it
            self.is_failing = True
            log.error(
                "transaction_failed",
                error=type(error).__name__,
                jobs=len(jobs),
                exc_info=None if isinstance(error, SQLAlchemyError | OSError) else error,
            )
            for job in jobs:
                job.resolve(Unavailable("the database failed"))
            return
        self.is_failing = False
        self.fence.written(marked_ms)
        for job in jobs:
            job.resolve()


async def _perform(connection: AsyncConnection, jobs: list[_Job]) -> None:
    groups: dict[Batch[Any, Any], list[_Job]] = {}
    for job in jobs:
        if job.batch in (_alone, _anywhere):
            await _attempt(connection, [job])
        else:
            groups.setdefault(job.batch, []).append(job)
    for group in groups.values():
        if not await _attempt(connection, group):
            for job in group:
                job.error = None
                await _attempt(connection, [job])


async def _attempt(connection: AsyncConnection, jobs: list[_Job]) -> bool:
    """Whether all of the jobs, which share a batch, were done; otherwise none was."""
    try:
        async with connection.begin_nested():
            results = await jobs[0].batch(connection, [job.item for job in jobs])
    except Exception as error:
        for job in jobs:
            job.error = error
        return False
    for job, result in zip(jobs, results, strict=True):
        job.result = result
    return True

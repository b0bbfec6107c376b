"""Recovery's serial line: another network may be what it needs.

It is listened to beside recovery's life, for as little memory as that takes. Once somebody speaks,
that life ends, as by a power cut, and the chip restarts when the conversation is over.
"""

import asyncio

from .serial_line import LineReader


async def heard(stream):
    """Come back when a whole message has come; never where the line has ended."""
    reader = LineReader()
    while True:
        data = await stream.read()
        if not data:
            await asyncio.Event().wait()
        if reader.feed(data):
            return


async def first(life, line):
    """What the task `life` gives, or None when the task `line` is done before. The other ends."""
    is_over = asyncio.Event()

    async def watch(task):
        try:
            await task
        except Exception:  # life's is raised below
            pass
        finally:
            is_over.set()

    watches = [asyncio.create_task(watch(task)) for task in (life, line)]
    try:
        await is_over.wait()
    finally:
        has_ended = life.done()
        for task in watches + [life, line]:
            task.cancel()
    return await life if has_ended else None

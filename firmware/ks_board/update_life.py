"""A terminal's life for an update alone, after one that had no memory for it.

What is attached to the board is not started, and takes nothing of the heap: no punches can be made
until the update restarts the chip, or is refused, or the time is over. One that finds no memory
here either is not tried again.
"""

import asyncio

from .terminal import Terminal

LASTS_S = 600


class UpdateLife(Terminal):
    def _start_features(self):
        self._agent.progress.has_all_room = True
        self._ports.board.unload(())
        self._tasks.append(asyncio.create_task(self._end()))

    async def _end(self):
        for _ in range(LASTS_S):
            await asyncio.sleep(1)
            if self._agent.progress.reported is not None:
                break
        self.stop("update over")


def live(ports, memory, slot):
    """A coroutine: see Terminal.run."""
    return UpdateLife(ports, memory).run()

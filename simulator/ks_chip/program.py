"""The program on the chip: MicroPython with device/start.py on the flash, as a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from ks_simulator.children import bound_to_parent

RESTART_STATUS: Final = 75  # machine.reset()
POWER_LOST_STATUS: Final = 77  # in the middle of a flash operation
# By that signal itself, or behind a shell that ran the interpreter.
WATCHDOG_STATUSES: Final = (-signal.SIGALRM, 128 + signal.SIGALRM)
PIECE_BYTES: Final = 4096
# What waits for a program that does not read its UART; more of it is lost.
INPUT_BYTES: Final = 64 * 1024

Said = Callable[["Program", bytes], Awaitable[None]]
Ended = Callable[["Program", int], None]


class Program:
    """One run, from a start of the chip to its next."""

    def __init__(self, process: Process, said: Said, ended: Ended) -> None:
        self._process = process
        self._said = said
        self._ended = ended
        self._is_killed = False
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], said: Said, ended: Ended
    ) -> Program:
        """Raises OSError where the interpreter cannot be run."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,  # Ctrl-C is for whoever runs the chip
            preexec_fn=bound_to_parent(signal.SIGKILL),
            env={**os.environ, **environment},
        )
        return cls(process, said, ended)

    def write(self, data: bytes) -> None:
        """Bytes to its UART."""
        pipe = self._process.stdin
        if pipe is None or pipe.is_closing() or not data:
            return
        if pipe.transport.get_write_buffer_size() + len(data) <= INPUT_BYTES:
            pipe.write(data)

    def interrupt(self) -> None:
        """What Ctrl-C does in MicroPython: KeyboardInterrupt."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    async def kill(self) -> None:
        """End it as a reset or a power cut does; nothing of it is heard any more."""
        self._is_killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._listening

    async def _listen(self) -> None:
        out = self._process.stdout
        while out is not None and (data := await out.read(PIECE_BYTES)):
            if not self._is_killed:
                await self._said(self, data)
        status = await self._process.wait()
        if not self._is_killed:
            self._ended(self, status)

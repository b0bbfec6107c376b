"""Terminals as processes of their own: `python3 DIR/boot.py DIR`, or a MicroPython interpreter.

A supervisor does what hardware does: it starts stage 0 again after a restart (exit status 75) and
after a crash, can cut the power (SIGKILL), and holds cards to the reader (lines on stdin).
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from ks_driver.host import escape

from .children import bound_to_parent
from .events import Event, parse_event
from .punching import CLOSED, UNHEARD, Answer, Answers, answered

RESTART_STATUS = 75
DORMANT_STATUS = 0
NO_SLOT_STATUS = 78
CRASH_PAUSE_S = 1.0
KEPT_LINES = 200
LINE_LIMIT_BYTES = 256 * 1024
HOLD_PAUSE_S = 0.2

READER = {"KS_READER": "stdin"}

Watcher = Callable[["ProcessTerminal", Event], None]
Listener = Callable[[str], None]


class ProcessTerminal:
    """A provisioned folder run by an interpreter.

    `command` is the interpreter with its options; `listener` hears the lines that are no events,
    a traceback for one. Events are the terminal's own, and from here
    `boot`, `crash`, `power` and `dead`.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str],
        watcher: Watcher | None = None,
        listener: Listener | None = None,
        crash_pause_s: float = CRASH_PAUSE_S,
    ) -> None:
        self.name = name
        self.folder = folder
        self.command = tuple(command)
        self.events: list[Event] = []
        self.output: deque[str] = deque(maxlen=KEPT_LINES)
        self.boots = 0
        self._watcher = watcher
        self._listener = listener
        self._crash_pause_s = crash_pause_s
        self._process: Process | None = None
        self._is_cut = False
        self._changed = asyncio.Event()
        self._answers = Answers()

    async def run(self) -> None:
        """Run until dormant, dead or cancelled. Cancelling cuts the power."""
        try:
            while await self._boot():
                pass
        finally:
            await self._end()

    async def wait_for(
        self,
        name: str,
        timeout_s: float,
        matches: Callable[[Event], bool] = lambda event: True,
        after: int = 0,
    ) -> Event:
        """The first event of that name from number `after` on that matches.

        Raises TimeoutError, which tells what was seen instead.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for event in self.events[after:]:
                        if event.name == name and matches(event):
                            return event
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.name} showed no {name}\n{self.story()}") from None

    def story(self) -> str:
        """The last lines that it printed."""
        return "\n".join(self.output)

    def power_cycle(self) -> None:
        """Cut the power; the next boot follows at once."""
        if self._process is not None and self._process.returncode is None:
            self._is_cut = True
            self._process.kill()

    def punch(self, credential: str, method: str = "RFID", key: str = "") -> asyncio.Future[Answer]:
        """Hold a credential to the reader; gives the answer to come.

        It is UNHEARD when the terminal has no power or loses it, or restarts, before it answers.
        """
        words = ["PUNCH", escape(credential), escape(method), escape(key)]
        if self.send(" ".join(words).rstrip(" ")):
            return self._answers.held(credential)
        return answered(Answer(credential, UNHEARD))

    async def hold(
        self, credential: str, method: str = "RFID", key: str = "", pause_s: float = HOLD_PAUSE_S
    ) -> list[Answer]:
        """Hold a credential to the reader as a person does, until it says something; all answers.

        While the terminal has no power, boots or restarts, there is none, or "closed".
        """
        answers = [await self.punch(credential, method, key)]
        while answers[-1].outcome in (UNHEARD, CLOSED):
            await asyncio.sleep(pause_s)
            answers.append(await self.punch(credential, method, key))
        return answers

    def send(self, line: str) -> bool:
        """A line to its stdin; False when it does not run."""
        process = self._process
        if process is None or process.returncode is not None or process.stdin is None:
            return False
        if self._is_cut or process.stdin.is_closing():
            return False
        process.stdin.write(line.encode() + b"\n")
        return True

    async def _boot(self) -> bool:
        self.boots += 1
        self._tell(Event("boot", {"BOOT": str(self.boots)}))
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            str(self.folder / "boot.py"),
            str(self.folder),
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            limit=LINE_LIMIT_BYTES,
            start_new_session=True,  # Ctrl-C is for the supervisor
            preexec_fn=bound_to_parent(signal.SIGKILL),
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"} | READER,
        )
        await self._listen(self._process)
        status = await self._process.wait()
        self._answers.silence()  # only now: until it has ended, it may be given cards
        return await self._after(status)

    async def _listen(self, process: Process) -> None:
        while process.stdout and (line := await process.stdout.readline()):
            text = line.decode("utf-8", "replace").rstrip()
            self.output.append(text)
            event = parse_event(text)
            if event is not None:
                self._tell(event)
            elif self._listener is not None:
                self._listener(text)

    async def _after(self, status: int) -> bool:
        if self._is_cut:
            self._is_cut = False
            self._tell(Event("power"))
            return True
        if status == RESTART_STATUS:
            return True
        if status == DORMANT_STATUS:
            return False
        if status == NO_SLOT_STATUS:
            self._tell(Event("dead"))
            return False
        last = self.output[-1] if self.output else ""
        self._tell(Event("crash", {"STATUS": str(status), "TEXT": last}))
        await asyncio.sleep(self._crash_pause_s)
        return True

    async def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self._answers.hear(event)
        self._changed.set()
        if self._watcher is not None:
            self._watcher(self, event)

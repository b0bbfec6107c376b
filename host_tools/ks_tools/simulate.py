"""`ks simulate`: one terminal as a process of its own, its life as lines."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import ToolError, rich_console, say, warn
from .keys_command import DataOption

if TYPE_CHECKING:
    from ks_simulator.events import Event
    from ks_simulator.process import ProcessTerminal

    from .workspace import Workspace

DEFAULT_SERVER = "http://127.0.0.1:8080"
LINE_LIMIT_BYTES = 1024
INTERPRETERS = ("cpython", "micropython", "micropython32")


def simulate(
    d1: Annotated[str, typer.Option(help="Device id.")] = "sim-1",
    server: Annotated[str, typer.Option(help="The server's address.")] = DEFAULT_SERVER,
    interpreter: Annotated[str, typer.Option(help=", ".join(INTERPRETERS) + ".")] = "cpython",
    folder: Annotated[
        Path | None,
        typer.Option(help="The terminal's flash.", show_default="DATA/terminals/D1"),
    ] = None,
    data: DataOption = None,
    seconds: Annotated[float, typer.Option(help="Stop after this time; 0 runs on.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Events as JSON lines.")] = False,
) -> None:
    """Run one terminal against a server. Its state stays in a folder: a second start is a reboot.

    A new terminal is provisioned first, and put on the server's whitelist where the admin token
    is at hand. Ctrl-C cuts its power.

    Its reader is stdin: each line is a card held to it, `CREDENTIAL [METHOD] [KEY]`, such as
    `04A1B2C3`, `1234 PIN` or `04A1B2C3 RFID IN`. Words are percent-escaped (%20 is a space).
    """
    from ks_server.lock import InUse, hold
    from ks_simulator.process import ProcessTerminal
    from ks_simulator.provision import FACTORY

    from .fleet_factory import trust_of
    from .workspace import Workspace

    _check_id(d1)
    workspace = Workspace.of(data)
    home = folder or workspace.data / "terminals" / d1
    command = interpreter_command(interpreter)
    trust_of(workspace)
    workspace.make_data_folder()
    try:
        with hold(home.with_name(home.name + ".lock")):
            is_reboot = (home / FACTORY).exists()
            micropython = None if interpreter == "cpython" else Path(command[0])
            public_key = provide(workspace, home, d1, server.rstrip("/"), micropython)
            show = _JsonLines() if as_json else _Lines()
            if is_reboot:
                show.line("a reboot: as after a power cut, the first call waits up to 30 s")
            terminal = ProcessTerminal(d1, home, command, show.event, show.line)
            asyncio.run(_simulate(workspace, server.rstrip("/"), terminal, public_key, seconds))
    except InUse:
        raise ToolError(f"the terminal in {home} runs already") from None


def _check_id(d1: str) -> None:
    from ks_agent import tokens
    from ks_agent.errors import Malformed

    try:
        tokens.check_value("D1", d1)
    except Malformed:
        raise ToolError(f"{d1!r} is no device id: [A-Za-z0-9._-]{{1,64}}") from None
    if not d1.strip("."):  # a good id, but as a folder's name it would be another one's
        raise ToolError(f"{d1!r} as a device id names no folder: give another --d1")


def interpreter_command(name: str) -> list[str]:
    """The command line of an interpreter up to the program. Raises ToolError."""
    from ks_simulator.interpreters import cpython_command, find_micropython, micropython_command

    if name == "cpython":
        return cpython_command()
    if name not in INTERPRETERS:
        raise ToolError(f"no interpreter {name!r}: one of {', '.join(INTERPRETERS)}")
    architecture = "i386" if name == "micropython32" else "amd64"
    program = find_micropython(architecture)
    if program is None:
        raise ToolError(
            "there is no MicroPython 1.24 or newer here; in the repository, get it with: "
            "make micropython"
        )
    return micropython_command(program, architecture)


async def _simulate(
    workspace: Workspace, server: str, terminal: ProcessTerminal, public_key: str, seconds: float
) -> None:
    from .fleet_factory import admit

    await admit(workspace, server, {terminal.name: public_key})
    cards = Cards(terminal)
    cards.start()
    try:
        async with asyncio.timeout(seconds or None):
            await terminal.run()
    except TimeoutError:
        return
    finally:
        cards.stop()


class Cards:
    """Our stdin as people who hold cards to the terminal; it may be closed, or end.

    Lines are read by a thread: files cannot be watched, and a terminal must stay blocking, since
    others write to it.
    """

    def __init__(self, terminal: ProcessTerminal) -> None:
        self._terminal = terminal
        self._loop = asyncio.get_running_loop()
        self._is_over = False

    def start(self) -> None:
        """Hold a card for each line from now on."""
        if sys.stdin is not None and _may_read(sys.stdin.fileno()):
            threading.Thread(target=self._read, args=(sys.stdin.fileno(),), daemon=True).start()

    def stop(self) -> None:
        """What comes later is for nobody."""
        self._is_over = True

    def _read(self, number: int) -> None:
        with os.fdopen(number, "rb", buffering=0, closefd=False) as lines:
            while not self._is_over and (line := lines.readline(LINE_LIMIT_BYTES)):
                with suppress(RuntimeError):  # the loop has ended meanwhile
                    self._loop.call_soon_threadsafe(self._hold, line)

    def _hold(self, line: bytes) -> None:
        words = line.decode("utf-8", "replace").split()
        if words and not self._is_over and not self._terminal.send("PUNCH " + " ".join(words)):
            warn("the terminal has no power")


def _may_read(number: int) -> bool:
    """Reading a terminal from the background would stop us."""
    try:
        return os.tcgetpgrp(number) == os.getpgrp()
    except OSError:  # no terminal
        return True


def provide(
    workspace: Workspace, home: Path, d1: str, server: str, micropython: Path | None = None
) -> str:
    """Provision the folder if it is new; gives the terminal's public key. Raises ToolError."""
    from ks_agent.ports import KEY
    from ks_driver.files import HostVault
    from ks_simulator.keys import SEED_BYTES, public_text
    from ks_simulator.provision import FACTORY, provision_folder

    from .fleet_factory import factory_release, trust_of

    vault = HostVault(str(home / "nvs"))
    if (home / FACTORY).exists():
        _check_provisioned(home, d1, server)
        seed = vault.get(KEY)
        if seed is None:
            raise ToolError(f"{home} holds a terminal without a key (wiped); remove the folder")
        return public_text(seed)
    release = factory_release(workspace, micropython)
    (home / "nvs").mkdir(mode=0o700, parents=True, exist_ok=True)
    seed = vault.get(KEY) or os.urandom(SEED_BYTES)
    vault.set(KEY, seed)
    provision_folder(home, d1, server, trust_of(workspace), release)
    return public_text(seed)


def _check_provisioned(home: Path, d1: str, server: str) -> None:
    from ks_agent import toon

    factory = toon.decode((home / "factory.toon").read_bytes(), 4096)
    for key, wanted, option in (("D1", d1, "--d1"), ("SERVER", server, "--server")):
        if factory.get(key) != wanted:
            raise ToolError(
                f"{home} was provisioned with {key} {factory.get(key)}: "
                f"give {option} {factory.get(key)}, or another --folder"
            )


class _Lines:
    """Events as sentences with the time, what else is printed below them."""

    def __init__(self) -> None:
        self._console = rich_console()

    def event(self, terminal: ProcessTerminal, event: Event) -> None:
        from ks_simulator.events import BAD, GOOD, sentence

        style = "green" if event.name in GOOD else "red" if event.name in BAD else ""
        self._console.print(
            f"{time.strftime('%H:%M:%S')}  {terminal.name}  {sentence(event)}",
            style=style,
            markup=False,
            soft_wrap=True,
        )

    def line(self, text: str) -> None:
        self._console.print(f"          | {text}", style="dim", markup=False, soft_wrap=True)


class _JsonLines:
    """The same for programs."""

    def event(self, terminal: ProcessTerminal, event: Event) -> None:
        entry = {"time": time.time(), "d1": terminal.name, "event": event.name}
        say(json.dumps({**entry, "detail": dict(event.detail)}))

    def line(self, text: str) -> None:
        say(json.dumps({"time": time.time(), "output": text}))

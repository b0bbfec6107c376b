"""`ks chip`: software ESP32s that the real esptool flashes, for developers without a board."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .boards import read_boards
from .console import EXIT_INTERRUPTED, ToolError, say

if TYPE_CHECKING:
    from ks_chip.chip import Chip, Setup
    from ks_chip.line import Line

MAC_HEX_DIGITS = 12
# What MicroPython has on a module with 4 MB of PSRAM.
PSRAM_HEAP = "heapsize=4m"

app = typer.Typer(
    help="Software ESP32s: a serial port, flash in a file, the real esptool.",
    no_args_is_help=True,
)


@app.command("run", short_help="Switch on software ESP32s.")
def run(
    flash: Annotated[Path, typer.Option(help="The flash's file; made, erased, where missing.")],
    board: Annotated[str, typer.Option(help="Which chip and flash; see ks boards.")] = (
        "esp32_generic"
    ),
    pty: Annotated[
        Path | None, typer.Option(help="Link to the serial port.", show_default="FLASH.pty")
    ] = None,
    tcp: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serial port over TCP instead: socket://...")
    ] = "",
    count: Annotated[
        int, typer.Option(min=1, max=64, help="As many chips: files, links, ports and MACs count.")
    ] = 1,
    mac: Annotated[
        str, typer.Option(help="MAC of the first.", show_default="from the file's path")
    ] = "",
    control: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for pins, radio and faults; 0: a free one.")
    ] = 0,
) -> int:
    """Switch on software ESP32s, until Ctrl-C.

    A chip lets esptool flash, read and verify it, boots what was flashed under MicroPython when
    the port is closed, and goes back to its loader when esptool asks. `ks chip tell` holds cards
    and buttons to it and makes it fail.
    """
    if pty is not None and tcp:
        raise typer.BadParameter("either a pty or TCP")
    from ks_chip.flash import WrongSize
    from ks_chip.rack import run_chips

    setups = _setups(board, flash, count, mac, control)
    lines = _lines(setups, pty, tcp)

    async def live() -> None:
        from ks_chip.chip import Chip

        chips = [Chip(setup, line) for setup, line in zip(setups, lines, strict=True)]
        await run_chips(chips, lambda: _tell_where(chips))

    try:
        asyncio.run(live())
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except WrongSize as error:
        raise ToolError(str(error)) from None
    return 0


@app.command("tell", short_help="Do something to a software ESP32.")
def tell(
    port: Annotated[int, typer.Argument(metavar="CONTROL", help="The control port it was given.")],
    words: Annotated[list[str], typer.Argument(metavar="COMMAND", help="As in: pin 4 0")],
) -> None:
    """Hold a pin, send to a UART, change the radio, or make it fail.

    Commands: pin N 0|1, uart N HEX, wifi SSID PASSWORD RSSI, reset, power on|off, unplug, plug,
    cut after N, noise EVERY, slow BYTES_A_SECOND, garbage N, state.
    """
    from ks_chip.client import Control
    from ks_chip.world import BadCommand

    try:
        with Control(port) as chip:
            answer = chip.ask(" ".join(words))
    except (BadCommand, ConnectionError, TimeoutError) as error:
        raise ToolError(str(error)) from None
    say(answer or "ok")


def _setups(board: str, flash: Path, count: int, mac: str, control: int) -> list[Setup]:
    from ks_chip.rack import NoInterpreter, mac_after, setup_of

    found = [one for one in read_boards() if one.name == board]
    if not found:
        raise ToolError(f"there is no board {board}; see: ks boards")
    first = _parsed_mac(mac)
    setups = []
    for number in range(count):
        path = _numbered(flash, number, count)
        try:
            setup = setup_of(
                found[0].chip, path, found[0].flash, first and mac_after(first, number)
            )
        except NoInterpreter as error:
            raise ToolError(str(error)) from None
        if found[0].psram:
            words = [PSRAM_HEAP if "heapsize=" in word else word for word in setup.command]
            setup = replace(setup, command=words)
        setups.append(replace(setup, control_port=control and control + number))
    return setups


def _lines(setups: list[Setup], pty: Path | None, tcp: str) -> list[Line]:
    from ks_chip.line import PtyLine, TcpLine

    if not tcp:
        return [
            PtyLine(_numbered(pty, number, len(setups)) if pty else setup.flash.with_suffix(".pty"))
            for number, setup in enumerate(setups)
        ]
    host, _, port = tcp.rpartition(":")
    if not host or not port.isdigit() or int(port) + len(setups) > 65536:
        raise typer.BadParameter(f"{tcp} is no HOST:PORT")
    return [TcpLine(host, int(port) and int(port) + number) for number, _ in enumerate(setups)]


def _numbered(path: Path, number: int, count: int) -> Path:
    """`path`; one of several has its number before the suffix."""
    return path if count == 1 else path.with_name(f"{path.stem}-{number + 1}{path.suffix}")


def _parsed_mac(text: str) -> bytes | None:
    if not text:
        return None
    digits = text.replace(":", "").replace("-", "")
    try:
        if len(digits) == MAC_HEX_DIGITS:
            return bytes.fromhex(digits)
    except ValueError:
        pass
    raise typer.BadParameter(f"{text} is no MAC")


def _tell_where(chips: list[Chip]) -> None:
    from ks_chip.rack import place_of

    for chip in chips:
        place = place_of(chip)
        say(f"{place.url}  {place.mac_text}  control {place.control_port}  flash {place.flash}")

"""`ks setup`: another Wi-Fi network for the terminal at a serial port."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import ToolError, say

if TYPE_CHECKING:
    from .device_link import Told

WAIT_S = 6.0


def setup(
    port: Annotated[str, typer.Argument(help="The serial port: /dev/ttyUSB0, COM3.")],
    ssid: Annotated[str, typer.Option("--ssid", help="The network's name.")] = "",
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            help="Its password, on the first line; - is stdin.",
            show_default="asked for",
        ),
    ] = None,
    is_open: Annotated[bool, typer.Option("--open", help="It has no password.")] = False,
) -> None:
    """Let a terminal in setup mode try a Wi-Fi network, and keep it if the server answers there.

    Setup mode: hold its button for five seconds, or while it starts. Without --ssid, only tell who
    is at the port.
    """
    from .device_link import DeviceLink, DeviceRefused, DeviceSilent

    password = _password(password_file, is_open) if ssid else ""
    with DeviceLink(port) as device:
        try:
            told = device.hello(WAIT_S)
        except DeviceSilent:
            raise ToolError(
                f"{port}: no terminal in setup mode; hold its button for five seconds, then again"
            ) from None
        say(_line(told))
        if not ssid:
            return
        if told.state != "provisioned":
            raise ToolError(
                f"{port}: not provisioned yet; the factory gives it its first network: "
                "ks factory run, or flash.sh"
            )
        say(f"trying {ssid}: up to two minutes")
        try:
            said = device.setup(ssid, password)
        except DeviceRefused as refused:
            raise ToolError(f"not kept: {refused.code} {refused.text}".rstrip()) from None
    say(f"kept: {said}" if said else "kept")


def _password(file: Path | None, is_open: bool) -> str:
    """Never an argument: every user of the machine sees those. Raises ToolError."""
    if is_open:
        return ""
    if file is None:
        return str(typer.prompt("Password", hide_input=True))
    try:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ToolError(f"{file} cannot be read") from None
    return text.split("\n")[0].removesuffix("\r")


def _line(told: Told) -> str:
    words = [told.d1 or "no id yet", told.board, told.mac, told.state]
    return "  ".join(word for word in words if word)

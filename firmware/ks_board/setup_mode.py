"""Setup mode: ten minutes in which a person at the terminal may give it another Wi-Fi network.

A boot of its own, asked for by holding the button: over the terminal's own network (WPA2, with the
password of its label) on one page, or over the serial line with `ks setup`. Punches wait until it
is over.
"""

import asyncio

from ks_agent.errors import Malformed
from ks_agent.ports import random_hex
from ks_driver.leaves import drop

from .console import Console
from .console_text import check_network
from .setup_desk import SetupDesk, d1_of

LASTS_S = 600
WATCHDOG_MS = 60000
# After a network was kept: for the person to read it.
LINGER_S = 8
HTTP_PORT = 80
CLIENT_S = 10
MAX_CLIENTS = 4
TOKEN_BYTES = 16
PAGE = ("setup_page",)
SSID_BYTES = 32
MAX_HEAD_BYTES = 3072
# There is no room for the page beside a try: whoever asks then is told to ask again.
TRYING = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n"
    b"Refresh: 3; url=/\r\nConnection: close\r\nContent-Length: 74\r\n\r\n"
    b"Trying. This may take a minute and a half. This page asks again by itself."
)


class SetupMode:
    """`stream`: the console's; `point`: see console_radio.AccessPoint; `trial`: a NetworkTrial."""

    def __init__(self, ports, facts, trial, stream, point, port=HTTP_PORT, lasts_s=LASTS_S):
        self._ports = ports
        self._trial = trial
        self._point = point
        self._port = port
        self._lasts_s = lasts_s
        self._d1 = d1_of(ports.fs)
        self._over = asyncio.Event()
        self._console = Console(stream, SetupDesk(facts, self._d1, trial))
        self._page = None
        self._clients = 0
        self._tries = []

    async def run(self):
        """Until a network is kept or the time is over."""
        tasks = [asyncio.create_task(self._serve_console()), asyncio.create_task(self._time())]
        server = None
        try:
            server = await self._open()
            await self._over.wait()
        finally:
            for task in tasks + self._tries:
                task.cancel()
            if server is not None:
                server.close()
            self._point.close()

    async def _serve_console(self):
        if await self._console.run() is not None:  # else the cable is gone
            self._over.set()

    async def _time(self):
        for _ in range(self._lasts_s):
            if self._trial.kept:
                await asyncio.sleep(LINGER_S)
                break
            await asyncio.sleep(1)
        self._over.set()

    async def _open(self):
        """The access point and its page. Without a password of the factory's there is none."""
        password = self._ports.vault.get("setup")
        show = self._ports.board.show
        if password is None:
            show("setup_mode", {"WIFI": "none"})
            return None
        name = self._d1[:SSID_BYTES]
        try:
            address = self._point.open(name, password.decode())
            token = random_hex(self._ports.rng, TOKEN_BYTES)
            self._page = (address, self._d1, token, self._trial, self._begin)
            server = await asyncio.start_server(self._client, address, self._port)
        except OSError as error:  # the serial line is still there
            show("setup_mode", {"WIFI": "failed", "ERROR": str(error.args[0])})
            return None
        show("setup_mode", {"WIFI": name, "PAGE": "http://%s/" % address})
        return server

    def _begin(self, name, password):
        """The page's: start a try. Raises ValueError."""
        try:
            check_network(name, password)
        except Malformed as error:
            raise ValueError(str(error))
        self._tries = [asyncio.create_task(self._trial.attempt(name, password))]

    async def _client(self, reader, writer):
        self._clients += 1
        try:
            if self._clients <= MAX_CLIENTS:
                await asyncio.wait_for(self._converse(reader, writer), CLIENT_S)
        except (OSError, asyncio.TimeoutError, EOFError, MemoryError):
            pass
        finally:
            self._clients -= 1
            drop("ks_board", PAGE)
            await _close(writer)

    async def _converse(self, reader, writer):
        head, rest = await read_head(reader)
        if not self._trial.is_trying():
            from .setup_page import answered

            answer = await answered(self._page, reader, head, rest)
        else:
            answer = TRYING
        writer.write(answer)
        await writer.drain()


async def _close(writer):
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass


async def read_head(reader):
    """(head, what of the body came with it). Raises EOFError. One that is too long has no end."""
    data = b""
    while True:
        piece = await reader.read(512)
        if not piece:
            raise EOFError()
        data += piece
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            return data[:end], data[end + 4 :]
        if len(data) > MAX_HEAD_BYTES:
            return data, b""


async def live(ports, memory, slot):
    """ "restart", always: with the new network, or with that of before."""
    import machine

    from .console_radio import AccessPoint
    from .console_stream import StdStream
    from .setup_life import maker
    from .setup_trial import NetworkTrial

    feeding = asyncio.create_task(_feed(machine.WDT(timeout=WATCHDOG_MS)))
    told = _facts(ports, machine.unique_id(), slot)
    ports.board.unload(())
    trial = NetworkTrial(maker(ports, memory, told.get("FW2", "")))
    try:
        await SetupMode(ports, told, trial, StdStream(), AccessPoint()).run()
    finally:
        feeding.cancel()
    return "restart"


def _facts(ports, mac, slot):
    """Apart: a name that lives on in `live` would keep the code that it is the name of."""
    from .board_record import read_board
    from .console_facts import facts

    return facts(ports.fs, mac, read_board(ports.fs), slot, ports.partition.stage0)


async def _feed(wdt):
    """What blocks everything ends in a reset; the watchdog of a terminal's tasks takes more."""
    while True:
        wdt.feed()
        await asyncio.sleep(1)

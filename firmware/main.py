"""An application slot's main.py on an ESP32. Stage 0 imports it and calls `main`.

Not run on a chip yet: it is checked against the port's stubs and under fakes. The watchdog, the
readers, the indicator and a partition of their own for the data come with the hardware.
"""

# ruff: noqa: E402 -- the order of imports is what makes them fit into the heap
import gc

GC_THRESHOLD_BYTES = 4096

gc.threshold(GC_THRESHOLD_BYTES)

from ks_crypto.port import Ed25519Crypto  # its tables, into a heap that is still in one piece

gc.collect()
from ks_agent.agent import Agent
from ks_agent.ports import Ports

gc.collect()
import asyncio

from ks_board import images
from ks_board.esp32_board import Esp32Board
from ks_board.vault import NvsVault
from ks_board.wifi import Credentials, RadioRng, Wifi, WifiHttp
from ks_driver.authority import Authority
from ks_driver.build import built_ms
from ks_driver.crash import record_crash
from ks_driver.files import HostFs
from ks_driver.host import TABLE_PATH, HostClock, HostPartition
from ks_driver.http import HttpClient
from ks_driver.loop import WakeableSleep, drive
from ks_driver.reader import Reader

gc.collect()


def build_ports(root, slot, stage0_version=1):
    fs = HostFs(root)
    vault = NvsVault()
    partition = HostPartition(slot, stage0_version)
    partition.images = images.find()
    return Ports(
        clock=HostClock(built_ms(fs, slot)),
        rng=RadioRng(),
        fs=fs,
        vault=vault,
        partition=partition,
        crypto=Ed25519Crypto(fs, TABLE_PATH),
        board=Esp32Board(vault),
    )


async def live(ports):
    """One life; the reason of the restart, or None for a dormant terminal."""
    credentials = Credentials(ports.vault)
    wifi = Wifi(credentials)  # before the agent, which may make its key: see Wifi
    agent = Agent(ports)
    credentials.config = agent.config
    http = HttpClient(Authority(ports.fs, lambda: agent.config.get("CA")))
    sleep = WakeableSleep()
    reader = Reader(agent.punches.take, ports.board.show, sleep.rouse, asyncio.ThreadSafeFlag())
    ports.board.attach(reader.put)
    reading = asyncio.create_task(reader.run())
    try:
        return await drive(agent.run(), WifiHttp(wifi, http, agent.clock.now_ms), ports.fs, sleep)
    finally:
        reading.cancel()


def main(root, slot, stage0_version=1):
    """Live until a restart ("restart") or until the terminal is dormant (None): boot.py resets the
    chip. A crash is recorded and raised.
    """
    ports = build_ports(root, slot, stage0_version)
    try:
        reason = asyncio.run(live(ports))
    except Exception as crash:
        record_crash(ports.fs, crash)
        raise
    if reason is None:
        ports.board.show("dormant", {})
        return None
    ports.board.show("restart", {"REASON": reason})
    return "restart"

"""Recovery's main.py on an ESP32: what boot.py starts when no slot is good.

The factory writes it, with all that it imports, into the folder `recovery`; no update touches it.
Not run on a chip yet: it is checked against the port's stubs and under fakes.
"""

# ruff: noqa: E402 -- the order of imports is what makes them fit into the heap
import gc

GC_THRESHOLD_BYTES = 4096

gc.threshold(GC_THRESHOLD_BYTES)

from ks_crypto.port import Ed25519Crypto  # its tables, into a heap that is still in one piece

gc.collect()
from ks_agent.ports import Ports
from ks_agent.recovery import Recovery

gc.collect()
import asyncio

from ks_board.esp32_board import Esp32Board
from ks_board.vault import NvsVault
from ks_board.wifi import Credentials, RadioRng, Wifi, WifiHttp
from ks_driver.authority import Authority
from ks_driver.files import HostFs
from ks_driver.host import TABLE_PATH, HostClock, HostPartition
from ks_driver.http import HttpClient
from ks_driver.loop import drive

gc.collect()


def build_ports(root, slot, stage0_version):
    fs = HostFs(root)
    vault = NvsVault()
    return Ports(
        clock=HostClock(0),
        rng=RadioRng(),
        fs=fs,
        vault=vault,
        partition=HostPartition(slot, stage0_version),
        crypto=Ed25519Crypto(fs, TABLE_PATH),
        board=Esp32Board(vault),
    )


async def live(ports):
    """Until a release is staged; the reason of the restart."""
    credentials = Credentials(ports.vault)
    wifi = Wifi(credentials)
    recovery = Recovery(ports)
    credentials.config = recovery.config
    http = HttpClient(Authority(ports.fs, lambda: recovery.config.get("CA")))
    return await drive(recovery.run(), WifiHttp(wifi, http, recovery.clock.now_ms))


def main(root, slot, stage0_version=1):
    """Live until a release is in a slot ("restart"); `slot` is "". boot.py resets the chip."""
    ports = build_ports(root, slot, stage0_version)
    ports.board.show("restart", {"REASON": asyncio.run(live(ports))})
    return "restart"

"""A terminal's console on its stdin and stdout, as on a chip; runs on MicroPython.

    micropython on_micropython.py FIRMWARE FOLDER

Exit status 75: it was sealed and restarts. One boot, files and vault in the folder.
"""

import asyncio
import sys

sys.path.insert(0, sys.argv[1])

from ks_agent.ports import Ports
from ks_board.console import Console
from ks_board.console_factory import FactoryDesk
from ks_board.console_facts import facts
from ks_board.console_stream import StdStream
from ks_board.console_tests import Tester
from ks_board.desk import Desk
from ks_crypto.port import Ed25519Crypto
from ks_driver.files import HostFs, HostVault
from ks_driver.host import TABLE_PATH, HostBoard, HostClock, HostPartition, HostRng

RESTART = 75


class Rng(HostRng):
    ready = False

    def is_ready(self) -> bool:
        return self.ready


class Radio:
    def __init__(self, rng: Rng) -> None:
        self._rng = rng

    def on(self) -> None:
        self._rng.ready = True

    async def rssi(self, name: str, password: str) -> int:
        await asyncio.sleep(0)
        return -40 - len(name) - len(password)


async def live(folder: str) -> str:
    fs, rng = HostFs(folder), Rng()
    crypto = Ed25519Crypto(fs, TABLE_PATH)
    vault = HostVault(folder + "/nvs")
    ports = Ports(HostClock(0), rng, fs, vault, HostPartition("a"), crypto, HostBoard())
    told = facts(fs, b"\x30\xae\xa4\x01\x02\x03", {"NAME": "ks_clock", "CHIP": "esp32"}, "a", 1)
    desk = FactoryDesk(ports, told, Tester(ports, Desk()), Radio(rng))
    print("not provisioned: the factory's console")
    reason = await Console(StdStream(), desk).run()
    print("leaving:", reason)
    return str(reason)


sys.exit(RESTART if asyncio.run(live(sys.argv[2])) == "restart" else 0)

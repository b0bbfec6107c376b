"""Setup mode with its page on a port of this computer's; runs on MicroPython.

micropython page_on_micropython.py FIRMWARE FOLDER PORT
"""

import asyncio
import sys

sys.path.insert(0, sys.argv[1])

from ks_agent.ports import Ports
from ks_board import setup_mode
from ks_crypto.port import Ed25519Crypto
from ks_driver.files import HostFs, HostVault
from ks_driver.host import TABLE_PATH, HostBoard, HostClock, HostPartition, HostRng

setup_mode.LINGER_S = 1
TRY_ROUNDS = 25


class Point:
    def open(self, name: str, password: str) -> str:
        print("opened", name, password)
        return "127.0.0.1"

    def close(self) -> None:
        print("closed")


class Silence:
    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""


class Trial:
    kept = False
    text = "nothing tried"
    _is_trying = False

    def is_trying(self) -> bool:
        return self._is_trying

    async def attempt(self, name: str, password: str) -> None:
        self._is_trying = True
        print("tries", name)
        for _ in range(TRY_ROUNDS):
            await asyncio.sleep(0.02)
        self._is_trying = False
        self.text = name + " is kept"
        self.kept = True


async def live(folder: str, port: int) -> None:
    fs, vault = HostFs(folder), HostVault(folder + "/nvs")
    vault.set("setup", b"label-4711")
    crypto = Ed25519Crypto(fs, TABLE_PATH)
    ports = Ports(HostClock(0), HostRng(), fs, vault, HostPartition("a"), crypto, HostBoard())
    mode = setup_mode.SetupMode(ports, {}, Trial(), Silence(), Point(), port=port)
    await mode.run()
    print("page loaded:", "ks_board.setup_page" in sys.modules)


asyncio.run(live(sys.argv[2], int(sys.argv[3])))

"""Recovery's main.py on an ESP32: what boot.py starts when no slot is good.

The factory writes it, with all that it imports, into the folder `recovery`; no update touches it.
"""

# ruff: noqa: E402 -- the order of imports is what makes them fit into the heap
import gc

GC_THRESHOLD_BYTES = 4096

gc.threshold(GC_THRESHOLD_BYTES)

from ks_crypto.port import Ed25519Crypto  # its tables, into a heap that is still in one piece

gc.collect()
from ks_agent.recovery import SELDOM, Recovery

gc.collect()
import asyncio

import machine

from ks_board.chip_ports import close_console, make_ports
from ks_board.console_stream import StdStream
from ks_board.memory import Memory
from ks_board.recovery_line import first, heard
from ks_board.watchdog import feed_for_ever
from ks_board.wifi import Credentials, Wifi, WifiHttp
from ks_driver.authority import Authority
from ks_driver.http import HttpClient
from ks_driver.loop import drive

gc.collect()


async def live(ports, memory):
    """Until a release is staged, or somebody has spoken over the serial line; the reason of the
    restart.
    """
    credentials = Credentials(ports.vault)
    wifi = Wifi(credentials)

    def make_life():
        recovery = Recovery(ports)
        credentials.config = recovery.config
        http = HttpClient(Authority(ports.fs, lambda: recovery.config.get("CA")))
        client = WifiHttp(wifi, http, recovery.clock.now_ms, memory.make_room)
        return recovery, lambda sleep: drive(recovery.run(), client, None, sleep)

    feeding = asyncio.create_task(feed_for_ever())
    stream = StdStream()
    try:
        life = asyncio.create_task(make_life()[1](asyncio.sleep))
        reason = await first(life, asyncio.create_task(heard(stream)))
        if reason is not None:
            return reason
        del life
        ports.board.unload(SELDOM)
        try:
            from ks_board.console_facts import facts
            from ks_board.recovery_talk import talk

            told = facts(ports.fs, machine.unique_id(), {}, "", ports.partition.stage0)
            await talk(ports, told, stream, make_life)
        except Exception as error:  # whatever it is: recovery must not end by it
            print("serial line:", type(error).__name__)
        return "serial line"
    finally:
        feeding.cancel()


def main(root, slot, stage0_version=1):
    """Live until a release is in a slot ("restart"); `slot` is "". boot.py resets the chip."""
    memory = Memory()
    ports = make_ports(root, slot, stage0_version, Ed25519Crypto, memory)
    close_console()
    ports.board.show("restart", {"REASON": asyncio.run(live(ports, memory))})
    return "restart"

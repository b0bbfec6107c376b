"""An application slot's main.py on a computer: CPython or MicroPython's unix port.

Stage 0 imports it from the slot and calls `main`. What the terminal does is printed,
one line an event: `EVENT name KEY=value ...`, see ks_driver.host.HostBoard. With KS_READER=stdin
in its environment, stdin is its reader, see ks_driver.punch_lines.
"""

# ruff: noqa: E402 -- the order of imports is what makes them fit into the heap of an ESP32
import gc

GC_THRESHOLD_BYTES = 4096

if hasattr(gc, "threshold"):
    gc.threshold(GC_THRESHOLD_BYTES)  # MicroPython: collect early, or the heap falls to pieces

from ks_crypto.port import Ed25519Crypto  # its tables, into a heap that is still in one piece

gc.collect()
from ks_agent.agent import Agent

gc.collect()
import asyncio
import os

from ks_driver.files import HostFs
from ks_driver.host import TABLE_PATH, build_ports
from ks_driver.http import HttpClient
from ks_driver.loop import WakeableSleep, drive

gc.collect()


async def live(ports):
    """One life; the reason of the restart, or None for a dormant terminal."""
    try:
        agent = Agent(ports)
    except Exception as crash:
        from ks_driver.crash import record_crash

        record_crash(ports.fs, crash)
        raise
    made = []

    def authority():
        if not made:  # without https its code is not loaded at all
            from ks_driver.authority import Authority

            made.append(Authority(ports.fs, lambda: agent.config.get("CA")))
        return made[0]()

    http = HttpClient(authority)
    sleep = WakeableSleep()
    readers = ()
    if os.getenv("KS_READER") == "stdin":
        from ks_driver.punch_lines import start

        readers = start(agent.punches.take, ports.board.show, sleep.rouse)
    try:
        return await drive(agent.run(), http, ports.fs, sleep)
    finally:
        for task in readers:
            task.cancel()
        http.close()


def main(root, slot, stage0_version=1, crypto=None):
    """Live in the folder `root` until the terminal restarts ("restart") or is dormant (None).

    `crypto` is the agent's port; without one it is Ed25519Crypto. A crash is recorded and raised.
    """
    crypto = crypto or Ed25519Crypto(HostFs(root), TABLE_PATH)
    ports = build_ports(root, slot, crypto, stage0=stage0_version)
    if ports.fs.is_dir("images"):  # partitions for full images
        from ks_driver.host_images import images_of

        ports.partition.images = images_of(ports.fs)
        del images_of
        ports.board.unload(())  # the bootloader's code
    reason = asyncio.run(live(ports))
    if reason is None:
        ports.board.show("dormant", {})
        return None
    ports.board.show("restart", {"REASON": reason})
    return "restart"

"""Recovery's main.py on a computer: what boot.py starts when no slot is good.

The factory writes it, with all that it imports, into the folder `recovery`; no update touches it.
"""

# ruff: noqa: E402 -- the order of imports is what makes them fit into the heap of an ESP32
import gc

GC_THRESHOLD_BYTES = 4096

if hasattr(gc, "threshold"):
    gc.threshold(GC_THRESHOLD_BYTES)

from ks_crypto.port import Ed25519Crypto  # its tables, into a heap that is still in one piece

gc.collect()
from ks_agent.recovery import Recovery

gc.collect()
import asyncio

from ks_driver.authority import Authority
from ks_driver.files import HostFs
from ks_driver.host import TABLE_PATH, build_ports
from ks_driver.http import HttpClient
from ks_driver.loop import drive

gc.collect()


async def live(ports):
    """Until a release is staged; the reason of the restart."""
    recovery = Recovery(ports)
    http = HttpClient(Authority(ports.fs, lambda: recovery.config.get("CA")))
    try:
        return await drive(recovery.run(), http)
    finally:
        http.close()


def main(root, slot, stage0_version=1, crypto=None):
    """Live in the folder `root` until a release is in a slot ("restart"); `slot` is "".

    Raises LocalError where the factory's keys are not there.
    """
    crypto = crypto or Ed25519Crypto(HostFs(root), TABLE_PATH)
    ports = build_ports(root, slot, crypto, stage0=stage0_version)
    reason = asyncio.run(live(ports))
    ports.board.show("restart", {"REASON": reason})
    return "restart"

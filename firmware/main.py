"""An application slot's main.py on an ESP32. Stage 0 imports it and calls `main`."""

# ruff: noqa: E402 -- the order of imports is what makes them fit into the heap
import gc

GC_THRESHOLD_BYTES = 4096

gc.threshold(GC_THRESHOLD_BYTES)

from ks_crypto.port import Ed25519Crypto  # its tables, into a heap that is still in one piece

gc.collect()
import asyncio

from ks_board import chip_ports, watchdog
from ks_board.memory import Memory

gc.collect()


def main(root, slot, stage0_version=1):
    """Live until a restart ("restart") or until the terminal is dormant (None): boot.py resets the
    chip. A crash is recorded and raised.
    """
    memory = Memory()
    ports = chip_ports.make_ports(root, slot, stage0_version, Ed25519Crypto, memory)
    mode = watchdog.settle(ports.fs)
    provisioned = chip_ports.is_provisioned(ports.fs)
    if provisioned:
        chip_ports.close_console()
    # One of them, and nothing of the others: there is no room.
    if not provisioned:
        from ks_board.console_life import live
    elif mode == "setup":
        from ks_board.setup_mode import live
    else:
        from ks_board.terminal import live
    gc.collect()
    reason = asyncio.run(live(ports, memory, slot))
    if reason is None:
        ports.board.show("dormant", {})
        return None
    if reason == "setup":
        watchdog.ask_for(reason)
    ports.board.show("restart", {"REASON": reason})
    return "restart"

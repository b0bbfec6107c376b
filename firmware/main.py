"""An application slot's main.py on an ESP32. Stage 0 imports it and calls `main`."""

# ruff: noqa: E402 -- the order of imports is what makes them fit into the heap
import gc

GC_THRESHOLD_BYTES = 4096

gc.threshold(GC_THRESHOLD_BYTES)

from ks_crypto.port import Ed25519Crypto  # its tables, into a heap that is still in one piece

gc.collect()
import asyncio

from ks_board.memory import Memory

gc.collect()


def begin(root, slot, stage0_version, memory):
    from ks_board.chip_ports import begin  # at the top it would stay, and it is needed once

    return begin(root, slot, stage0_version, Ed25519Crypto, memory)


def ask_for_next(reason):
    """What the next life is, where this one's end wants another than a terminal's."""
    from ks_agent.effects import NO_MEMORY

    mode = {"setup": "setup", NO_MEMORY: "update"}.get(reason)
    if mode is not None:
        from ks_board.reset_reason import ask_for

        ask_for(mode)


def life_of(mode):
    """Each import has a name of its own, so that a release can be linked."""
    if mode == "factory":
        from ks_board.console_life import live as console

        return console
    if mode == "setup":
        from ks_board.setup_mode import live as setup

        return setup
    if mode == "update":
        from ks_board.update_life import live as update

        return update
    from ks_board.terminal import live as terminal

    return terminal


def main(root, slot, stage0_version=1):
    """Live until a restart ("restart") or until the terminal is dormant (None): boot.py resets the
    chip. A crash is recorded and raised.
    """
    memory = Memory()
    ports, mode = begin(root, slot, stage0_version, memory)
    live = life_of(mode)
    ports.board.unload(())
    reason = asyncio.run(live(ports, memory, slot))
    if reason is None:
        ports.board.show("dormant", {})
        return None
    ask_for_next(reason)
    ports.board.show("restart", {"REASON": reason})
    return "restart"

"""Memory of a terminal on the 32-bit interpreter: what its objects take, as on the chip."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ks_agent.agent import SELDOM
from ks_simulator.application import build, installed_files
from ks_simulator.compiled import compiled_with_names
from ks_simulator.interpreters import find_micropython, micropython_command
from ks_simulator.keys import RoleKeys
from ks_simulator.provision import provision_folder

from .figure import Figure, Unavailable

# DESIGN.md, budgets: it runs in 128k on the 32-bit interpreter, which are 128,064 bytes
HEAP_BYTES = 128_064
LIMIT_S = 60
# What is alive after the boot, and with the code for commands, and for updates, in memory.
PROBE = """\
import gc, sys
sys.path.insert(0, "slot_a")
import main

def live(name):
    gc.collect()
    print("LIVE", name, gc.mem_alloc())

ports = main.build_ports(".", "a", main.Ed25519Crypto())
agent = main.Agent(ports)
life = agent.run()
life.send(None)
live("idle")
__import__(%r)
live("commands")
ports.board.unload(%r)
__import__(%r)
live("updates")
"""


def measure() -> Iterator[Figure]:
    """Bytes alive in the heap; everything else comes and goes within what is left."""
    program = find_micropython("i386")
    if program is None:
        raise Unavailable("no 32-bit MicroPython here: make micropython says why")
    keys = RoleKeys.make()
    with tempfile.TemporaryDirectory(prefix="ks-bench-device-") as name:
        folder = Path(name)
        made = compiled_with_names(installed_files(), architecture="x86")
        signed = build(made.files, version="1.0.0", counter=1).signed(keys.release)
        provision_folder(folder, "terminal-1", "http://localhost", keys.trusted(), signed)
        (folder / "probe.py").write_text(_probe(made.names["modules"]), encoding="utf-8")
        done = subprocess.run(
            [*micropython_command(program, "i386"), "probe.py"],
            cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    if done.returncode:
        raise Unavailable(f"the terminal did not boot: {done.stderr.strip()[-200:]}")
    for line in done.stdout.splitlines():
        if line.startswith("LIVE "):
            _, state, value = line.split()
            yield Figure.limited(f"device/heap/{state}", int(value), "bytes", HEAP_BYTES)


def _probe(modules: Mapping[str, str]) -> str:
    """`modules`: what each is called in the release; those that became parts of others are not."""
    commands, updates = modules["ks_agent.effectors"], modules["ks_agent.update"]
    seldom = [modules[name] for name in (f"ks_agent.{leaf}" for leaf in SELDOM) if name in modules]
    return PROBE % (commands, tuple(seldom), updates)

"""Whoever starts terminals and servers may be killed: none of them stays behind."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TERMINAL = """
import asyncio, sys
from pathlib import Path
from ks_simulator.process import ProcessTerminal

folder = Path(sys.argv[1])
(folder / "boot.py").write_text("import threading; threading.Event().wait()")
terminal = ProcessTerminal("dev", folder, [sys.executable, "-I", "-S"])

async def main():
    life = asyncio.create_task(terminal.run())
    while terminal._process is None:
        await asyncio.sleep(0)
    print(terminal._process.pid, flush=True)
    await life

asyncio.run(main())
"""
SERVER = """
import asyncio, sys
from pathlib import Path
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerProcess, server_settings

async def main():
    server = ServerProcess(server_settings(Path(sys.argv[1]), RoleKeys.make()))
    async with server.running():
        print(server.pid, flush=True)
        await asyncio.Event().wait()

{run}(main())
"""
PROGRAMS = {
    "a terminal": TERMINAL,
    "a server": SERVER.replace("{run}", "asyncio.run"),
    "a server, uvloop": "import uvloop\n" + SERVER.replace("{run}", "uvloop.run"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_child_ends_when_its_parent_is_killed(program: str, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent:
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            ended, _, _ = select.select([child], [], [], 30)
            assert ended, "it lives on"
        finally:
            if not select.select([child], [], [], 0)[0]:
                signal.pidfd_send_signal(child, signal.SIGKILL)
            os.close(child)

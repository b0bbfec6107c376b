"""What is frozen into an image of our own: `make -C ports/esp32 FROZEN_MANIFEST=.../manifest.py`.

Takes the place of MicroPython's ports/esp32/boards/manifest.py, whose start-up formats `vfs`; see
firmware/frozen/_boot.py. build/recovery is the folder `recovery` of an image for this chip.

A slot comes before what is frozen: an application whose slot holds its main.py alone runs the
agent that is frozen, and needs none of the heap for its code.
"""

# ruff: noqa: F821 -- MicroPython's tools/manifestfile.py defines the functions
# mypy: ignore-errors

freeze("$(PORT_DIR)/modules", ("flashbdev.py", "espnow.py"))
include("$(MPY_DIR)/extmod/asyncio")
require("ssl")
freeze("../firmware/frozen", "_boot.py")
freeze("../firmware/ks_board", "volumes.py")
freeze("../firmware", ("boot.py", "stage0.py"))
freeze("../build/recovery")
for name in ("ks_agent", "ks_crypto", "ks_driver", "ks_board"):
    package(name, base_path="../firmware")

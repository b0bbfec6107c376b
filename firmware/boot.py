"""Starts the terminal: stage 0 picks the slot, then the slot's application lives one life.

    micropython boot.py FOLDER      or      python3 boot.py FOLDER      (without FOLDER: ".")

The exit status says what the caller does next. 75: start it again, as it asked; 0: it is dormant;
78: no slot can be started; other: it crashed, start it again (a try). Never updated over the air.
"""

import sys

RESTART = 75
NO_SLOT = 78

root = sys.argv[1] if len(sys.argv) > 1 else "."
sys.path.insert(0, "".join(sys.argv[:1]).rpartition("/")[0] or ".")
import stage0  # noqa: E402 -- it lies beside this file, where not every interpreter looks

slot = stage0.enter(root)
if slot is None:
    sys.exit(NO_SLOT)
# The application needs the room: stage 0 has done its work.
del stage0, sys.modules["stage0"]
import main  # noqa: E402 -- the slot's

sys.exit(RESTART if main.main(".", slot) == "restart" else 0)

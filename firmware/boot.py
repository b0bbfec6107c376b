"""Starts the terminal in the FOLDER that is named, else here: `micropython boot.py FOLDER`.

This and stage0.py are never updated over the air. The exit status says what the caller does next.
75: start it again; 0: it is dormant; 78: nothing can be started; other: it crashed, start it again.
"""

import sys

sys.path.insert(0, "".join(sys.argv[:1]).rpartition("/")[0] or ".")
try:
    leave = __import__("volumes").start()  # is on chips alone, see ks_board.volumes
except ImportError:
    leave = sys.exit
# Within functions, and cleared: what points at it would keep it where the application needs room.
slot, version = (lambda: __import__("stage0").enter())()  # noqa: PLC3002
(lambda: sys.modules.pop("stage0").__dict__.clear())()  # noqa: PLC3002, PLW0108
try:
    import main  # the slot's, or recovery's

    outcome = main.main(".", slot, version)
except BaseException as crash:
    outcome = crash
main, sys.path[0] = None, "."
if hasattr(sys, "print_exception"):
    sys.modules.clear()  # MicroPython: now stage 0 needs the room
try:
    leave(__import__("stage0").status(slot, outcome))
except MemoryError:  # a chip goes to its prompt after this file
    leave(1)

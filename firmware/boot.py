"""Starts the terminal in the FOLDER that is named, else here: `micropython boot.py FOLDER`.

This and stage0.py are never updated over the air. The exit status says what the caller does next.
75: start it again; 0: it is dormant; 78: nothing can be started; other: it crashed, start it again.
"""

import hashlib
import os
import sys

RESTART, DORMANT, NOTHING, CRASHED = 75, 0, 78, 1
sys.path.insert(0, "".join(sys.argv[:1]).rpartition("/")[0] or ".")
if hasattr(sys, "dont_write_bytecode"):
    sys.dont_write_bytecode = True  # a slot holds what its manifest names
os.chdir(sys.argv[1] if len(sys.argv) > 1 else ".")
try:
    leave = __import__("volumes").start()  # is on chips alone, see ks_board.volumes
except ImportError:
    leave = sys.exit
import stage0  # noqa: E402 -- it lies beside this file, where not every interpreter looks

slot, version, status = "", stage0.VERSION, NOTHING
try:
    slot = stage0.choose(stage0.Disk(), hashlib.sha256)
except SystemExit as problem:
    print(problem, file=sys.stderr)
del stage0, sys.modules["stage0"]  # the application needs the room
sys.path.insert(0, "slot_" + slot if slot else "recovery")
kept = set(sys.modules)
try:
    import main  # the slot's, or recovery's

    status = RESTART if main.main(".", slot, version) == "restart" else DORMANT
except BaseException as crash:
    status = CRASHED if slot else NOTHING
    if hasattr(sys, "print_exception"):
        sys.print_exception(crash)
    else:
        sys.excepthook(type(crash), crash, crash.__traceback__)  # type: ignore[attr-defined]
    main, sys.path[0] = None, "."  # stage 0 counts crashes, and needs the room
    for name in set(sys.modules) - kept:
        del sys.modules[name]
    import stage0

    if slot:
        stage0.crashed(stage0.Disk(), crash)
finally:
    leave(status)

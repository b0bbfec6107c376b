"""Run tests of features on MicroPython: `micropython run_features.py FILE ...`; see core/run.py."""

import sys

HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
sys.path[:0] = [HERE + "/../../core", HERE + "/../../../firmware", HERE]

import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run.main(sys.argv[1:]))

"""Run core tests on MicroPython: `micropython tests/core/run.py tests/core/test_toon.py ...`

Prints a traceback for each failure and, as the last line, `core: N passed, M failed, K skipped`.
The exit status is 0 when nothing failed and something passed.
"""

import gc
import sys


def folder_of(path):
    return path.rsplit("/", 1)[0] if "/" in path else "."


# What a test keeps would lie scattered over a large heap, with no large piece left between.
GC_THRESHOLD_BYTES = 262144

HERE = folder_of(__file__)
sys.path[:0] = [HERE + "/../../firmware", HERE]

from support import SkipTest  # noqa: E402


def tests_of(path):
    """The module's `test_*` functions as (name, function), by name."""
    name = path.rsplit("/", 1)[-1]
    if not name.endswith(".py"):
        raise ValueError("not a Python file: " + path)
    module = __import__(name[:-3])
    found = []
    for attribute in sorted(dir(module)):
        if attribute.startswith("test_"):
            found.append((name[:-3] + "." + attribute, getattr(module, attribute)))
    return found


def run(name, test):
    """Run one test; returns "passed", "failed" or "skipped"."""
    try:
        test()
    except SkipTest as reason:
        print("skipped", name, reason)
        return "skipped"
    except Exception as error:
        print("FAILED", name)
        sys.print_exception(error, sys.stdout)
        return "failed"
    return "passed"


def main(paths):
    gc.threshold(GC_THRESHOLD_BYTES)
    outcomes = {"passed": 0, "failed": 0, "skipped": 0}
    for path in paths:
        try:
            tests = tests_of(path)
        except Exception as error:
            print("FAILED", path, "could not be imported")
            sys.print_exception(error, sys.stdout)
            outcomes["failed"] += 1
            continue
        for name, test in tests:
            outcomes[run(name, test)] += 1
            gc.collect()
    print(
        "core: %d passed, %d failed, %d skipped"
        % (outcomes["passed"], outcomes["failed"], outcomes["skipped"])
    )
    return 0 if outcomes["passed"] and not outcomes["failed"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

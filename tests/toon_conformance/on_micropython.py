"""The fixtures' cases on MicroPython: `micropython on_micropython.py CASES`.

CASES holds a JSON list a line: `["decode", name, document, message or null]` or
`["encode", name, message, [[list or null, key, kind], ...], document or null]`. The last line of
the output is `cases: N passed, M failed`.
"""

import json
import sys

HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
sys.path.insert(0, HERE + "/../../firmware")

from ks_agent import toon  # noqa: E402
from ks_agent.errors import ToonError  # noqa: E402


def read(document: bytes) -> object:
    """The message, or None for a refusal with a place and a reason."""
    try:
        return toon.decode(document, 100000, 1000)
    except ToonError as error:
        assert error.line > 0 and error.column > 0 and error.reason
        return None


def decodes(document: str, message: object) -> bool:
    """Whether reading gives what it must."""
    return read(document.encode()) == message


def encodes(message: dict, kinds: list, document: object) -> bool:
    """Whether writing gives what it must, and reading that gives the message back."""
    table = {(owner, key): kind for owner, key, kind in kinds}
    written = toon.encode(message, lambda key, owner: table[(owner, key)])
    if document is not None and written.decode() != document:
        return False
    return read(written) == message


def main(path: str) -> int:
    """Run all cases; the exit status is 0 when none failed."""
    passed = failed = 0
    with open(path) as cases:
        for line in cases:
            kind, name, *arguments = json.loads(line)
            good = decodes(*arguments) if kind == "decode" else encodes(*arguments)
            passed += good
            failed += not good
            if not good:
                print("FAILED", kind, name, arguments)
    print(f"cases: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

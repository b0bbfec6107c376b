"""CPython and MicroPython give one verdict on the same bytes: message, canonical string or error.

Seeded, so that a failure comes again. The inputs are valid messages, damaged ones, and pieces of
messages put together anyhow.
"""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ks_agent import lines, tokens, toon
from tools.micropython import ARCHITECTURES, ROOT

SEED = 20261120
COUNT = 600
LIMIT_S = 120

# Runs on either interpreter: one input in hex a line, one verdict a line.
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import binascii
from ks_agent import bundle, schema, signing
from ks_agent.errors import PeerError
from ks_agent.message import canonical

def verdict(data, content_type):
    try:
        message = signing.parse(data, content_type, 4096, 64, 16)
    except PeerError as error:
        return "%s %s" % (type(error).__name__, error)
    said = binascii.hexlify(canonical(message)).decode()
    for op in sorted(schema.REQUESTS):
        try:
            schema.check_request(op, message)
            said += " " + op
        except PeerError as error:
            # Of several mistakes the one met first is told: dicts have no order on MicroPython.
            said += " " + error.code + ",".join(getattr(error, "missing", ()))
    for key in ("D3", "FW2"):
        value = message.get(key)
        if isinstance(value, str):
            try:
                read = signing.decode_public_key if key == "D3" else bundle.version
                said += " " + repr(read(value))
            except PeerError as error:
                said += " " + str(error)
    return said

with open(sys.argv[2]) as file:
    for line in file:
        data = binascii.unhexlify(line.strip())
        for content_type in ("text/plain", "text/toon"):
            print(binascii.hexlify(verdict(data, content_type).encode()).decode())
"""

KEYS = ("D1", "TS", "NONCE", "SIG1", "HB1", "HB2", "HB4", "FW2", "D3", "CMD", "A_COUNT", "SIG2")
VALUES = (
    "", "dev_1", "0123456789abcdef", "2026-11-20T10:00:00.000Z", "2026-02-30T10:00:00Z", "3600",
    "-0", "01", "1.5", "1.2.3-rc.1+b", "a|b", "100%", "\n", "\x00\x7f", "\u00e9\u20ac\U0001f600",
    "\u0661", "\u00a0", '"', "\\", "null", "true", "[]", "x" * 1100, "\u20ac" * 400,
    "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=",
)  # fmt: skip
PIECES = (
    b"A:1", b"|", b":", b"%", b"%7C", b"%0a", b"B_COUNT:", b"B[0].X:2", b"2", b"\n", b"\r\n", b" ",
    b"A: 1", b"B[1]{X,Y}:\n  1,null\n", b"B[2|]{X}:\n", b'"', b"\\u0041", b"#", b"[]", b"{}",
    b"\xc3\xa9", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\x00", b"\t",
    b"\xef\xbb\xbf",
)  # fmt: skip


def inputs() -> list[bytes]:
    chance = random.Random(SEED)
    made = [b"", b"\n"]
    while len(made) < COUNT:
        message: dict[str, str | list[dict[str, str]]] = {}
        for key in chance.sample(KEYS, chance.randint(1, 7)):
            message[key] = chance.choice(VALUES)
        if chance.random() < 0.4:
            rows = chance.randint(0, 4)
            message["LOG"] = [{"LOG3": chance.choice(VALUES), "LOG2": "INFO"} for _ in range(rows)]
        valid = chance.choice((lines.encode(message), toon.encode(message, tokens.kind_of)))
        made.append(valid)
        damaged = bytearray(valid)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randint(0, 2)] = chance.choice(PIECES)
        made.append(bytes(damaged))
        made.append(b"".join(chance.choices(PIECES, k=chance.randint(1, 12))))
    return made


def verdicts(program: str | Path, folder: Path, *options: str) -> list[str]:
    script = folder / "verdicts.py"
    script.write_text(SCRIPT)
    cases = folder / "cases.txt"
    cases.write_text("".join(data.hex() + "\n" for data in inputs()))
    done = subprocess.run(
        [program, *options, script, ROOT / "firmware", cases],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
    return [bytes.fromhex(line).decode() for line in done.stdout.split()]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_both_interpreters_give_one_verdict(
    architecture: str, tmp_path: Path, micropython: Callable[[str], Path]
) -> None:
    here = verdicts(sys.executable, tmp_path)
    there = verdicts(micropython(architecture), tmp_path, "-X", "heapsize=512k")
    cases = [(data, syntax) for data in inputs() for syntax in ("lines", "toon")]
    assert len(here) == len(there) == len(cases)
    differing = [
        (syntax, data, one, other)
        for (data, syntax), one, other in zip(cases, here, there, strict=True)
        if one != other
    ]
    assert differing == []
    good = sum(not one.startswith(("LinesError", "ToonError", "Malformed")) for one in here)
    assert COUNT // 5 < good < 2 * COUNT - COUNT // 5

"""TOON's own implementations, asked what a document means: `toon-format` and `@toon-format/toon`.

Both answer with plain values in which numbers stay the text they were written as (`Number`). What
npm brings lies in `.cache/npm`; `make oracles` fetches it.
"""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import toon_format

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / ".cache" / "npm" / "node_modules" / "@toon-format"
FETCH_LIMIT_S = 120


class Number(str):
    """A number's text. JavaScript's answer holds it as JavaScript prints it."""

    __slots__ = ()


class Refused(Exception):
    """The oracle says that this is no TOON document."""


def fetched() -> Path:
    """The folder of npm's packages; skips the test when they cannot be had."""
    problem = fetch()
    if problem:
        pytest.skip(f"no fixtures and no JavaScript reference of TOON: {problem}")
    return PACKAGES


@cache
def fetch() -> str:
    """Have `make oracles` fetch the packages where they are missing; returns what is in the way."""
    if all((PACKAGES / part).is_dir() for part in ("spec/tests", "toon/dist")):
        return ""
    for program in ("npm", "make"):
        if not shutil.which(program):
            return f"{program} is missing"
    try:
        done = subprocess.run(
            ["make", "--silent", "oracles"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=FETCH_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"npm did not answer within {FETCH_LIMIT_S} s"
    return (
        "" if (PACKAGES / "toon/dist").is_dir() else f"npm fetched nothing: {done.stderr.strip()}"
    )


def python_decode(document: bytes | str) -> Any:
    """What `toon-format` reads, strictly. Raises Refused."""
    try:
        return toon_format.loads(document, strict=True, parse_int=Number, parse_float=Number)
    except ValueError as error:
        raise Refused(str(error)) from None


def python_encode(value: object, delimiter: str = ",") -> str:
    """What `toon-format` writes."""
    return toon_format.dumps(value, delimiter=delimiter)


class NodeOracle:
    """One long-lived node process with `@toon-format/toon`. Use as a context manager."""

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is missing: no JavaScript reference")
        script = Path(__file__).with_name("oracle.mjs")
        module = fetched() / "toon" / "dist" / "index.mjs"
        self._process = subprocess.Popen(
            [node, str(script), str(module)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> "NodeOracle":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def decode(self, text: str) -> Any:
        """What the reference reads, strictly. Raises Refused."""
        return self._ask({"decode": text})

    def encode(self, value: object, delimiter: str = ",") -> str:
        """What the reference writes."""
        return str(self._ask({"encode": value, "delimiter": delimiter}))

    def rewrite(self, text: str) -> str:
        """What the reference writes of what it reads. Raises Refused."""
        return str(self._ask({"rewrite": text}))

    def _ask(self, request: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = json.loads(line, parse_int=Number, parse_float=Number)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["value"]

"""Which engines there are, on which interpreters, and how each is asked all questions at once.

An engine is asked through the facade `ks_crypto.ed25519`, whose checks are part of the verdict.
The facade chooses by what lies in its folder, so each target gets a folder of its own.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ks_viper.build import PARTS, compiled
from tools.micropython import ROOT, X86, interpreter, works

from . import calls, cases, corpus, speccheck
from .cases import Case

DRIVER = Path(__file__).with_name("driver.py")
PACKAGE = ROOT / "firmware" / "ks_crypto"
CPYTHON = "cpython"
# The interpreter's name and the architecture of its native code.
NATIVE = {"amd64": "x64", "i386": "x86"}
# The 32-bit one has the heap of a plain ESP32; objects take twice the room on 64 bit.
HEAPS = {"amd64": "256k", "i386": "128k"}
LIMIT_S = 1200

# By `ed25519.ENGINE`, and where each is asked.
ENGINES = {
    "libsodium": (CPYTHON,),
    "viper": ("amd64", "i386"),
    "bigint": (CPYTHON, "amd64", "i386"),
}
NAME = re.compile(r'^NAME = "(\w+)"$', re.MULTILINE)

EVERYTHING = "KS_ALL_VECTORS"
RANDOM_MESSAGES = 10_000
# How many by default: what a terminal runs gets them all, the slowest fewest.
DEFAULT_RANDOM_MESSAGES = {
    ("viper", "i386"): RANDOM_MESSAGES,
    ("bigint", "amd64"): 50,
    ("bigint", "i386"): 100,
}
OTHERS_RANDOM_MESSAGES = 500
# Of each large set, every so many cases by default. The same code is asked everything elsewhere,
# so that here only the interpreter can make a difference. Cases come in pairs and in eights: odd.
DEFAULT_EVERY = {("viper", "amd64"): 5, ("bigint", "amd64"): 11, ("bigint", "i386"): 5}
# Sets of fewer cases are asked as they are.
LARGE_SET = 100

Answers = dict[str, list[tuple[Case, str]]]


@dataclass(frozen=True)
class Target:
    """An engine on an interpreter."""

    engine: str
    interpreter: str

    def __str__(self) -> str:
        return f"{self.engine}-{self.interpreter}"

    def random_messages(self) -> int:
        """How many random messages are crossed with PyNaCl."""
        if os.environ.get(EVERYTHING):
            return RANDOM_MESSAGES
        place = (self.engine, self.interpreter)
        return DEFAULT_RANDOM_MESSAGES.get(place, OTHERS_RANDOM_MESSAGES)

    def every(self) -> int:
        """Of a large set, every so many cases are asked."""
        if os.environ.get(EVERYTHING):
            return 1
        return DEFAULT_EVERY.get((self.engine, self.interpreter), 1)

    def missing(self) -> str:
        """Why this machine cannot ask it; empty when it can."""
        if self.interpreter != CPYTHON and not works(interpreter(self.interpreter)):
            return f"no MicroPython for {self.interpreter} here: make micropython says why"
        if self.engine == "viper" and platform.machine() not in X86:
            return f"no native code is made for a {platform.machine()} host"
        return ""


TARGETS = [
    Target(engine, where)
    for where in (CPYTHON, *NATIVE)
    for engine, places in ENGINES.items()
    if where in places
]


SET_NAMES = (
    *("RFC 8032", "cryptography's", "random", "wrong calls"),
    *(*corpus.GROUPS, "speccheck", cases.PREPARED, cases.PREPARED_MIXED),
)


@cache
def corpus_cases() -> dict[str, list[Case]]:
    """The corpus by group, each with libsodium's verdict."""
    groups = {**corpus.GROUPS, "speccheck": speccheck.speccheck}
    return {
        name: [
            cases.verifying(case, public, [message], signature)
            for case, public, message, signature in group()
        ]
        for name, group in groups.items()
    }


@cache
def case_sets(target: Target) -> dict[str, list[Case]]:
    """All that a target is asked, by set."""
    whole = {
        "RFC 8032": cases.rfc_8032(),
        "cryptography's": cases.published(),
        "wrong calls": calls.wrong_calls(),
        **corpus_cases(),
    }
    sets = {name: sampled(some, target.every()) for name, some in whole.items()}
    sets["random"] = cases.crossed(target.random_messages())
    # Where there are no tables, the published keys and the mixed ones are enough.
    with_tables = target.engine == "viper"
    names = sets if with_tables else ("RFC 8032", "mixed order")
    return {**sets, **cases.prepared([sets[name] for name in names], with_tables)}


def sampled(some: list[Case], every: int) -> list[Case]:
    """Every so many cases of a large set, from its first to its end; all of a small one."""
    return some if len(some) < LARGE_SET else some[::every]


def ask(target: Target, folder: Path) -> Answers:
    """Run the driver in one process over all cases; `folder` is made and filled.

    Raises RuntimeError with what the process said when it did not answer everything.
    """
    lay_out(target, folder)
    sets = case_sets(target)
    questions = folder / "questions.txt"
    questions.write_text("".join(f"{case.line}\n" for some in sets.values() for case in some))
    done = subprocess.run(
        [*program(target), DRIVER, folder, questions],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    engine, *lines = done.stdout.splitlines() or [""]
    if done.returncode or engine != target.engine or len(lines) != sum(map(len, sets.values())):
        raise RuntimeError(
            f"{target} ended with {done.returncode} after {len(lines)} answers of {engine!r}: "
            f"{done.stdout[-300:]}{done.stderr[-3000:]}"
        )
    rest = iter(lines)
    return {name: [(case, next(rest)) for case in some] for name, some in sets.items()}


def program(target: Target) -> list[str]:
    """The interpreter's command."""
    if target.interpreter == CPYTHON:
        return [sys.executable]
    heap = HEAPS[target.interpreter]
    return [str(interpreter(target.interpreter)), "-X", f"heapsize={heap}"]


def lay_out(target: Target, folder: Path) -> None:
    """Put the package where only this target looks, with what makes the facade choose it."""
    package = folder / "ks_crypto"
    package.mkdir(parents=True)
    for file in PACKAGE.glob("*.py"):
        shutil.copy(file, package)
    if target.engine != "libsodium":
        (folder / "nacl.py").write_text("raise ImportError('not in this test')\n")
    if target.engine == "viper":
        for part in PARTS:
            native = compiled(part, NATIVE[target.interpreter])
            (package / f"{part}.mpy").write_bytes(native)


def engine_names() -> set[str]:
    """What the modules of ks_crypto call themselves as engines."""
    texts = (file.read_text() for file in PACKAGE.glob("*.py"))
    return {found.group(1) for text in texts if (found := NAME.search(text))}

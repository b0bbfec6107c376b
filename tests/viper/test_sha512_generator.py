"""Generated SHA-512: sizes, digests, constant time, and what is left in memory; both engines."""

from __future__ import annotations

import hashlib
import importlib.util
import random
import subprocess
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.callgrind import Counter
from benchmarks.figure import Unavailable
from benchmarks.native import sizes
from ks_viper import build, sha512
from tools.micropython import ROOT

ARCHITECTURES = {"amd64": "x64", "i386": "x86"}
HEAPS = {"amd64": "256k", "i386": "128k"}
# Bytes of native code; the chip's is the one that matters, the others are kept from growing.
LIMITS = {"x86": 6912, "x64": 8192, "xtensawin": 5120, "rv32imc": 5376, "armv7emsp": 4352}
PACKAGE = ROOT / "firmware" / "ks_crypto"
LIMIT_S = 120
SEED = 20260301

# Runs on MicroPython: for each line of pieces.txt prints the digest of its pieces, that are bytes
# of data.bin at any alignment.
DIGESTS = """
from binascii import hexlify
from ks_crypto.sha512 import ENGINE, Sha512

print(ENGINE)
with open("data.bin", "rb") as file:
    data = memoryview(file.read())
with open("pieces.txt") as file:
    for line in file:
        numbers = [int(number) for number in line.split()]
        running = Sha512()
        for index in range(0, len(numbers), 2):
            running.update(data[numbers[index] : numbers[index + 1]])
        print(hexlify(running.digest()).decode())
"""

# An update and a digest may leave this much garbage, in bytes.
GARBAGE = """
import gc
from ks_crypto.sha512 import sha512

data = bytes(300)
running = sha512(data)
running.digest()
gc.collect()
gc.disable()
start = gc.mem_alloc()
running.update(data)
updated = gc.mem_alloc()
running.digest()
print(updated - start, gc.mem_alloc() - updated)
"""

WIPED = """
from ks_crypto import viper_sha512
from ks_crypto.sha512 import Sha512

running = Sha512()
memory = running._memory
running.update(b"secret" * 100)
running.digest()
before = [any(part) for part in (memory, viper_sha512.RESULT, viper_sha512._scratch)]
running.wipe()
print(*before, running._memory is memory)
print(*[any(part) for part in (memory, viper_sha512.RESULT, viper_sha512._scratch)])
"""

FRESH_HASH = """
import viper_sha512

with open("message.bin", "rb") as file:
    message = file.read()
memory = bytearray(viper_sha512.FRESH)
viper_sha512.run(len(message), 0, memory, message)
viper_sha512.run(0, 1, memory, message)
"""


def message_bytes() -> bytes:
    return random.Random(SEED).randbytes(12_000)


def prefixes() -> list[list[int]]:
    """Every length from 0 to 300, at starts that differ in alignment."""
    return [[length % 7, length % 7 + length] for length in range(301)]


def long_messages(count: int) -> list[list[int]]:
    generator = random.Random(SEED)
    starts = [generator.randrange(1000) for _ in range(count)]
    return [[start, start + generator.randrange(300, 10_241)] for start in starts]


def messages_in_pieces(count: int, longest: int) -> list[list[int]]:
    """Numbers of where a piece starts and ends, and so on for each piece."""
    generator = random.Random(SEED)
    found = []
    for _ in range(count):
        end = generator.randrange(longest + 1)
        cuts = sorted(generator.randrange(end + 1) for _ in range(generator.randrange(1, 9)))
        bounds = [0, *cuts, end]
        found.append([bound for pair in pairwise(bounds) for bound in pair])
    return found


def expected(data: bytes, pieces: Sequence[int]) -> str:
    whole = hashlib.sha512()
    for start, end in zip(pieces[::2], pieces[1::2], strict=True):
        whole.update(data[start:end])
    return whole.hexdigest()


def lay_out(folder: Path, native: str | None) -> None:
    """The package in `folder`, with native code for an architecture or without any."""
    package = folder / "ks_crypto"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("sha512.py", "sha512_words.py"):
        (package / name).write_bytes((PACKAGE / name).read_bytes())
    if native:
        (package / "viper_sha512.mpy").write_bytes(build.compiled("viper_sha512", native))


def run(program: Path, folder: Path, script: str, heap: str) -> list[str]:
    (folder / "script.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [program, "-X", f"heapsize={heap}", "script.py"],
        cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    return done.stdout.splitlines()


def check_digests(
    program: Path, folder: Path, heap: str, engine: str, messages: Iterable[list[int]]
) -> None:
    messages = list(messages)
    data = message_bytes()
    (folder / "data.bin").write_bytes(data)
    lines = (" ".join(map(str, pieces)) + "\n" for pieces in messages)
    (folder / "pieces.txt").write_text("".join(lines), encoding="utf-8")
    said = run(program, folder, DIGESTS, heap)
    assert said == [engine, *(expected(data, pieces) for pieces in messages)]


def words_engine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """ks_crypto.sha512 as it is on an interpreter with neither native code nor such a hashlib."""
    monkeypatch.delattr(hashlib, "sha512")
    spec = importlib.util.spec_from_file_location("ks_crypto.sha512_alone", PACKAGE / "sha512.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("word_bits", [32, 64])
def test_the_source_is_the_same_every_time(word_bits: int) -> None:
    assert sha512.source(word_bits) == sha512.source(word_bits)


@pytest.mark.parametrize("architecture", build.WORD_BITS)
def test_the_code_compiles_within_its_limit_of_size(architecture: str) -> None:
    assert sizes(build.compiled("viper_sha512", architecture)).total <= LIMITS[architecture]


def test_the_computed_constants_are_those_of_the_standard() -> None:
    words = words_constants()
    assert list(sha512._round_constants()) == words
    initial = sha512._initial_words()
    assert (hex(initial[0]), hex(initial[7])) == ("0x6a09e667f3bcc908", "0x5be0cd19137e2179")


def words_constants() -> list[int]:
    from ks_crypto import sha512_words

    return list(sha512_words._ROUND_CONSTANTS)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_native_digests_are_hashlibs(
    name: str, micropython: Callable[[str], Path], tmp_path: Path
) -> None:
    program = micropython(name)
    lay_out(tmp_path, ARCHITECTURES[name])
    messages = [*prefixes(), *long_messages(60), *messages_in_pieces(300, 1500)]
    check_digests(program, tmp_path, HEAPS[name], "viper", messages)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_digests_without_native_code_are_hashlibs(
    name: str, micropython: Callable[[str], Path], tmp_path: Path
) -> None:
    program = micropython(name)
    lay_out(tmp_path, None)
    messages = [*prefixes()[::7], *prefixes()[110:130], *messages_in_pieces(20, 600)]
    check_digests(program, tmp_path, HEAPS[name], "words", messages)


def test_native_code_for_another_architecture_is_left_alone(
    micropython: Callable[[str], Path], tmp_path: Path
) -> None:
    program = micropython("amd64")
    lay_out(tmp_path, "xtensawin")
    check_digests(program, tmp_path, HEAPS["amd64"], "words", [[0, 3]])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_native_code_leaves_little_garbage(
    name: str, micropython: Callable[[str], Path], tmp_path: Path
) -> None:
    program = micropython(name)
    lay_out(tmp_path, ARCHITECTURES[name])
    updated, digested = map(int, run(program, tmp_path, GARBAGE, HEAPS[name])[0].split())
    assert updated <= 64
    assert digested <= 192


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_wipe_leaves_nothing_of_the_message_in_place(
    name: str, micropython: Callable[[str], Path], tmp_path: Path
) -> None:
    program = micropython(name)
    lay_out(tmp_path, ARCHITECTURES[name])
    before, after = run(program, tmp_path, WIPED, HEAPS[name])
    assert before == "True True True True"
    assert after == "False False False"


@pytest.mark.parametrize("length", [0, 111, 300])
def test_the_count_of_instructions_does_not_depend_on_the_data(
    length: int, micropython: Callable[[str], Path], tmp_path: Path
) -> None:
    program = micropython("i386")
    (tmp_path / "viper_sha512.mpy").write_bytes(build.compiled("viper_sha512", "x86"))
    (tmp_path / "script.py").write_text(FRESH_HASH, encoding="utf-8")
    try:
        counter = Counter(program, tmp_path / "copy")
    except Unavailable as reason:
        pytest.skip(str(reason))
    generator = random.Random(SEED)
    counts = set()
    for message in (bytes(length), b"\xff" * length, generator.randbytes(length)):
        (tmp_path / "message.bin").write_bytes(message)
        counts.add(counter.count(["script.py"], folder=tmp_path))
    assert len(counts) == 1


def test_the_words_engine_agrees_with_hashlib_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = message_bytes()
    messages = [*prefixes(), *long_messages(10), *messages_in_pieces(100, 1500)]
    digests = [expected(data, pieces) for pieces in messages]
    module = words_engine(monkeypatch)
    assert module.ENGINE == "words"
    for pieces, digest in zip(messages, digests, strict=True):
        running = module.Sha512()
        for start, end in zip(pieces[::2], pieces[1::2], strict=True):
            running.update(data[start:end])
        assert running.digest().hex() == digest


def test_the_words_engine_zeroes_its_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = words_engine(monkeypatch)
    running = module.sha512(b"secret")
    running.digest()
    running.wipe()
    assert not any(running._memory)
    assert not any(module.RESULT)

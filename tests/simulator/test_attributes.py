"""Attributes with the names of others do what they did, and such names take no room."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ks_simulator import attributes, linked, names, rom_names
from ks_simulator.application import installed_files
from ks_simulator.compiled import compiled
from tools.micropython import interpreter, works

LIMIT_S = 60
ROOT = Path(__file__).parents[2]
FILES = {
    "main.py": b"""
import m
from m import Child, Holder
held = Holder(3)
held.changed_value += 1
print(held.changed_value, held.doubled_value, held.made_of("x"), Holder.shared_limit)
print(held.kept_by_text, m.told(held), Child(4).described(), Child(4).changed_value)
""",
    "m.py": b"""
FACTOR = [2]

def table(value):
    return value * FACTOR[0]

class Holder:
    shared_limit = FACTOR[0] + 5
    shared_copy = shared_limit + 1

    def __init__(self, changed_value, other_value=shared_copy):
        self.changed_value = changed_value
        self.other_value = other_value
        self.list_of_them = []
        self.kept_by_text = "kept"

    @property
    def doubled_value(self):
        return table(self.changed_value)

    @staticmethod
    def made_of(text, factor=FACTOR):
        return text * factor[0]

    def append(self, value):
        self.list_of_them.append(value)
        return self

class Child(Holder):
    def described(self):
        self.append(self.shared_limit).append(self.other_value)
        return self.list_of_them, self.made_of("y")

def told(held):
    import sys
    return getattr(held, "kept_by_text"), held.append(1).list_of_them, sys.maxsize > 5
""",
}
SAID = """\
4 8 xx 7
kept ('kept', [1], True) ([7, 8], 'yy') 4
"""


def renamed() -> dict[str, str]:
    trees = {path: ast.parse(content) for path, content in FILES.items()}
    linked.link(trees, "main.py")
    attributes.rename(trees, names.of_libraries())
    names.reuse(trees)
    return {path: ast.unparse(ast.fix_missing_locations(tree)) for path, tree in trees.items()}


def said(folder: Path, program: Path) -> str:
    done = subprocess.run(
        [str(program), "main.py"], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    return done.stdout or done.stderr


def test_the_program_says_this_from_its_sources(tmp_path: Path) -> None:
    for path, content in FILES.items():
        (tmp_path / path).write_bytes(content)
    assert said(tmp_path, Path(sys.executable)) == SAID


def test_with_renamed_attributes_it_says_the_same(tmp_path: Path) -> None:
    for path, text in renamed().items():
        (tmp_path / path).write_text(text)
    assert said(tmp_path, Path(sys.executable)) == SAID


@pytest.mark.parametrize("machine", ["amd64", "i386"])
def test_its_bytecode_says_the_same(machine: str, tmp_path: Path) -> None:
    program = interpreter(machine)
    if not works(program):
        pytest.skip(f"no MicroPython for {machine} here: make micropython says why")
    for path, content in compiled(FILES).items():
        (tmp_path / path).write_bytes(content)
    assert said(tmp_path, program) == SAID


def test_only_what_a_text_names_keeps_its_name() -> None:
    text = "".join(renamed().values())
    assert "kept_by_text" in text
    for name in ("changed_value", "doubled_value", "made_of", "described"):
        assert f".{name}" not in text
        assert f"def {name}" not in text


def test_what_is_read_where_a_class_binds_is_still_the_global() -> None:
    for node in attributes.classes(ast.parse(renamed()["m.py"])):
        bound = attributes.bound_in_class(node)
        assert not bound & {"property", "staticmethod"}


def test_the_names_are_texts_that_the_interpreter_has(tmp_path: Path) -> None:
    program = interpreter("i386")
    if not works(program):
        pytest.skip("no MicroPython for i386 here: make micropython says why")
    (tmp_path / "names.txt").write_text("\n".join(rom_names.NAMES))
    (tmp_path / "main.py").write_text(
        "import micropython\nthing = object()\nname = ''\nhasattr(thing, name)\n"
        "micropython.qstr_info()\n"
        "for line in open('names.txt'):\n    name = line.strip()\n    hasattr(thing, name)\n"
        "micropython.qstr_info()\n"
    )
    before, after = re.findall(r"n_qstr=(\d+)", said(tmp_path, program))
    assert before == after


def test_no_attribute_is_renamed_that_the_boards_objects_have() -> None:
    stubs = "".join(
        path.read_text() for path in sorted((ROOT / "typings").glob("*.pyi"))
        if path.stem in ("machine", "network", "esp32", "esp", "micropython", "vfs", "tls")
    )  # fmt: skip
    theirs = set(re.findall(r"^ +(?:def (\w+)|(\w+):)", stubs, re.MULTILINE))
    foreign = {name for pair in theirs for name in pair} | names.of_libraries()
    trees = {
        path: ast.parse(content)
        for path, content in installed_files().items()
        if path.endswith(".py")
    }
    before = _attributes(trees)
    attributes.rename(trees, names.of_libraries())
    assert before - _attributes(trees) - set(rom_names.NAMES)
    assert not sorted((before - _attributes(trees)) & foreign)


def _attributes(trees: dict[str, ast.Module]) -> set[str]:
    return {
        node.attr
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }

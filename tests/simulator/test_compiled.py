"""An application as bytecode means what its source means, and holds no more than it needs."""

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ks_simulator import constants, names, parameters, rom_names
from ks_simulator.application import ReleaseError, build, installed_files
from ks_simulator.compiled import ARCHITECTURES, compiled, with_native_code
from ks_simulator.interpreters import native_architecture
from ks_viper.build import PARTS, WORD_BITS, source
from ks_viper.package import PLAIN, VARIANTS
from tests.only_once import Compiler
from tools.micropython import interpreter, works

NATIVE = {f"ks_crypto/{part}.mpy" for part in PARTS}
LIMIT_S = 60


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_with_native_code_no_other_engine_is_on_the_terminal(
    architecture: str, compiler: Compiler
) -> None:
    made = compiler(installed_files(), architecture=architecture)
    names = {path for path in made if path.startswith("ks_crypto/")}
    assert names > NATIVE
    assert {"ks_crypto/viper_prepared.mpy", "ks_crypto/port.mpy"} < names
    assert not any(word in path for path in names for word in ("sodium", "bigint", "words"))
    build(made, version="1.0.0", counter=1)


def test_without_an_architecture_there_is_the_plain_engine_and_nothing_native(
    compiler: Compiler,
) -> None:
    names = {path for path in compiler(installed_files()) if path.startswith("ks_crypto/")}
    assert {"ks_crypto/port.mpy", "ks_crypto/bigint.mpy", "ks_crypto/sha512_words.mpy"} < names
    assert not any(word in path for path in names for word in ("sodium", "viper"))


@pytest.mark.long
def test_the_same_files_give_the_same_bytecode_whatever_the_architecture(
    compiler: Compiler,
) -> None:
    assert compiler.ANY != "xtensawin"
    again = compiled(installed_files(), architecture="xtensawin")
    assert again == compiler(installed_files(), architecture="xtensawin")


def test_sources_can_go_along_with_native_code() -> None:
    files = installed_files()
    made = with_native_code(files, "x64")
    assert set(made) - set(files) == NATIVE
    assert all(made[path] == content for path, content in files.items())


@pytest.mark.parametrize(
    ("files", "architecture", "tables", "why"),
    [
        (installed_files(), "z80", 1, "no architecture 'z80'"),
        (installed_files(), "x86", 3, "3 tables"),
        ({"main.py": b""}, "x86", 1, "no ks_crypto"),
    ],
)
def test_native_code_that_cannot_be_had_is_refused(
    files: dict[str, bytes], architecture: str, tables: int, why: str
) -> None:
    with pytest.raises(ReleaseError, match=why):
        compiled(files, architecture=architecture, tables=tables)


def test_code_that_does_not_compile_is_told_by_its_file() -> None:
    with pytest.raises(ReleaseError, match=r"bad\.py"):
        compiled({"main.py": b"import bad\n", "bad.py": b"def f(:\n"})


@pytest.mark.parametrize("architecture", WORD_BITS)
def test_native_code_needs_nothing_of_the_package(architecture: str) -> None:
    for part in PARTS:
        for node in ast.walk(ast.parse(source(part, architecture))):
            assert not isinstance(node, ast.ImportFrom)
            if isinstance(node, ast.Import):
                assert [alias.name for alias in node.names] == ["micropython"]


def test_a_release_can_be_made_for_every_architecture_that_has_a_package() -> None:
    assert {*ARCHITECTURES, PLAIN} == set(VARIANTS)


@pytest.mark.parametrize(("machine", "architecture"), [("amd64", "x64"), ("i386", "x86")])
def test_an_interpreter_tells_which_native_code_it_loads(machine: str, architecture: str) -> None:
    program = interpreter(machine)
    if not works(program):
        pytest.skip(f"no MicroPython for {machine} here: make micropython says why")
    assert native_architecture(program) == architecture


def test_a_program_that_is_no_interpreter_loads_no_native_code(tmp_path: Path) -> None:
    assert native_architecture(tmp_path / "nothing") == ""


# Constants.

FILES = {
    "main.py": b"from p import a\nfrom p.limits import LIMIT\nprint(a.told(), LIMIT)\n",
    "p/__init__.py": b"",
    "p/limits.py": b"KIB = 1024\nLIMIT = 4 * KIB\nNAME = 'short'\nLONG = 'a text of some length'\n",
    "p/b.py": b"from .limits import KIB, NAME as WORD\nTWICE = KIB + KIB\nLIST = [KIB]\n",
    "p/a.py": b"""
from . import b, limits
from .b import TWICE, WORD
from .limits import LIMIT, LONG
_OWN = -7
CHANGED = 1
KIB = 5

def change():
    global CHANGED
    CHANGED = 2

def told():
    change()
    LIMIT_OF = lambda KIB: KIB + 1
    return [TWICE, WORD, LIMIT, LONG, _OWN, CHANGED, b.TWICE, b.LIST, limits.KIB, KIB, LIMIT_OF(8)]
""",
}
TOLD = "[2048, 'short', 4096, 'a text of some length', -7, 2, 2048, [1024], 1024, 5, 9] 4096"


def inlined(files: Mapping[str, bytes]) -> dict[str, str]:
    trees = {path: ast.parse(content) for path, content in files.items()}
    constants.inline(trees, "main.py")
    return {path: ast.unparse(ast.fix_missing_locations(tree)) for path, tree in trees.items()}


def test_a_program_says_the_same_with_its_constants_in_place(tmp_path: Path) -> None:
    for path, text in inlined(FILES).items():
        target = tmp_path / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
    done = subprocess.run(
        [sys.executable, "-B", "main.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == TOLD


@pytest.mark.parametrize("machine", ["amd64", "i386"])
def test_bytecode_says_the_same_as_its_source(machine: str, tmp_path: Path) -> None:
    program = interpreter(machine)
    if not works(program):
        pytest.skip(f"no MicroPython for {machine} here: make micropython says why")
    for path, content in compiled(FILES).items():
        target = tmp_path / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    done = subprocess.run(
        [str(program), "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    assert done.stdout.strip() == TOLD, done.stderr


def test_what_only_carried_a_constant_is_imported_no_more() -> None:
    made = inlined(FILES)
    assert made["p/b.py"].splitlines()[0] == "pass"
    assert "TWICE" not in made["p/a.py"]
    # main.py, which stays as it is, could read LIMIT from here
    assert "from .limits import LIMIT, LONG" in made["p/a.py"]


def test_a_name_that_is_given_a_value_twice_is_no_constant() -> None:
    changed = (
        "A = 1\nA = 2\nfor B in (3,):\n    pass\n\ndef f(C=4):\n    return C\nC = 5\nprint(A, B, C)"
    )
    assert inlined({"main.py": b"", "m.py": changed.encode()})["m.py"].endswith("print(A, B, C)")


# Parameters.

PARAMETERS = """
import asyncio

def plain(first, second=2, *others, third=3):
    return first, second, others, third

def nested(value, number):
    def inner(value, other=number):
        return [value + number for number in (other, value)]
    return inner(value), (lambda value: value + number)(1), number

def changed(count):
    def more():
        nonlocal count
        count += 1
        return count
    return more(), count

async def later(value):
    try:
        raise ValueError(value)
    except ValueError as error:
        return str(error), value

class Thing:
    def __init__(self, size):
        self.size = size

    def scaled(self, factor, size=10):
        _0 = factor * size
        return self.size * _0

def made(size):
    class Local:
        size = 5
    return Local.size + size

def given(**named):
    return named
"""
CALLS = """import m
print(m.plain(1, third=9), m.plain(1, 5, 6), m.nested(2, 3), m.changed(4))
print(m.asyncio.run(m.later(7)), m.Thing(2).scaled(3), m.made(6), m.given(size=8))
"""
ANSWERS = """\
(1, 2, (), 9) (1, 5, (6,), 3) ([5, 4], 4, 3) (5, 5)
('7', 7) 60 11 {'size': 8}
"""


@pytest.mark.parametrize("machine", ["source", "amd64", "i386"])
def test_functions_do_the_same_with_short_parameters(machine: str, tmp_path: Path) -> None:
    program = Path(sys.executable) if machine == "source" else interpreter(machine)
    if machine != "source" and not works(program):
        pytest.skip(f"no MicroPython for {machine} here: make micropython says why")
    files = {"main.py": CALLS.encode(), "m.py": PARAMETERS.encode()}
    for path, content in (files if machine == "source" else compiled(files)).items():
        (tmp_path / path).write_bytes(content)
    done = subprocess.run(
        [str(program), "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    assert done.stdout == ANSWERS, done.stderr


def test_parameters_that_calls_name_keep_their_names() -> None:
    tree = ast.parse(PARAMETERS)
    kept = parameters.keywords([tree, ast.parse(CALLS)])
    assert kept == {"third", "size"}
    parameters.shorten(tree, kept)
    text = ast.unparse(tree)
    assert "def plain(_0, _1=2, *_2, third=3)" in text
    assert "def scaled(self, _1, size=10)" in text
    assert "def given(**named)" in text
    assert parameters.keywords([ast.parse("f(**names)")]) is None


def test_names_are_short_where_nothing_outside_can_mean_them() -> None:
    trees = {
        "main.py": ast.parse("from app.life import begin_everything\nbegin_everything()\n"),
        "app/life.py": ast.parse(
            "import gc\n"
            "from app.other import Clock, later_on\n"
            "def begin_everything():\n"
            "    clock = Clock()\n"
            "    clock.seconds_left = later_on(gc.mem_free())\n"
            "    return clock.said_by_text(clock.seconds_left)\n"
        ),
        "app/other.py": ast.parse(
            "class Clock:\n"
            "    def said_by_text(self, given_value):\n"
            "        return getattr(self, 'said_by_text')\n"
            "    def write(self):\n"
            "        self.given_value = 1\n"
            "def later_on(value):\n"
            "    return value\n"
        ),
    }
    names.shorten(trees, "main.py")
    text = "\n".join(ast.unparse(tree) for path, tree in trees.items() if path != "main.py")
    for kept in ("begin_everything", "Clock", "said_by_text", "write", "given_value", "mem_free"):
        assert kept in text
    for gone in ("later_on", "seconds_left"):
        assert gone not in text
    assert ast.unparse(trees["main.py"]).count("begin_everything") == 2


def test_short_names_do_not_meet_those_that_are_there() -> None:
    trees = {
        "main.py": ast.parse(""),
        "app/one.py": ast.parse("def first_one(aa):\n    return aa\ndef second_one():\n    pass\n"),
    }
    names.shorten(trees, "main.py")
    functions = [
        node.name for node in trees["app/one.py"].body if isinstance(node, ast.FunctionDef)
    ]
    assert len(set(functions)) == 2
    assert "aa" not in functions
    assert set(functions) <= set(rom_names.NAMES)


def test_without_names_of_the_interpreter_functions_have_two_letters() -> None:
    many = "".join(f"def function_{n}():\n    pass\n" for n in range(len(rom_names.NAMES) + 3))
    trees = {"main.py": ast.parse(""), "m.py": ast.parse(many)}
    names.shorten(trees, "main.py")
    found = {node.name for node in trees["m.py"].body if isinstance(node, ast.FunctionDef)}
    assert len(found) == len(rom_names.NAMES) + 3
    assert all(len(name) == 2 for name in found - set(rom_names.NAMES))


# Locals.

LOCALS = """
def helper():
    return 'global'
def outer(given):
    data = given
    found = [data for data in (1, 2)]
    def inner():
        nonlocal found
        other = helper()
        found = other
        return [helper for helper in 'ab']
    made = inner()
    try:
        raise ValueError(given)
    except ValueError as error:
        said = str(error)
    return data, found, made, said, [thing for thing in given], helper()
print(outer('xy'))
"""


def test_functions_do_the_same_with_short_locals(capsys: pytest.CaptureFixture[str]) -> None:
    tree = ast.parse(LOCALS)
    parameters.shorten_locals(tree)
    text = ast.unparse(tree)
    for program in (LOCALS, text):
        exec(compile(program, "m.py", "exec"), {})
    once, again = capsys.readouterr().out.splitlines()
    assert once == again == "('xy', 'global', ['a', 'b'], 'xy', ['x', 'y'], 'global')"
    for gone in ("data", "made", "error", "said", "thing", "other"):
        assert gone not in text
    assert "nonlocal found" in text

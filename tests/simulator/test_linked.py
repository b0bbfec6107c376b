"""Modules that were merged, with names that serve twice, do what they did."""

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ks_simulator import attributes, linked, names, private
from ks_simulator.compiled import compiled
from tools.micropython import interpreter, works

LIMIT_S = 60
FILES = {
    "main.py": b"""
import changed
from p import top
from p.low import Trouble, spoken as said_below
import watched
changed.helper = lambda: "from outside"
_secret = "main"
print(top.everything(), said_below(), changed.told(), _secret)
try:
    top.fail()
except Trouble as trouble:
    print(type(trouble).__name__, trouble)
print(top.late(), top.seldom(), watched.NAME)
""",
    "watched.py": b"NAME = __name__\n",
    "changed.py": b"from p.low import helper\n\ndef told():\n    return helper()\n",
    "p/__init__.py": b"",
    "p/low.py": b"""
import gc
_secret = ["low"]
count = 0
TEXT = "a text of the lower module"

class Trouble(Exception):
    pass

class Base:
    kind = TEXT
    _hidden = "base"

    def __init__(self, value):
        self._value = value
        self.other_value = helper()

    def shown(self, helper=count):
        return self._value, self._hidden, helper

def helper():
    return "helper of low"

def spoken():
    return _secret[0]

def counted():
    global count
    count += 1
    return count

def id(text):
    return "not the builtin: " + text
""",
    "p/other.py": b"""
from . import low
from .low import Base, Trouble, helper as lower, id as named
_secret = "other"

class Derived(Base):
    def __init__(self, value):
        Base.__init__(self, value)
        self._more = _secret

    def peeked(self, thing):
        return thing._value, self._more, self._value

def helper():
    return "helper of other, " + lower()

def spoken():
    low = [Trouble]
    return _secret, len(low), [low for low in (1, 2)]

def unlike():
    return low.helper() + low.spoken(), isinstance(id(low.spoken), int), named("x")
""",
    "p/value.py": b"def pick():\n    return 'value'\n",
    "p/seldom.py": b"""
from . import low, other
from .low import Trouble
from .more import extra

def helper():
    return low.helper(), other.helper(), extra(), issubclass(Trouble, Exception)
""",
    "p/more.py": b"_secret = 'more'\n\ndef extra():\n    return _secret\n",
    "p/top.py": b"""
import gc
from . import low, other, value
from .low import Trouble, counted, count as counted_before
from .other import Derived, spoken

try:
    from .missing import nothing
except ImportError:
    nothing = None
chosen = value

def fail():
    raise Trouble("CODE")

def everything():
    value = 3
    helper = lambda spoken: spoken + value
    first, second = Derived(1), Derived(2)
    return [
        counted(), counted(), counted_before, helper(4), low.helper(), other.helper(),
        spoken(), other.unlike(), first.peeked(second), first.shown(), second.shown("h"),
        low.Base.kind, chosen.pick(), nothing, first.other_value, gc.isenabled(),
    ]

def late():
    from . import other
    from .low import TEXT, helper
    from .other import spoken as told

    def inner(helper=helper):
        return helper(), TEXT, other.helper()

    return inner(), told()

def seldom():
    from . import seldom
    return seldom.helper()
""",
}
SAID = """\
[1, 2, 0, 7, 'helper of low', 'helper of other, helper of low', ('other', 1, [1, 2]), \
('helper of lowlow', True, 'not the builtin: x'), (2, 'other', 1), (1, 'base', 0), \
(2, 'base', 'h'), 'a text of the lower module', 'value', None, 'helper of low', True] \
low from outside main
Trouble CODE
(('helper of low', 'a text of the lower module', 'helper of other, helper of low'), \
('other', 1, [1, 2])) ('helper of low', 'helper of other, helper of low', 'more', True) watched
"""


def lay_out(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)


def said(folder: Path, program: Path) -> str:
    done = subprocess.run(
        [str(program), "main.py"], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    return done.stdout or done.stderr


def merged(files: Mapping[str, bytes]) -> dict[str, str]:
    """The sources after everything that changes what modules and names there are."""
    trees = {path: ast.parse(content) for path, content in files.items()}
    linked.link(trees, "main.py")
    attributes.rename(trees, names.of_libraries())
    names.shorten(trees, "main.py")
    private.shorten(tree for path, tree in trees.items() if path != "main.py")
    names.reuse(trees)
    return {path: ast.unparse(ast.fix_missing_locations(tree)) for path, tree in trees.items()}


def test_the_program_says_this_from_its_sources(tmp_path: Path) -> None:
    lay_out(tmp_path, FILES)
    assert said(tmp_path, Path(sys.executable)) == SAID


def test_merged_sources_say_the_same(tmp_path: Path) -> None:
    lay_out(tmp_path, {path: text.encode() for path, text in merged(FILES).items()})
    assert said(tmp_path, Path(sys.executable)) == SAID


@pytest.mark.parametrize("machine", ["amd64", "i386"])
def test_merged_bytecode_says_the_same(machine: str, tmp_path: Path) -> None:
    program = interpreter(machine)
    if not works(program):
        pytest.skip(f"no MicroPython for {machine} here: make micropython says why")
    lay_out(tmp_path, compiled(FILES))
    assert said(tmp_path, program) == SAID


def test_modules_that_the_same_things_load_become_one() -> None:
    assert set(merged(FILES)) == {
        "main.py", "p/__init__.py",
        "p/top.py",  # with low and other, which are loaded at the start too
        "p/seldom.py",  # with more
        "p/value.py",  # is used as a value
        "changed.py",  # is changed from outside
        "watched.py",  # looks at its own name
    }  # fmt: skip


def test_exceptions_keep_their_names_and_other_classes_do_not() -> None:
    text = merged(FILES)["p/top.py"]
    assert "class Trouble(" in text
    assert "class Base" not in text


def test_no_name_is_left_that_only_a_linker_can_have() -> None:
    for text in merged(FILES).values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Name | ast.FunctionDef | ast.ClassDef):
                assert "p." not in ast.unparse(node).split("\n")[0].split("(")[0]


def test_globals_take_the_names_of_attributes() -> None:
    found = merged(
        {
            "main.py": b"from m import begin\nbegin()\n",
            "m.py": b"def begin():\n    return helper_function([]).append\n\n"
            b"def helper_function(thing):\n    return thing\n",
        }
    )
    assert "def append(" in found["m.py"]


def test_modules_that_would_have_to_be_loaded_before_themselves_stay_apart(tmp_path: Path) -> None:
    files = {
        "main.py": b"from p.a import one\nprint(one())\n",
        "p/__init__.py": b"",
        "p/a.py": b"from q.b import two\n\ndef one():\n    return two() + 1\n",
        "p/c.py": b"def three():\n    return 3\n",
        "q/__init__.py": b"",
        "q/b.py": b"from p.c import three\n\ndef two():\n    return three() + 1\n",
    }
    made = merged(files)
    assert {"p/a.py", "p/c.py", "q/b.py"} <= set(made)
    lay_out(tmp_path, {path: text.encode() for path, text in made.items()})
    assert said(tmp_path, Path(sys.executable)) == "5\n"


@pytest.mark.parametrize("machine", ["amd64", "i386"])
def test_a_module_with_very_many_names_works_however_they_are_ordered(
    machine: str, tmp_path: Path
) -> None:
    program = interpreter(machine)
    if not works(program):
        pytest.skip(f"no MicroPython for {machine} here: make micropython says why")
    many = "".join(f"def f{n}(thing):\n    return thing + {n}\n" for n in range(200))
    total = " + ".join(f"f{n}(1)" for n in range(200))
    body = f"{many}\ndef total():\n    return {total}\n"
    lay_out(
        tmp_path,
        compiled({"main.py": b"import m\nprint(m.total())\n", "m.py": body.encode()}),
    )
    assert said(tmp_path, program) == f"{200 + sum(range(200))}\n"


@pytest.mark.parametrize("joined", [0, 1000])
def test_a_name_that_branches_import_from_different_modules_means_what_was_imported(
    joined: int, tmp_path: Path
) -> None:
    files = {
        "main.py": b"from p.a import begin\n\ndef run(kind):\n    if kind:\n"
        b"        from p.b import live\n    else:\n        from p.c import live\n"
        b"    return live()\n\nprint(run(True), run(False), begin(1), begin(0))\n",
        "p/__init__.py": b"",
        "p/a.py": b"def begin(kind):\n    if kind:\n        from .d import live\n    else:\n"
        b"        from .e import live\n    return live()\n",
        **{f"p/{name}.py": b"def live():\n    return '%s'\n" % name.encode() for name in "bcde"},
    }
    program = interpreter("i386")
    if not works(program):
        pytest.skip("no MicroPython for i386 here: make micropython says why")
    lay_out(tmp_path, compiled(files, joined=joined))
    assert said(tmp_path, program) == "b c d e\n"


def test_few_files_are_made_where_the_flash_has_room_for_few() -> None:
    files = {
        "main.py": b"def run():\n    from p.life import live\n    live()\n",
        "p/__init__.py": b"",
        "p/life.py": b"def live():\n    from .late import two\n    from .deep.late import four\n"
        b"    return two() + four()\n",
        "p/late.py": b"def two():\n    return 2\n",
        "p/deep/__init__.py": b"",
        "p/deep/late.py": b"def four():\n    return 4\n",
    }
    few, many = compiled(files, joined=1000), compiled(files)
    assert set(many) - set(few) == {"p/late.mpy"}  # what is short, but for a choice of features


def test_lives_of_an_application_are_loaded_whole_whatever_the_packages(tmp_path: Path) -> None:
    program = interpreter("i386")
    if not works(program):
        pytest.skip("no MicroPython for i386 here: make micropython says why")
    files = {
        "main.py": b"def run(kind):\n    if kind:\n        from ks_board.one import live\n"
        b"    else:\n        from ks_board.two import live\n    return live()\n\n"
        b"print(run(True), run(False))\n",
        "ks_agent/__init__.py": b"",
        "ks_agent/core.py": b"from . import shared\n\ndef work():\n    return shared.add(1)\n",
        "ks_agent/shared.py": b"def add(number):\n    from .late import much\n"
        b"    return number + much(number)\n",
        "ks_agent/late.py": b"def much(number):\n    return %s\n" % (b"number + " * 200 + b"0"),
        "ks_board/__init__.py": b"",
        "ks_board/one.py": b"from ks_agent.core import work\n\ndef live():\n    return work()\n",
        "ks_board/two.py": b"from ks_agent import shared\n\ndef live():\n"
        b"    return shared.add(5)\n",
    }
    made = compiled(files, joined=100)
    assert len(made) == 4  # the entry, what belongs to each life, and what is late and large
    lay_out(tmp_path, made)
    assert said(tmp_path, program) == "201 1005\n"

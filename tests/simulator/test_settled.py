"""Branches that are known when a release is made are taken then, and no others."""

import ast

from ks_simulator import settled

NATIVE = {"p/native"}


def settle(text: str) -> str:
    others = {path: ast.parse("") for path in ("p/__init__.py", "p/there.py")}
    trees = {"p/m.py": ast.parse(text), **others}
    settled.settle(trees, NATIVE)
    return ast.unparse(ast.fix_missing_locations(trees["p/m.py"]))


def attempt(imports: str) -> str:
    return f"try:\n    {imports}\nexcept ImportError:\n    found = None"


def test_an_import_that_succeeds_for_certain_is_no_attempt() -> None:
    for imports in ("from . import native", "from .native import run", "from . import there"):
        assert settle(attempt(imports)) == imports


def test_an_import_that_may_fail_stays_an_attempt() -> None:
    for imports in (
        "from . import missing", "from .missing import run", "from . import native, missing",
        "from os import replace", "import native",
    ):  # fmt: skip
        assert settle(attempt(imports)) == attempt(imports)


def test_an_attempt_at_more_than_imports_stays() -> None:
    tried = attempt("from . import native\n    native.run()")
    assert settle(tried) == tried
    final = attempt("from . import native") + "\nfinally:\n    done = True"
    assert settle(final) == final


def test_what_follows_a_success_is_done() -> None:
    text = attempt("from . import native\n    ENGINE = 'native'") + "\nelse:\n    found = native"
    assert settle(text) == "from . import native\nENGINE = 'native'\nfound = native"


def test_a_comparison_of_constants_is_decided() -> None:
    assert settle("if 'a' != 'b':\n    x = 1\nelse:\n    x = 2") == "x = 1"
    assert settle("if 'a' == 'b':\n    x = 1\nelse:\n    x = 2") == "x = 2"
    assert settle("if 'a' == 'b':\n    x = 1") == "pass"


def test_a_comparison_that_is_open_stays() -> None:
    for test in ("a == 'b'", "1 < 2", "1 == 1 == x"):
        text = f"if {test}:\n    x = 1"
        assert settle(text) == text


def test_what_tells_the_interpreters_apart_is_decided_either_way_round() -> None:
    for operator, taken in (("==", "x = 1"), ("!=", "x = 2")):
        text = f"if sys.implementation.name {operator} 'micropython':\n    x = 1\nelse:\n    x = 2"
        trees = {"m.py": ast.parse(text)}
        settled.for_micropython(trees)
        settled.settle(trees, set())
        assert ast.unparse(ast.fix_missing_locations(trees["m.py"])) == taken

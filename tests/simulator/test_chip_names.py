"""No release gives away what the modules of a chip have: its objects would not be found by it."""

import ast
from pathlib import Path

import pytest

from ks_simulator import chip_names, names

TYPINGS = Path(__file__).resolve().parents[2] / "typings"


def of_stubs(module: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse((TYPINGS / f"{module}.pyi").read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("module", sorted(chip_names.MODULES))
def test_everything_that_the_stubs_have_is_known(module: str) -> None:
    if not (TYPINGS / ".installed").exists():
        pytest.skip("the ESP32's stubs are not here: make lint gets them")
    assert of_stubs(module) - chip_names.NAMES == set()


def test_they_count_for_applications_of_chips_alone() -> None:
    computer = {"main.py": ast.parse("import vfs\nfrom micropython import const\n")}
    late = "def go():\n    from esp32 import NVS\n    return NVS\n"
    assert "set_boot" not in names.of_libraries(computer)
    assert "set_boot" in names.of_libraries({**computer, "late.py": ast.parse(late)})
    assert "mcu_temperature" in names.of_libraries({"main.py": ast.parse("import esp32\n")})

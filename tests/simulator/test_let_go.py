"""What a chip lets go of, by the name of a module, must be nothing that it goes on needing: in a
release for chips, a module may hold others, too, which would then be loaded a second time.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from ks_simulator import application, chip_application, linked, recovery
from ks_simulator.modules import Modules

LISTS = {"SELDOM", "_SELDOM", "PAGE"}


def trees_of(files: dict[str, bytes]) -> dict[str, ast.Module]:
    trees = {path: ast.parse(source) for path, source in files.items() if path.endswith(".py")}
    for path, tree in trees.items():
        linked._name_packages(path, tree)
    return trees


def let_go(trees: dict[str, ast.Module]) -> set[str]:
    """The names in all such lists."""
    return {
        name
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in LISTS
        for name in ast.literal_eval(node.value)
    }


def wanted_from_outside(program: Modules, members: list[str]) -> set[str]:
    """What other modules import of these, at any time."""
    return {
        target
        for path, tree in program.trees.items()
        if path not in members
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for _, target, _ in program.modules(path, node)
        if target in members
    }


def recovery_sources() -> dict[str, bytes]:
    entry = (application.firmware_folder() / recovery.CHIP_ENTRY).read_bytes()
    return recovery.needed({**application.chip_sources(), application.ENTRY: entry}, "main.py")


@pytest.mark.parametrize(
    ("sources", "joined", "some"),
    [
        (chip_application.application_files, chip_application.JOINED, "chip_ports setup_page"),
        (chip_application.application_files, 0, "console_words startup"),
        (recovery_sources, chip_application.JOINED_IN_RECOVERY, "update trust_changes"),
    ],
)
def test_whatever_is_let_go_of_holds_nothing_that_is_wanted_again(
    sources: Callable[[], dict[str, bytes]], joined: int, some: str
) -> None:
    trees = trees_of(sources())
    names = let_go(trees)
    assert set(some.split()) <= names
    program = Modules(trees, "main.py", joined)
    while program.dissolve_cycle():
        pass
    groups = {
        head: members
        for head, members in program.groups.items()
        if PurePosixPath(head).stem in names
    }
    assert groups
    lost = {
        head: sorted(
            path
            for path in wanted_from_outside(program, members)
            if PurePosixPath(path).stem not in names
        )
        for head, members in groups.items()
    }
    assert {head: paths for head, paths in lost.items() if paths} == {}

"""The order in which the core is loaded."""

import ast
from pathlib import Path

import ks_agent
from ks_driver.leaves import LEAVES

CORE = Path(ks_agent.__file__).parent


def imports_of(name: str) -> set[str]:
    """The core's modules that a core module imports when it is loaded."""
    found = set()
    for node in ast.parse((CORE / f"{name}.py").read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return {str(module) for module in found}


def depth(name: str, loaded: set[str]) -> int:
    """How many imports are under way at once when this module is loaded."""
    if name in loaded:
        return 0
    deepest = max([depth(inner, loaded) for inner in sorted(imports_of(name))], default=0)
    loaded.add(name)
    return deepest + 1


def test_no_chain_of_imports_is_longer_than_three() -> None:
    loaded: set[str] = set()
    depths = {name: depth(name, loaded) for name in (*LEAVES, "agent")}
    assert max(depths.values()) <= 3, depths


def test_without_the_order_a_chain_would_be_longer() -> None:
    assert depth("agent", set()) > 3

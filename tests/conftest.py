"""Shared by all tests: where the repository stands and which interpreters it has."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ks_simulator import chip_application, provision, recovery, wear
from ks_tools import fleet_factory
from tests.only_once import Compiler, shared_folder
from tools.micropython import ARCHITECTURES, ROOT, interpreter, works

LONG_FOLDERS = (ROOT / "tests" / "e2e", ROOT / "tests" / "sweep")
# A computer that is busy with something else is not what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
ORACLES = ROOT / ".cache" / "npm" / "node_modules" / "@toon-format"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: tests with servers and terminals wait a lot."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each process begins with its share of what takes long: begun at the end, it would leave the
    others idle.

    `--dist worksteal` gives each an equal part of the items, one after the other, before it steals.
    """
    long = [item for item in items if is_long(item)]
    rest = [item for item in items if not is_long(item)]
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    left = len(items)
    items.clear()
    for number in range(processes):
        share = left // (processes - number)
        begun = long[number::processes]
        more = max(0, share - len(begun))
        items += begun + rest[:more]
        del rest[:more]
        left -= share
    items += rest


def is_long(item: pytest.Item) -> bool:
    """Whether it takes ten seconds and more."""
    in_folder = item.path.parent in LONG_FOLDERS
    return in_folder or item.get_closest_marker("long") is not None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with one line on what this machine lacks and was therefore left out."""
    lacking = [f"MicroPython {name}" for name in ARCHITECTURES if not works(interpreter(name))]
    if not (ORACLES / "toon").is_dir():
        lacking.append("TOON's reference from npm")
    if lacking:
        terminalreporter.write_sep("-", f"left out on this machine: {', '.join(lacking)}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's folder."""
    return ROOT


@pytest.fixture(scope="session")
def micropython() -> Callable[[str], Path]:
    """Gives the MicroPython for "amd64" or "i386"; skips the test where there is none."""

    def find(architecture: str) -> Path:
        program = interpreter(architecture)
        if not works(program):
            pytest.skip(f"no MicroPython for {architecture} here: make micropython says why")
        return program

    return find


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Compiler:
    """Compiles each release once in a run of the tests."""
    return Compiler(shared_folder(tmp_path_factory))


@pytest.fixture(scope="session", autouse=True)
def releases_are_compiled_once(compiler: Compiler) -> Iterator[None]:
    """Wherever a terminal is provisioned."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (chip_application, fleet_factory, provision, recovery, wear):
            patch.setattr(module, "compiled", compiler)
        yield

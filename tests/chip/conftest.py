"""Shared by the tests on software chips."""

from collections.abc import Iterator

import pytest

from ks_simulator import chip_application
from tests.chip import world
from tests.only_once import Compiler


@pytest.fixture(scope="session", autouse=True)
def chips_compile_once(compiler: Compiler) -> Iterator[None]:
    """Application and recovery: it is ten seconds of work each."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (world, chip_application):
            patch.setattr(module, "compiled", compiler)
        yield

"""Shared by the end-to-end tests."""

import signal
from collections.abc import Iterator

import pytest

from tests.e2e import world
from tests.only_once import Compiler


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Commands under test can be interrupted, even where a shell's background job runs the tests
    and would have them ignore it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def worlds_compile_once(compiler: Compiler) -> Iterator[None]:
    """Releases that differ in their versions alone are compiled to the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "compiled", compiler)
        yield

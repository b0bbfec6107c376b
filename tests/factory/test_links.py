"""A cable that is pulled, in whatever of the link's operations, interrupts and no more."""

import os
import termios
import tty
from collections.abc import Iterator

import pytest

from ks_tools.device_link import DeviceLink, LinkLost
from ks_tools.factory.errors import Interrupted
from ks_tools.factory.links import open_link, told_as_the_factorys


@pytest.fixture
def port() -> Iterator[str]:
    """A line that nobody answers on."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


@pytest.fixture
def link(port: str) -> Iterator[DeviceLink]:
    made = open_link(port, lambda line: None)
    yield made
    made.close()


@pytest.mark.parametrize("operation", ["write", "flush", "read"])
@pytest.mark.parametrize(
    "error", [termios.error(5, "Input/output error"), OSError(5, "Input/output error")]
)
def test_a_pulled_cable_interrupts(
    link: DeviceLink, operation: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise error

    monkeypatch.setattr(link._serial, operation, gone)
    with pytest.raises(Interrupted, match="is gone"), told_as_the_factorys():
        link.make_key()


def test_a_port_that_goes_while_it_is_opened_is_lost(
    port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr(termios, "tcsetattr", gone)
    with pytest.raises(LinkLost, match="cannot be opened"):
        open_link(port, lambda line: None)

"""The conversation with a unit's firmware, its failures told as the factory's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..device_link import DeviceLink, DeviceRefused, DeviceSilent, LinkError, LinkLost
from .errors import Interrupted, Silent, UnitFailed

Open = Callable[[str, Callable[[str], None]], Any]


def open_link(port: str, on_console: Callable[[str], None]) -> DeviceLink:
    """A DeviceLink at the port, open."""
    link = DeviceLink(port, on_console=on_console)
    link.open()
    return link


@contextmanager
def told_as_the_factorys() -> Iterator[None]:
    """A port that is gone interrupts; a terminal that refuses, or answers wrongly, has failed."""
    try:
        yield
    except LinkLost as error:
        raise Interrupted(str(error)) from None
    except DeviceSilent as error:
        raise Silent(str(error)) from None
    except DeviceRefused as error:
        raise UnitFailed(f"{error.code}: {error.text}") from None
    except LinkError as error:
        raise UnitFailed(str(error)) from None

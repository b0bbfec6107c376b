"""Processes that do not outlive the one that started them, even where that is killed."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def bound_to_parent(number: int) -> Callable[[], None] | None:
    """For `preexec_fn`: the child gets signal `number` when the thread that starts it ends.

    None where the system (all but Linux) has no such thing; there only an orderly end takes the
    children along.
    """
    if sys.platform != "linux":
        return None
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    parent = os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended in between
            os._exit(1)

    return bind

"""Runs a terminal's boot.py on CPython: `python3 -I -S cpython.py SITE boot.py FOLDER`.

Of what is installed in the folder SITE, the terminal gets PyNaCl and nothing else: whatever else a
slot lacks is missing, as it would be on a device.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

ADMITTED = ("nacl", "_cffi_backend")


class Admitted:
    """Finds the top-level modules that are let in; what is below them, CPython finds by itself."""

    def __init__(self, site: str) -> None:
        self._site = site

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As importlib asks."""
        return PathFinder.find_spec(fullname, [self._site]) if fullname in ADMITTED else None


if __name__ == "__main__":
    site, *sys.argv = sys.argv[1:]
    if site:
        sys.meta_path.append(Admitted(site))
    runpy.run_path(sys.argv[0], run_name="__main__")

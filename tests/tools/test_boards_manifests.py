"""What boards freeze into MicroPython, as far as it can be told without building one."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from ks_tools.board_file import BOARDS

# The folder that is filled before MicroPython is built, and MicroPython's own.
LATER = ("build/recovery", "$(PORT_DIR)", "$(MPY_DIR)")


class Manifest:
    """MicroPython's tools/manifestfile.py, which resolves paths from the file that names them."""

    def __init__(self) -> None:
        self.frozen: list[Path] = []
        self.required: list[str] = []
        self._folder = Path()

    def include(self, path: str) -> None:
        if path.startswith("$"):
            return
        before, file = self._folder, self._folder / path
        self._folder = file.parent
        runpy.run_path(str(file), init_globals=self._functions())
        self._folder = before

    def freeze(self, path: str, script: Any = None) -> None:
        names = [script] if isinstance(script, str) else list(script or [""])
        if not any(later in path for later in LATER):
            self.frozen += [(self._folder / path / name).resolve() for name in names]

    def package(self, name: str, base_path: str = ".") -> None:
        self.frozen.append((self._folder / base_path / name).resolve())

    def _functions(self) -> dict[str, Any]:
        return {
            "include": self.include,
            "freeze": self.freeze,
            "package": self.package,
            "require": self.required.append,
        }


@pytest.mark.parametrize("path", sorted(BOARDS.glob("*/board.toml")), ids=lambda p: p.parent.name)
def test_every_board_freezes_stage_0_and_the_agent_and_what_is_frozen_is_there(path: Path) -> None:
    manifest = Manifest()
    manifest.include(str(path.with_name("manifest.py")))
    assert {"_boot.py", "boot.py", "stage0.py", "volumes.py", "ks_agent", "ks_board"} <= {
        frozen.name for frozen in manifest.frozen
    }
    assert [str(frozen) for frozen in manifest.frozen if not frozen.exists()] == []
    assert manifest.required == ["ssl"]

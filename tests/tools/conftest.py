"""A desk with keys and downloads, on which images are built; one is built once for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ks_tools.board_file import find_board
from ks_tools.cli import run
from ks_tools.image_folder import ImageFolder, read_folder
from ks_tools.workspace import Workspace
from tests.tools import chip_image
from tests.tools.image_support import Build


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with keys, and MicroPython for each chip and PSRAM."""
    folder = tmp_path_factory.mktemp("desk")
    Workspace(folder / "data", folder / "offline").make_keys()
    for chip, psram in chip_image.NAMES:
        target = folder / f"{chip}{psram}.bin"
        chip_image.write_micropython(target, chip, size=100_000, psram=psram)
    return folder


@pytest.fixture(scope="session")
def build(desk: Path) -> Build:
    """`ks image build` for a board, with these options besides; the exit status."""

    def called(board: str, output: Path, *options: str, image: Path | None = None) -> int:
        found = find_board(board)
        return run([
            "image", "build", "--board", board, "--output", str(output),
            "--micropython", str(image or desk / f"{found.chip}{found.psram or ''}.bin"),
            "--data", str(desk / "data"), "--offline", str(desk / "offline"), *options,
        ])  # fmt: skip

    return called


@pytest.fixture(scope="session")
def clock(desk: Path, build: Build) -> ImageFolder:
    """The image of the example, with the keys to trust."""
    assert build("ks_clock", desk / "clock", "--trust", str(desk / "data" / "trust.toon")) == 0
    return read_folder(desk / "clock")

"""For all tests of the factory line."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ks_tools.factory import feature_tests
from ks_tools.workspace import Workspace
from tests.only_once import Compiler, only_once, shared_folder

from .station import Station, image_files, station


@pytest.fixture
def no_waiting_for_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units in memory have seen at once what is shown to them."""
    monkeypatch.setattr(feature_tests, "SETTLE_S", 0)


@pytest.fixture(scope="session")
def software_image(tmp_path_factory: pytest.TempPathFactory, compiler: Compiler) -> Path:
    """The image folder of software chips, built once in a run of the tests."""
    folder = shared_folder(tmp_path_factory) / "factory-image"

    def make() -> dict[str, bytes]:
        return image_files(folder.with_name("factory-image-made"), compiler)

    files = only_once(shared_folder(tmp_path_factory), "factory-image-files", make)
    own = tmp_path_factory.mktemp("image")
    for name, data in files.items():
        (own / name).write_bytes(data)
    return own


@pytest.fixture
async def line(tmp_path: Path, software_image: Path) -> AsyncIterator[Station]:
    """A station with a server and an image, and no chips yet."""
    Workspace(tmp_path / ".ks", tmp_path / ".ks-offline").make_keys()
    (tmp_path / "image").symlink_to(software_image)
    async with station(tmp_path) as made:
        yield made

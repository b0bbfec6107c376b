"""A batch folder made ready for work: checked, locked, its line put together."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..console import ToolError
from ..image_folder import read_folder
from ..workspace import Workspace
from .batch import Batch, read_batch
from .office import Office, OfflineOffice, OnlineOffice
from .people import Console, Fixture, People
from .run import Line, View
from .store import Store

LOCK: Final = ".lock"


@contextmanager
def opened(batch: Batch, view: View, workspace: Workspace) -> Iterator[Line]:
    """The line of a batch, for nobody else meanwhile. Raises ToolError for what cannot work."""
    board = batch.find_board()
    image = read_folder(batch.path(batch.image))
    if image.board != board.name:
        raise ToolError(f"{image.folder} is for {image.board}, and the batch for {board.name}")
    if batch.key == "injected" and not image.facts.get("allow_injection"):
        raise ToolError('key = "injected" needs an image built with --allow-injection')
    batch.read_trust(), batch.authority(), batch.wifi_password()
    with locked(batch.folder), Store(batch.folder) as store:
        stop = threading.Event()
        people = people_of(batch, view, stop, board.test.person_timeout_s)
        office = office_of(batch, store, workspace)
        yield Line(batch, board, image, store, office, people, view, stop)


def open_batch(folder: Path, operator: str) -> Batch:
    """The batch of a folder, with the operator of this shift."""
    batch = read_batch(folder)
    return batch.model_copy(update={"operator": operator}) if operator else batch


def office_of(batch: Batch, store: Store, workspace: Workspace) -> Office:
    """As batch.toml says. Raises ToolError where it is online and there is no token for it."""
    if batch.server.admit == "offline":
        return OfflineOffice(batch, store)
    return OnlineOffice(batch, workspace.find_admin_token())


def people_of(batch: Batch, view: View, stop: threading.Event, patience_s: float) -> People:
    """A fixture, where there is one, with a person beside it."""
    person = Console(view.question, stop, patience_s)
    return Fixture(batch.test.fixture, person) if batch.test.fixture else person


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Two programs in one folder would give one serial number twice."""
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ToolError(f"{folder} is in use by another `ks factory`") from None
        yield

"""One board at a developer's desk: `ks factory flash PORT`, which flash.sh calls.

The line's own steps, with a batch of the desk's in the workspace. Readers, keys and lights are not
tested, labels not scanned. Every step says what it does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..board_file import find_board
from ..console import ToolError, say, warn
from ..image_folder import CHIP
from ..workspace import Workspace
from .batch import FILE, Batch, checked
from .feature_tests import named
from .keep import renew
from .opening import opened
from .run import Line, UnitRun, Verdict
from .steps import REJECT
from .view import PlainView

FOLDER: Final = "desk"
LAST: Final = 999_999
HEARTBEAT_S: Final = 120


@dataclass(frozen=True)
class Wishes:
    """What the options say. `image`: a folder of `ks image build`; else `micropython` is built."""

    board: str
    image: Path | None
    micropython: Path | None
    server: str
    wifi: str
    device_id: str
    keep: bool
    erase_identity: bool
    yes: bool
    software: str = ""


def flash(port: str, wishes: Wishes, workspace: Workspace) -> bool:
    """Do it; whether it passed. Raises ToolError for what a person has to put right first."""
    folder = workspace.data / FOLDER
    workspace.make_data_folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    image = wishes.image or _built(wishes, folder, workspace)
    with _line(folder, image, wishes, workspace) as line:
        _check_server(line, wishes.server)
        run = DeskRun(line, port)
        if wishes.keep:
            say(f"{port}: keeps identity and data, and writes the code anew")
            d1 = renew(run)
            say(f"{port}: PASS {d1 or 'a unit without an identity'} has the new code")
            return True
        return run.run() in (Verdict.PASS, Verdict.ALREADY)


class DeskRun(UnitRun):
    """At a desk, a board is begun anew without further words, once its identity may be erased."""

    def _detect(self) -> None:
        super()._detect()
        if self.unit.state == REJECT or (self.line.may_erase_identity and self.unit.step):
            self.unit = self.store.rework(self.unit)

    def _work(self) -> Verdict:
        verdict = super()._work()
        if verdict is Verdict.ALREADY:
            say(f"{self.port}: to begin anew: --erase-identity; to renew its code alone: --keep")
        return verdict


@contextmanager
def _line(folder: Path, image: Path, wishes: Wishes, workspace: Workspace) -> Iterator[Line]:
    batch = _batch(folder, image, wishes, workspace)
    if batch.server.admit == "offline":
        warn(f"no admin token: {folder / 'whitelist.jsonl'} is to be imported at the server")
    with opened(batch, PlainView(explain=True), workspace) as line:
        line.may_erase_identity = wishes.erase_identity
        line.save_journal = lambda held: (
            wishes.yes
            or line.people.confirm(
                "", "journal", f"the board holds {held}; save its journal first?"
            )
        )
        yield line


def _batch(folder: Path, image: Path, wishes: Wishes, workspace: Workspace) -> Batch:
    board = find_board(wishes.board)
    try:
        workspace.find_admin_token()
        is_online = True
    except ToolError:
        is_online = False
    values: dict[str, Any] = {
        "folder": folder,
        "board": wishes.board,
        "image": str(image.resolve()),
        "trust": str(workspace.trust.resolve()),
        "station": FOLDER,
        "device_id": wishes.device_id,
        "serials": {"prefix": "desk-", "first": 1, "last": LAST},
        "server": {
            "url": wishes.server,
            "admit": "online" if is_online else "offline",
            "tokens": True,
            "heartbeat_timeout_s": HEARTBEAT_S if is_online else 0,
        },
        "label": {"person": False},
        "test": {"skip": [name for name, _ in named(board)]},
    }
    if wishes.wifi:
        values["wifi"] = {"ssid": wishes.wifi}
    return checked(folder / FILE, values)


def _check_server(line: Line, url: str) -> None:
    """A board cannot reach a server by the name that a computer has for itself."""
    host = urlsplit(url).hostname or ""
    try:
        is_own = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_own = host == "localhost"
    if is_own and line.image.built_for == CHIP:
        raise ToolError(f"{url} is the board itself: --server with this computer's own address")


def _built(wishes: Wishes, folder: Path, workspace: Workspace) -> Path:
    """The desk's image for the board: built anew from --micropython, else the last one."""
    from .. import image_build, image_release
    from ..image_micropython import read_image

    board = find_board(wishes.board)
    target = folder / "images" / board.name
    if wishes.micropython is None:
        if target.is_dir():
            return target
        raise ToolError(
            f"which MicroPython? Download {board.micropython.image} from {board.micropython.page} "
            "and name it: --micropython FILE"
        )
    say(f"builds {target} from {wishes.micropython}")
    architecture = wishes.software or board.arch
    release = image_release.made_release(workspace, architecture, "1.0.0", "")
    micropython = read_image(wishes.micropython, board)
    order = image_build.Order(board, micropython, release, architecture)
    image_build.build_image(order, target)
    return target

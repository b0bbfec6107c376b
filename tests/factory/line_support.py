"""A line of the factory on which everything but the unit is real, for tests without processes."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ks_simulator.keys import RoleKeys, encode_trust
from ks_tools.board_file import Board, find_board
from ks_tools.factory.batch import Batch, checked
from ks_tools.factory.label import label_of
from ks_tools.factory.office import OfflineOffice, Token
from ks_tools.factory.run import Line, UnitRun, Verdict, View
from ks_tools.factory.store import Store, Unit
from ks_tools.image_folder import FACTS, ImageFolder, part_of, read_folder
from ks_tools.image_partitions import table

from .fake_unit import FakeUnit

PORT = "/dev/ttyTEST0"


def make_image(folder: Path, board: Board, injection: bool = False) -> ImageFolder:
    """An image folder with real facts; nothing in it runs."""
    folder.mkdir()
    contents = {
        "bootloader": (0x1000, b"boot"),
        "partition-table": (0x8000, table(board)),
        "micropython": (0x10000, b"python"),
        "vfs": (0x1D0000, b"files"),
        "factory": (0, b"all"),
    }
    parts = []
    for name, (offset, data) in contents.items():
        path = folder / f"{name}.bin"
        path.write_bytes(data)
        part = part_of(name, path, offset, len(data))
        parts.append(dict(vars(part)))
    facts = {
        "form": 1, "board": board.name, "chip": board.chip, "built_for": "software-chip",
        "flash": board.flash, "release": {"fw2": "1.0.0"}, "parts": parts[:-1],
        "factory": parts[-1], "allow_injection": injection,
    }  # fmt: skip
    (folder / FACTS).write_text(json.dumps(facts))
    return read_folder(folder)


def make_batch(folder: Path, **changes: Any) -> Batch:
    """A batch.toml's values, with a trust store and an image beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "trust.toon").write_bytes(encode_trust(RoleKeys.make().trusted()))
    board = changes.get("board", "esp32_generic")
    if not (folder / "image").exists():
        make_image(folder / "image", find_board(board), changes.get("key") == "injected")
    values = {
        "folder": folder,
        "board": board,
        "image": "image",
        "trust": "trust.toon",
        "station": "A",
        "operator": "Ada",
        "serials": {"first": 1, "last": 9, "digits": 4},
        "server": {"url": "https://ks.example", "admit": "offline", "tokens": True},
        "wifi": {"ssid": "factory"},
    }
    return checked(folder / "batch.toml", {**values, **changes})


class FakeOffice:
    """A server in memory: which key each id has, and which tokens were made."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.tokens: list[str] = []
        self.fails = 0

    def token(self, unit: Unit) -> Token | None:
        self.tokens.append(f"token-{len(self.tokens)}-of-{unit.d1}")
        return Token(self.tokens[-1], 1_800_000_000_000)

    def admit(self, unit: Unit) -> dict[str, Any]:
        self.keys[str(unit.d1)] = str(unit.public_key)
        return {}

    def heard_of(self, unit: Unit, limit_s: float, stop: threading.Event) -> bool:
        return True


class FakePeople:
    """Sees and presses everything, and scans the right label unless told otherwise."""

    def __init__(self) -> None:
        self.scans: list[str] = []
        self.acts: list[str] = []
        self.answers: dict[str, bool] = {}

    def act(self, port: str, kind: str, text: str) -> None:
        self.acts.append(kind)

    def confirm(self, port: str, kind: str, text: str) -> bool:
        return self.answers.get(kind, True)

    def scan(self, port: str, text: str) -> str:
        wanted = text.removeprefix("scan the label of ")
        return self.scans.pop(0) if self.scans else wanted


class Witness(View):
    """Remembers what was shown."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.verdicts: list[tuple[Verdict, str]] = []

    def step(self, port: str, unit: Unit | None, name: str) -> None:
        self.steps.append(name)

    def verdict(self, port: str, unit: Unit | None, verdict: Verdict, text: str) -> None:
        self.verdicts.append((verdict, text))


class World:
    """One batch and its line; `plug` runs a unit."""

    def __init__(self, batch: Batch, store: Store) -> None:
        self.batch = batch
        self.store = store
        self.office = FakeOffice()
        self.people = FakePeople()
        self.view = Witness()
        self.image = read_folder(batch.path(batch.image))
        self.line = Line(
            batch, batch.find_board(), self.image, store, self.office, self.people, self.view
        )

    def unit(self, mac: str = "26:0a:c4:00:00:01") -> FakeUnit:
        """A blank board."""
        return FakeUnit(self.image, mac)

    def plug(self, unit: FakeUnit, **changes: Any) -> Verdict:
        """Run a unit as the line would."""
        line = replace(self.line, make_flasher=unit.flasher, open_link=unit.link, **changes)
        return UnitRun(line, PORT).run()

    def record(self, unit: FakeUnit) -> Unit:
        found = self.store.unit(unit.mac, "esp32")
        assert found is not None
        return found

    @property
    def said(self) -> str:
        """The text of the last verdict."""
        return self.view.verdicts[-1][1]

    def label(self, unit: FakeUnit) -> str:
        return label_of(self.record(unit)).code

    def offline(self) -> OfflineOffice:
        return OfflineOffice(self.batch, self.store)


@contextmanager
def a_line(folder: Path, **changes: Any) -> Iterator[World]:
    """A batch in a folder, ready for units."""
    batch = make_batch(folder, **changes)
    with Store(folder) as store:
        yield World(batch, store)

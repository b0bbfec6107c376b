"""boards/NAME/board.toml: a board's chip, flash, pins, and what its factory test expects.

What is wrong with one is told with its line and the reason, all of it at once
(`board_file_check`). `device_record` is what the terminal itself gets to know.
"""

from __future__ import annotations

import binascii
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ks_agent import toon
from ks_agent.store import as_text

from .boards_lines import Lines, Place
from .console import ToolError

BOARDS: Final = Path(__file__).resolve().parents[2] / "boards"
BOARD_FILE: Final = "board.toml"
# Where the terminal reads it, on the partition `vfs`.
DEVICE_FILE: Final = "board.toon"
DOWNLOADS: Final = "https://micropython.org/download/"

Pins = int | list[int]


class BoardError(ToolError):
    """What is wrong with a board.toml: a line FILE:NUMBER: REASON for each problem."""

    def __init__(self, path: Path, problems: list[tuple[int, str]]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(f"{path}:{line}: {text}" for line, text in self.problems))


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Partition(_Table):
    """Offset and size in bytes."""

    type: Literal["app", "data"]
    subtype: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


class Feature(_Table):
    """A reader, an indicator or a button; `kind` is its file in ks_board/features."""

    kind: str
    pins: dict[str, Pins]
    options: dict[str, str | int] = {}

    def numbers(self, role: str) -> list[int]:
        """The pins of a role, one or more."""
        pins = self.pins[role]
        return pins if isinstance(pins, list) else [pins]


class MicroPython(_Table):
    """The image's name at micropython.org, with its variant behind a hyphen where it has one, and
    the versions that this project goes by."""

    image: Annotated[str, Field(pattern=r"^[A-Z0-9_]+(-[A-Z0-9_]+)?$")]
    versions: Annotated[list[str], Field(min_length=1)]

    @property
    def page(self) -> str:
        """Where the user downloads it."""
        return f"{DOWNLOADS}{self.image.partition('-')[0]}/"


class Limits(_Table):
    """What the factory test demands of a unit."""

    rssi_min_dbm: Annotated[int, Field(ge=-100, le=0)] = -75
    heap_min_bytes: Annotated[int, Field(ge=0)] = 40_000
    clock_max_ppm: Annotated[int, Field(gt=0, le=100_000)] = 2_000
    person_timeout_s: Annotated[int, Field(gt=0, le=3_600)] = 60


class Board(_Table):
    """A board.toml that has been checked."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    chip: Literal["esp32", "esp32s3", "esp32c3"]
    flash: int
    arch: Literal["xtensawin", "rv32imc"]
    micropython: MicroPython
    psram: Literal["quad", "octal"] | None = None
    allow_strapping: list[int] = []
    partitions: dict[str, Partition]
    feature: list[Feature] = []
    test: Limits = Limits()

    @property
    def app(self) -> str:
        """The partition that holds MicroPython when the unit leaves the factory."""
        return "factory" if "factory" in self.partitions else "ota_0"

    @property
    def is_updatable(self) -> bool:
        """Whether MicroPython itself can be updated: there are two partitions for it."""
        return "ota_1" in self.partitions


def read_board(path: Path) -> Board:
    """A board.toml. Raises BoardError, which says what is wrong and in which line."""
    from .board_file_check import problems

    text = _text(path)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+)", str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        raise BoardError(path, [(line, f"not TOML: {error}")]) from None
    lines = Lines(text)
    try:
        board = Board.model_validate(found)
    except ValidationError as error:
        wrong = [(lines.of(_place(each["loc"])), _reason(each)) for each in error.errors()]
        raise BoardError(path, sorted(set(wrong))) from None
    wrong = [(lines.of(place), reason) for place, reason in problems(board)]
    if board.name != path.parent.name:
        wrong.append((lines.of(("name",)), f"the name is {board.name}, the folder's another"))
    if wrong:
        raise BoardError(path, wrong)
    return board


def find_board(name: str, folder: Path = BOARDS) -> Board:
    """The board of that name, or that board.toml. Raises ToolError."""
    as_path = Path(name)
    if as_path.suffix == ".toml":
        return read_board(as_path)
    path = folder / name / BOARD_FILE
    if as_path.name != name or not path.is_file():
        known = ", ".join(sorted(each.parent.name for each in folder.glob(f"*/{BOARD_FILE}")))
        raise ToolError(f"no board {name}: one of {known}, or the path of a board.toml")
    return read_board(path)


def device_record(board: Board) -> bytes:
    """`board.toon`: NAME, CHIP and a row KIND, OPTIONS, PINS for each feature, as a record."""
    message: dict[str, object] = {"NAME": board.name, "CHIP": board.chip}
    if board.feature:
        message["FEATURE"] = [
            {
                "KIND": each.kind,
                "OPTIONS": _words(each.options),
                "PINS": _words({role: _listed(pins) for role, pins in each.pins.items()}),
            }
            for each in board.feature
        ]
    data = bytes(toon.encode(message, as_text)) + b"\n"
    return data + b"# crc32:%08x\n" % binascii.crc32(data)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BoardError(path, [(1, "not UTF-8")]) from None


def _words(values: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(values.items()))


def _listed(pins: Pins) -> str:
    return ",".join(map(str, pins)) if isinstance(pins, list) else str(pins)


def _place(loc: tuple[int | str, ...]) -> Place:
    """Without what pydantic says of the alternatives it tried."""
    return tuple(part for part in loc if part not in ("int", "str", "list[int]"))


def _reason(error: object) -> str:
    assert isinstance(error, dict)
    name = ".".join(map(str, _place(error["loc"])))
    if error["type"] == "missing":
        return f"{name} is missing"
    if error["type"] == "extra_forbidden":
        return f"{name} is nothing that a board has"
    return f"{name}: {error['msg']}"

"""batch.toml: what a batch of units is made of. One folder a batch, and a copy of it a station.

batch.toml       this file
units.sqlite3    the record (`store`)
labels/          a PNG and a text for each unit
logs/            what happened to each unit, esptool's words included
backups/         journals that were saved before a flash was erased
whitelist.jsonl  for the server, where it cannot be reached from here
"""

from __future__ import annotations

import base64
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ks_simulator.keys import TrustedKey
from ks_simulator.provision import DEFAULT_TYPE

from ..asking import check_id
from ..board_file import Board, find_board
from ..console import ToolError
from ..workspace import read_trust
from .store import Serials

FILE: Final = "batch.toml"
BAUDS: Final = (460_800, 230_400, 115_200)
# Of the server's rules for OTRTs (admin API); here for those that are made without it.
TOKEN_HOURS_MAX: Final = 24 * 90


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SerialRange(_Table):
    """The numbers of this station, both ends included; no other station may have them."""

    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,32}$")] = "KS-"
    first: Annotated[int, Field(ge=0)]
    last: Annotated[int, Field(ge=0)]
    digits: Annotated[int, Field(ge=1, le=18)] = 6


class Server(_Table):
    """Where the terminals go (`url`), and how they get in there.

    `admit`: `online`: by the admin API, now; `offline`: whitelist.jsonl, to be imported later.
    `tokens`: also a one-time token for each unit, bound to its id.
    """

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=200)]
    admin_url: str = ""
    time_server: str = ""
    ca: str = ""
    admit: Literal["online", "offline"] = "online"
    tokens: bool = False
    token_hours: Annotated[int, Field(ge=1, le=TOKEN_HOURS_MAX)] = 24 * 14
    heartbeat_timeout_s: Annotated[int, Field(ge=0, le=3600)] = 0


class Wifi(_Table):
    """The network that a unit joins at first; the password is in a file, or KS_WIFI_PASSWORD."""

    ssid: Annotated[str, Field(min_length=1, max_length=32)]
    password_file: str = ""


class Label(_Table):
    """`print`: a program that prints a label, `scan`: one that reads it, else a person scans.

    In both, {png}, {text} and {serial} are replaced.
    """

    print: list[str] = []
    scan: list[str] = []
    person: bool = True


class Test(_Table):
    """`fixture`: a program that stands in for a person: PROGRAM… PORT KIND, see docs/factory.md."""

    fixture: list[str] = []
    skip: list[str] = []


class Batch(_Table):
    """A batch.toml that has been checked. Paths are relative to its folder."""

    board: str
    image: str
    trust: str
    station: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
    operator: Annotated[str, Field(max_length=64)] = ""
    device_id: str = "{serial}"
    device_type: Annotated[str, Field(min_length=1, max_length=64)] = DEFAULT_TYPE
    maker: Annotated[str, Field(max_length=64)] = "KS"
    model: Annotated[str, Field(max_length=64)] = ""
    key: Literal["device", "injected"] = "device"
    bauds: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1)] = list(BAUDS)
    serials: SerialRange
    server: Server
    wifi: Wifi | None = None
    label: Label = Label()
    test: Test = Test()
    folder: Annotated[Path, Field(strict=False)] = Path()

    @property
    def range(self) -> Serials:
        return Serials(
            self.serials.prefix, self.serials.first, self.serials.last, self.serials.digits
        )

    def path(self, name: str) -> Path:
        """A path of batch.toml."""
        return self.folder / name

    @property
    def board_name(self) -> str:
        """Without the folder that a board of one's own may be in."""
        return Path(self.board).parent.name if self.board.endswith(".toml") else self.board

    def find_board(self) -> Board:
        return find_board(str(self.path(self.board)) if "/" in self.board else self.board)

    def read_trust(self) -> list[TrustedKey]:
        return read_trust(self.path(self.trust))

    def authority(self) -> str:
        """CA as a terminal is told it: base64 of the certificate's DER; "" without one."""
        return _authority(self.path(self.server.ca)) if self.server.ca else ""

    def wifi_password(self) -> str:
        """Of the network; "" for an open one. Raises ToolError."""
        given = os.environ.get("KS_WIFI_PASSWORD")
        if given is not None or self.wifi is None or not self.wifi.password_file:
            return given or ""
        try:
            return self.path(self.wifi.password_file).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise ToolError(f"{self.path(self.wifi.password_file)} cannot be read") from None


def read_batch(folder: Path) -> Batch:
    """The batch of a folder. Raises ToolError, one line that says what is wrong."""
    path = folder / FILE
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ToolError(f"{path} is missing: ks factory new {folder} makes one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ToolError(f"{path}: not TOML: {error}") from None
    found.pop("folder", None)
    batch = checked(path, {**found, "folder": folder})
    if not re.search(r"\{(serial|mac)\}", batch.device_id):
        raise ToolError(f"{path}: device_id names neither {{serial}} nor {{mac}}")
    return batch


def checked(path: Path, values: dict[str, Any]) -> Batch:
    """A batch of these values. Raises ToolError."""
    try:
        batch = Batch.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ToolError(f"{path}: {place}: {first['msg']}") from None
    serials = batch.serials
    if serials.last < serials.first:
        raise ToolError(f"{path}: serials.last is below serials.first")
    if len(str(serials.last)) > serials.digits:
        raise ToolError(f"{path}: serials.last has more than {serials.digits} digits")
    try:
        example = batch.device_id.format(serial=batch.range.text(serials.last), mac="0" * 12)
    except (KeyError, IndexError, ValueError):
        raise ToolError(f"{path}: device_id: only {{serial}} and {{mac}} are known") from None
    check_id(example, f"device id, as {path} would make it")
    return batch


def _authority(path: Path) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise ToolError(f"{path} is no certificate in PEM") from None
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")

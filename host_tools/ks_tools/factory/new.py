"""A new batch folder: `ks factory new`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..console import ToolError
from .batch import FILE, Batch, read_batch

TEMPLATE = """\
# A batch of units; docs/factory.md explains every line. Paths are relative to this folder.
board = "{board}"
image = "{image}"        # made by: ks image build
trust = "{trust}"        # the keys that the units trust, made by: ks keys
station = "{station}"             # a name of its own for each station
device_id = "{{serial}}"      # {{serial}} and {{mac}} are known

# Serial numbers of this station alone, both ends included.
[serials]
prefix = "{prefix}"
first = {first}
last = {last}

[server]
url = "{server}"
admit = "{admit}"          # or "offline": whitelist.jsonl, to be imported later
tokens = true             # a one-time token for each unit, bound to its id
# ca = "ca.pem"           # the authority of the server's certificate
{wifi}
[label]
# print = ["lp", "-d", "labels", "{{png}}"]
person = {scanned}             # whether a person scans every label back

[test]
# fixture = ["./fixture"] # a program in place of the person at the bench
skip = []
"""
WIFI = """
[wifi]
ssid = "{ssid}"
password_file = "wifi.txt" # or KS_WIFI_PASSWORD
"""


@dataclass(frozen=True)
class Wishes:
    """What the options of `ks factory new` say."""

    board: str
    image: Path
    trust: Path
    station: str
    prefix: str
    first: int
    last: int
    server: str
    offline: bool
    wifi: str
    scan: bool


def make_batch(folder: Path, wishes: Wishes) -> Batch:
    """Write batch.toml into a folder, which may be there already. Raises ToolError."""
    path = folder / FILE
    if path.exists():
        raise ToolError(f"{path} is there already")
    for text in (wishes.board, wishes.station, wishes.prefix, wishes.server, wishes.wifi):
        if any(character in '"\\' or not character.isprintable() for character in text):
            raise ToolError(f"{text!r} cannot stand in {FILE}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(
        TEMPLATE.format(
            board=wishes.board,
            image=wishes.image.resolve(),
            trust=wishes.trust.resolve(),
            station=wishes.station,
            prefix=wishes.prefix,
            first=wishes.first,
            last=wishes.last,
            server=wishes.server,
            admit="offline" if wishes.offline else "online",
            wifi=WIFI.format(ssid=wishes.wifi) if wishes.wifi else "",
            scanned="true" if wishes.scan else "false",
        ),
        "utf-8",
    )
    try:
        batch = read_batch(folder)
        batch.find_board()
    except ToolError:
        path.unlink()
        raise
    return batch

"""Option B at a whole unit: the private key is on it, and in nothing that the station keeps."""

import asyncio
import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ks_simulator.keys import public_text
from ks_tools.device_link import DeviceLink
from ks_tools.factory import contents
from ks_tools.factory.opening import open_batch, opened
from ks_tools.factory.run import UnitRun, Verdict
from ks_tools.factory.view import PlainView
from ks_tools.image_build import ALLOW_INJECTION
from ks_tools.image_folder import FACTS, part_of, read_folder
from ks_tools.workspace import Workspace

from .station import NETWORK, Station, boards

pytestmark = pytest.mark.long


def allow_injection(image: Path, target: Path) -> None:
    """The image as `--allow-injection` builds it."""
    shutil.copytree(image, target)
    made = read_folder(target)
    vfs = made.part("vfs")
    fs = contents.mounted(made.path(vfs).read_bytes())
    with fs.open(ALLOW_INJECTION, "wb"):
        pass
    made.path(vfs).write_bytes(bytes(fs.context.buffer))
    anew = vars(part_of("vfs", made.path(vfs), vfs.offset, vfs.room))
    parts = [anew if part["name"] == "vfs" else part for part in made.facts["parts"]]
    facts = {**made.facts, "allow_injection": True, "parts": parts}
    (target / FACTS).write_text(json.dumps(facts))


class Witness(DeviceLink):
    """Knows which private key goes over the line."""

    seeds: list[bytes]

    def inject_key(self, seed: bytes) -> str:
        self.seeds.append(seed)
        return super().inject_key(seed)


def link(seeds: list[bytes]) -> Callable[[str, Callable[[str], None]], DeviceLink]:
    def opened_at(port: str, on_console: Callable[[str], None]) -> DeviceLink:
        made = Witness(port, on_console=on_console)
        made.seeds = seeds
        made.open()
        return made

    return opened_at


async def test_an_injected_key_is_on_the_unit_and_in_no_file_and_no_line_of_the_station(
    line: Station, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, text in line.settings.items():
        monkeypatch.setenv(name, text)
    allow_injection((line.folder / "image").resolve(), line.folder / "injecting")
    await line.new_batch()
    path = line.folder / "batch" / "batch.toml"
    text = path.read_text()
    place = json.dumps(str(line.folder / "injecting"))
    rest = [row for row in text.splitlines() if not row.startswith("image")]
    path.write_text("\n".join(['key = "injected"', f"image = {place}", *rest]))
    workspace = Workspace(line.folder / ".ks", line.folder / ".ks-offline")
    seeds: list[bytes] = []
    with (
        boards(line.folder) as (board,),
        opened(open_batch(line.folder / "batch", ""), PlainView(explain=True), workspace) as made,
    ):
        run = UnitRun(replace(made, open_link=link(seeds)), board.url)
        assert await asyncio.to_thread(run.run) is Verdict.PASS
        (unit,) = made.store.units()
        device = await line.heard_of("KS-000001")
        (seed,) = seeds
        assert device["public_key"] == unit.public_key == public_text(seed)
        forms = (seed, seed.hex().encode(), base64.b64encode(seed), base64.urlsafe_b64encode(seed))
        files = [file for file in line.folder.rglob("*") if file.is_file()]
        holding = {file for file in files if any(form in file.read_bytes() for form in forms)}
        assert holding == {board.flash}, "the unit's own flash alone has it"
        assert {"units.sqlite3", "units.sqlite3-wal"} <= {file.name for file in files}
        said = "".join(capfd.readouterr())
        assert "KS-000001" in said
        assert not any(form.decode("latin-1") in said for form in forms)
        (log,) = (line.folder / "batch" / "logs").iterdir()
        for secret in (unit.setup_password, NETWORK[1], line.server.admin_token):
            assert secret and secret not in said + log.read_text()

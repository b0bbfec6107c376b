"""docs/factory.md: every command on it, in its order, by a person with a box of software chips."""

import re
import shlex
import signal
import sys
from pathlib import Path

import pytest

from ks_chip.rack import Place
from ks_simulator import chip_application
from ks_tools.cli import run
from ks_tools.factory.office import write_whitelist
from ks_tools.factory.store import Store
from tests.only_once import Compiler
from tests.tools.chip_image import write_micropython
from tools.micropython import ROOT

from . import pictures
from .station import NETWORK, Station, boards, script, station, until

pytestmark = pytest.mark.long
PAGE = (ROOT / "docs" / "factory.md").read_text("utf-8")
DESK = "ks-260ac4000001"
SERVER = "http://192.168.1.10:8080"
# What is not for this page to prove: `make test` has made the environment that it runs in.
LEFT_OUT = ("make env", ". .venv/bin/activate")


def commands() -> list[str]:
    """The lines of the page's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_the_page_names_every_command_and_option_of_the_line() -> None:
    from typer.main import get_command

    from ks_tools.factory_command import app

    group = get_command(app)
    for name in group.commands:  # type: ignore[attr-defined]
        assert f"ks factory {name}" in PAGE or name == "flash", name


def test_every_step_is_explained() -> None:
    from ks_tools.factory.steps import NAMES

    assert re.findall(r"^\| `([a-z]+)` \| ", PAGE, re.MULTILINE)[: len(NAMES)] == list(NAMES)


def test_every_line_of_batch_toml_is_explained() -> None:
    from ks_tools.factory import batch

    section = PAGE.partition("## batch.toml")[2].partition("\n## ")[0]
    for table in (batch.Batch, batch.Server, batch.SerialRange, batch.Wifi, batch.Label):
        for name in set(table.model_fields) - {"folder", "serials", "server", "wifi", "label"}:
            assert f"`{name}`" in section or name == "test", name


class Reader:
    """Does what the page says, with chips in place of the ports that it names."""

    def __init__(self, line: Station, desk: str, bench: list[str], late: Place) -> None:
        self.line = line
        self.desk = desk
        self.bench = bench
        self.late = late

    async def follow(self, command: str) -> None:
        words = shlex.split(command)
        if words[0] == "./flash.sh":
            await self.flash(self.meant(words[1:], [self.desk]))
        elif words[:3] == ["ks", "factory", "run"] and "--watch" in words:
            await self.watch(self.meant(words[1:], self.bench))
        elif words[0] == "ks":
            await self.expect_success(
                sys.executable, "-m", "ks_tools", *self.meant(words[1:], self.bench)
            )
        else:
            raise AssertionError(f"who runs {command!r}?")

    async def flash(self, words: list[str]) -> None:
        """Each time it heartbeats afterwards, and `--keep` alone leaves it its key."""
        before = await self.line.api.device(DESK)
        await self.expect_success(script("flash.sh"), *words)
        after = await self.line.heard_of(DESK, before["last_heartbeat"] if before else "")
        if before is not None:
            is_kept = after["public_key"] == before["public_key"]
            assert is_kept == ("--keep" in words)

    def meant(self, words: list[str], ports: list[str]) -> list[str]:
        text = "\0".join(words).replace(SERVER, self.line.server.url)
        for number, port in enumerate(ports):
            text = text.replace(f"/dev/ttyUSB{number}", port)
        assert "/dev/tty" not in text, "a real port"
        if words[:2] == ["whitelist", "import"]:
            text += f"\0--server\0{self.line.server.url}"
        return text.split("\0")

    async def expect_success(self, *command: str) -> None:
        status, said = await self.line.run(*command)
        assert status == 0, f"{command}: {said}"

    async def watch(self, words: list[str]) -> None:
        """Never at the ports of the machine that runs the tests; a board comes while it watches."""
        ports = ["--ports", ",".join([*self.bench, self.late.url])]
        process = await self.line.start(sys.executable, "-m", "ks_tools", *words, *ports)
        for _ in self.bench:
            await until(process, ": DONE")
        with self.late.control() as control:
            control.ask("plug")
        await until(process, self.late.url, ": PASS")
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 130


def build_for_real(folder: Path, command: str, compiler: Compiler) -> None:
    """`ks image build` for a real chip, which the software chips cannot run."""
    download = re.search(r"--micropython (\S+)", command)
    assert download
    write_micropython(folder / download[1], "esp32")
    words = shlex.split(command)[1:]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(chip_application, "compiled", compiler)
        assert run(words) == 0


def equip(batch: Path) -> None:
    """What a factory changes in batch.toml: its scanner, and nobody at the bench."""
    path = batch / "batch.toml"
    scan = f"scan = {[sys.executable, pictures.__file__, '{png}']!r}".replace("'", '"')
    text = path.read_text().replace("skip = []", 'skip = ["button", "led"]')
    path.write_text(text.replace("[label]", f"[label]\n{scan}"))


async def test_a_new_user_follows_the_page(
    tmp_path: Path, software_image: Path, compiler: Compiler
) -> None:
    before, keys, after = "\n".join(commands()).partition("ks keys\n")
    assert before.splitlines() == list(LEFT_OUT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert run(keys.split()[1:]) == 0
    async with station(tmp_path) as line:
        await follow_the_page(line, after.splitlines(), software_image, compiler)


async def follow_the_page(
    line: Station, page: list[str], software_image: Path, compiler: Compiler
) -> None:
    with boards(line.folder, 4) as (*places, late):
        with late.control() as control:
            control.ask("unplug")
        desk, *bench = (place.url for place in places)
        reading = Reader(line, desk, bench, late)
        for command in page:
            if command == f"export KS_WIFI_PASSWORD={NETWORK[1]}":  # as the station has it
                continue
            if command.startswith("ks image build"):
                build_for_real(line.folder, command, compiler)
                (line.folder / "image").rename(line.folder / "image-for-chips")
                (line.folder / "image").symlink_to(software_image)
                continue
            if command.startswith("ks whitelist import"):
                with Store(line.folder / "batch-7") as store:
                    units = [unit for unit in store.units() if unit.public_key]
                    write_whitelist(line.folder / "batch-7" / "whitelist.jsonl", units)
            await reading.follow(command)
            if command.startswith("ks factory new"):
                equip(line.folder / shlex.split(command)[3])
        with Store(line.folder / "batch-7") as store:
            units = store.units()
        assert [unit.serial for unit in units] == ["KS-000001", "KS-000002", "KS-000003"]
        assert [unit.generation for unit in units] == [1, 0, 0], "the first was reworked"
        for unit in units:
            await line.heard_of(str(unit.serial), key=unit.public_key)
    rows = (line.folder / "units.csv").read_text().splitlines()
    assert len(rows) == 1 + len(units)

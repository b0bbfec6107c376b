"""`--keep`: new code, and whose the unit is stays, whenever the power goes meanwhile."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from littlefs import LittleFS

from ks_agent import toon
from ks_agent.store import as_text
from ks_tools.factory import contents
from ks_tools.factory.errors import Interrupted, Refused
from ks_tools.factory.esptool import TABLE_OFFSET, Chip
from ks_tools.factory.keep import BOOT_RECORD, renew
from ks_tools.factory.run import UnitRun
from ks_tools.image_folder import ImageFolder

from .fake_unit import MAC
from .line_support import PORT, World, a_line

BLOCK = contents.BLOCK
PROGRAM = 0x10000
FACTORY = bytes(toon.encode({"D1": "ks-7"}, as_text)) + b"\n"
OLD = {"boot.py": b"old", "factory.toon": FACTORY, "trust.toon": b"renewed", "slot_a/x": b"old"}
NEW = {"boot.py": b"new", "trust.toon": b"as built", "slot_a/y": b"new"}
DATA = {"journal/00000001": b"punches" * 2000, "state/boot.toon": b"boots slot b", "state/s": b"s"}


def littlefs(files: Mapping[str, bytes], size: int) -> bytes:
    fs = LittleFS(block_size=BLOCK, block_count=size // BLOCK)
    for path, data in files.items():
        if "/" in path:
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        with fs.open(path, "wb") as file:
            file.write(data)
    return bytes(fs.context.buffer)


def files_of(data: bytes) -> dict[str, bytes]:
    fs = contents.mounted(data)
    found = {}
    for folder, _, names in fs.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with fs.open(path, "rb") as file:
                found[path.lstrip("/")] = bytes(file.read())
    return found


class Memory:
    """A flash; `cut` counts operations down to the one in whose midst the power goes."""

    def __init__(self, size: int) -> None:
        self.flash = bytearray(b"\xff" * size)
        self.operations = 0
        self.cut = 0
        self.retries = 0

    def put(self, offset: int, data: bytes) -> None:
        self.operations += 1
        is_the_one = self.operations == self.cut
        data = data[: len(data) // 2] if is_the_one else data
        self.flash[offset : offset + len(data)] = data
        if is_the_one:
            raise Interrupted("the power went")

    def detect(self) -> Chip:
        return Chip("esp32", MAC, self.read(TABLE_OFFSET, 0x1000))

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.flash[offset : offset + size])

    def erase(self, offset: int, size: int) -> None:
        self.put(offset, b"\xff" * size)

    def write(self, parts: Sequence[tuple[int, Path]], erase: bool) -> None:
        assert not erase
        for offset, path in sorted(parts):
            data = path.read_bytes()
            assert offset % BLOCK == 0
            assert self.flash[PROGRAM] == 0xFF, "it would start while it is written"
            self.put(offset, data)

    def verify(self, parts: Sequence[tuple[int, Path]]) -> None:
        for offset, path in parts:
            data = path.read_bytes()
            assert self.read(offset, len(data)) == data


def old_unit(image: ImageFolder) -> Memory:
    """A terminal with older code, its own key and its own punches."""
    memory = Memory(image.flash)
    table = image.path(image.part("partition-table")).read_bytes()
    places = contents.read_table(table)
    memory.flash[TABLE_OFFSET : TABLE_OFFSET + len(table)] = table
    memory.flash[PROGRAM : PROGRAM + 16] = b"\xe9" + b"old program 123"
    for name, files in (("vfs", OLD), ("data", DATA)):
        place = places[name]
        memory.flash[place.offset : place.offset + place.size] = littlefs(files, place.size)
    memory.flash[places["nvs"].offset : places["nvs"].offset + 32] = (
        b"private key, among other things."
    )
    return memory


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_line(tmp_path / "batch") as made:
        vfs = made.image.path(made.image.part("vfs"))
        vfs.write_bytes(littlefs(NEW, 0xF0000))
        made.image.path(made.image.part("micropython")).write_bytes(b"\xe9new program")
        yield made


def kept(world: World, memory: Memory) -> str:
    return renew(UnitRun(replace(world.line, make_flasher=lambda *_: memory), PORT))


def check_kept(world: World, memory: Memory, before: Memory) -> None:
    places = contents.read_table(memory.read(TABLE_OFFSET, 0x1000))
    nvs, vfs, data = (places[name] for name in ("nvs", "vfs", "data"))
    own = {name: OLD[name] for name in ("factory.toon", "trust.toon")}
    assert files_of(memory.read(vfs.offset, vfs.size)) == {**NEW, **own}
    assert memory.read(nvs.offset, nvs.size) == before.read(nvs.offset, nvs.size)
    left = {name: text for name, text in DATA.items() if name != BOOT_RECORD}
    assert files_of(memory.read(data.offset, data.size)) == left
    assert memory.read(PROGRAM, 12) == b"\xe9new program"
    assert list((world.batch.folder / "backups").iterdir()) == []


def test_new_code_leaves_key_identity_and_punches(world: World) -> None:
    memory, before = old_unit(world.image), old_unit(world.image)
    assert kept(world, memory) == "ks-7"
    check_kept(world, memory, before)


def test_a_power_cut_in_the_midst_of_any_operation_is_gone_on_from(world: World) -> None:
    whole, before = old_unit(world.image), old_unit(world.image)
    kept(world, whole)
    for cut in range(1, whole.operations + 1):
        memory = old_unit(world.image)
        memory.cut = cut
        with pytest.raises(Interrupted):
            kept(world, memory)
        memory.cut = 0
        assert kept(world, memory) == "ks-7", cut
        check_kept(world, memory, before)


def test_a_flash_that_is_divided_otherwise_is_left_alone(world: World) -> None:
    memory = old_unit(world.image)
    memory.flash[TABLE_OFFSET + 4] ^= 1
    before = bytes(memory.flash)
    with pytest.raises(Refused, match="divided otherwise"):
        kept(world, memory)
    assert memory.flash == before


def test_a_vfs_that_cannot_be_read_is_left_alone(world: World) -> None:
    memory = old_unit(world.image)
    memory.flash[0x1D0000:0x1D2000] = b"\xff" * 0x2000
    before = bytes(memory.flash)
    with pytest.raises(Refused, match="there is nothing to keep"):
        kept(world, memory)
    assert memory.flash == before

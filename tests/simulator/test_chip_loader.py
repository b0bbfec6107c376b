"""The loader and the flash behind it, without a line: protocol, bounds, and any bytes at all."""

from __future__ import annotations

import struct
import zlib
from functools import reduce
from itertools import pairwise
from operator import xor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ks_chip.flash import SECTOR_BYTES, Flash, OutOfFlash, PowerLost
from ks_chip.flash_transfer import checksum
from ks_chip.models import MODELS, UnknownChip, model_named
from ks_chip.rom_loader import Ending, RomLoader
from ks_chip.slip import MAX_FRAME_BYTES, Frames, frame
from ks_chip.sync import SYNC_FRAME, SyncWatch

SIZE = 16 * SECTOR_BYTES
MAC = bytes.fromhex("240ac4010203")
BEGIN, DATA, END, MEM_END, DEFLATED_BEGIN, DEFLATED = 0x02, 0x03, 0x04, 0x06, 0x10, 0x11
READ, CHANGE_BAUD = 0xD2, 0x0F


@pytest.fixture
def flash(tmp_path: Path) -> Flash:
    return Flash(tmp_path / "flash", SIZE)


@pytest.fixture
def loader(flash: Flash) -> RomLoader:
    return RomLoader(model_named("esp32"), MAC, flash)


def request(command: int, data: bytes = b"", check: int = 0) -> bytes:
    return frame(struct.pack("<BBHI", 0, command, len(data), check) + data)


def block(command: int, number: int, data: bytes, check: int | None = None) -> bytes:
    head = struct.pack("<IIII", len(data), number, 0, 0)
    return request(command, head + data, checksum(data) if check is None else check)


def answers(loader: RomLoader, sent: bytes) -> list[bytes]:
    return Frames().feed(b"".join(loader.receive(sent)))


def status(loader: RomLoader, sent: bytes) -> tuple[int, int]:
    """What the only answer says: 0 0 is done."""
    (answer,) = answers(loader, sent)
    assert answer[0] == 1
    found = answer[-2:] if loader.is_stub else answer[-4:-2]
    return found[0], found[1]


def as_stub(loader: RomLoader) -> RomLoader:
    assert answers(loader, request(MEM_END, struct.pack("<II", 0, 1)))[1] == b"OHAI"
    return loader


@given(st.binary(max_size=40), st.integers(1, 9))
def test_a_frame_comes_back_whole_in_any_pieces(data: bytes, size: int) -> None:
    sent = b"noise" + frame(data) + frame(b"next")
    found = Frames()
    got = [one for at in range(0, len(sent), size) for one in found.feed(sent[at : at + size])]
    assert got == ([data] if data else []) + [b"next"]


def test_a_frame_that_does_not_end_takes_no_more_room_than_the_longest() -> None:
    frames = Frames()
    assert frames.feed(b"\xc0" + b"x" * MAX_FRAME_BYTES) == []
    for _ in range(10):
        assert frames.feed(b"x" * 1000) == []
    assert frames.feed(b"\xc0" + frame(b"next")) == [b"next"]


@given(st.binary(max_size=200))
def test_the_checksum_is_the_exclusive_or_of_all_bytes(data: bytes) -> None:
    assert checksum(data) == reduce(xor, data, 0xEF)


@given(st.binary(max_size=30), st.binary(max_size=30), st.lists(st.integers(0, 110)))
def test_the_sync_frame_is_found_wherever_the_line_parts_it(
    before: bytes, after: bytes, cuts: list[int]
) -> None:
    sent = before + SYNC_FRAME + after
    watch = SyncWatch()
    passed, rest = b"", None
    for start, end in pairwise(sorted({0, *cuts, 200})):
        piece = sent[start:end]
        if rest is not None:
            rest += piece
            continue
        found, rest = watch.feed(piece)
        passed += found
    assert passed == before
    assert rest == after


def test_the_rom_and_the_stub_answer_a_sync_eight_times_each_in_its_way(
    loader: RomLoader,
) -> None:
    rom = answers(loader, SYNC_FRAME)
    stub = answers(as_stub(loader), SYNC_FRAME)
    assert [len(rom), len(stub)] == [8, 8]
    assert struct.unpack("<I", rom[0][4:8])[0] != 0
    assert struct.unpack("<I", stub[0][4:8])[0] == 0


@pytest.mark.parametrize(
    ("sent", "failure"),
    [
        (request(0x55), 0x05),
        (request(READ, bytes(16)), 0x05),
        (request(0x14), 0x05),
        (request(BEGIN, b"short"), 0x05),
        (frame(struct.pack("<BBHI", 0, 0x0A, 9, 0) + bytes(4)), 0x05),
        (request(BEGIN, struct.pack("<IIII", SIZE, 1, 1024, 1)), 0x06),
        (block(DATA, 0, b"x"), 0x06),
        (block(DATA, 0, b"x", check=1), 0x07),
        (request(0x13, struct.pack("<IIII", SIZE, 1, 0, 0)), 0x06),
        (request(0x0E, struct.pack("<II", 0, 65)), 0x05),
        (request(0x09, bytes(15)), 0x05),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_roms_number(
    loader: RomLoader, sent: bytes, failure: int
) -> None:
    assert status(loader, sent) == (1, failure)


def test_deflated_data_that_is_none_or_too_much_is_refused(loader: RomLoader) -> None:
    begin = struct.pack("<IIII", 100, 1, 1024, 0)
    as_stub(loader)
    assert status(loader, request(DEFLATED_BEGIN, begin)) == (0, 0)
    assert status(loader, block(DATA, 0, b"plain")) == (1, 0xC6)
    assert status(loader, block(DEFLATED, 0, b"\0nonsense")) == (1, 0xC7)
    assert status(loader, request(DEFLATED_BEGIN, begin)) == (0, 0)
    assert status(loader, block(DEFLATED, 0, zlib.compress(bytes(1_000_000)))) == (1, 0xC9)
    assert loader.flash.is_erased(0, SIZE)


def test_a_deflated_block_said_twice_is_written_once(loader: RomLoader) -> None:
    data = bytes(range(200))
    packed = zlib.compress(data)
    answers(loader, request(DEFLATED_BEGIN, struct.pack("<IIII", len(data), 2, 1024, 0)))
    for number, piece in ((0, packed[:20]), (0, packed[:20]), (1, packed[20:]), (1, packed[20:])):
        assert status(loader, block(DEFLATED, number, piece)) == (0, 0)
    assert status(loader, block(DEFLATED, 3, b"")) == (1, 0x06)
    assert loader.flash.read(0, len(data)) == data


def test_the_stub_reads_no_further_ahead_than_it_is_asked_to(loader: RomLoader) -> None:
    as_stub(loader)
    loader.flash.program(0, b"data")
    first = answers(loader, request(READ, struct.pack("<IIII", 0, 5000, 1000, 2)))
    assert [len(one) for one in first[1:]] == [1000, 1000]
    assert [len(one) for one in answers(loader, frame(struct.pack("<I", 1000)))] == [1000]
    assert answers(loader, frame(struct.pack("<I", 4000))) == []
    assert len(answers(loader, frame(struct.pack("<I", 3000)))) == 2
    assert [len(one) for one in answers(loader, frame(struct.pack("<I", 5000)))] == [16]


def test_the_ways_out_of_the_loader(flash: Flash) -> None:
    rom = RomLoader(model_named("esp32"), MAC, flash)
    answers(rom, request(END, struct.pack("<I", 1)))
    assert rom.ending is Ending.RUN
    stub = as_stub(RomLoader(model_named("esp32"), MAC, flash))
    answers(stub, request(END, struct.pack("<I", 1)))
    assert (stub.ending, stub.is_stub, stub.stays) == (None, True, False)
    answers(stub, request(END, struct.pack("<I", 0)))
    assert (stub.ending, stub.is_stub, stub.stays) == (None, False, True)
    watched = RomLoader(model_named("esp32c3"), MAC, flash)
    answers(watched, request(0x09, struct.pack("<IIII", 0x60008090, 1 << 31, 0xFFFFFFFF, 0)))
    assert watched.ending is Ending.RESET


commands = st.builds(
    request,
    st.sampled_from([*range(0x02, 0x15), *range(0xD0, 0xD4), 0x55]),
    st.one_of(
        st.binary(max_size=40),
        st.lists(st.sampled_from([0, 1, 2, 64, 4096, SIZE, 2**32 - 1]), max_size=6).map(
            lambda words: struct.pack(f"<{len(words)}I", *words)
        ),
    ),
    st.sampled_from([0, 0xEF]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.sampled_from(sorted(MODELS)),
    st.lists(st.one_of(commands, st.binary(max_size=60), st.just(SYNC_FRAME)), max_size=12),
)
def test_any_bytes_are_answered_or_dropped(flash: Flash, chip: str, sent: list[bytes]) -> None:
    loader = RomLoader(model_named(chip), MAC, flash)
    for piece in sent:
        for answer in loader.receive(piece):
            assert answer.startswith(b"\xc0")
    fresh = RomLoader(model_named(chip), MAC, flash)
    assert len(answers(fresh, SYNC_FRAME)) == 8


def test_a_chip_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UnknownChip, match="no chip esp8266; there are esp32, esp32s3, esp32c3"):
        model_named("esp8266")


def test_a_program_clears_bits_and_an_erase_sets_them(flash: Flash) -> None:
    flash.program(10, b"\xf0")
    flash.program(10, b"\x3c")
    assert flash.read(9, 3) == b"\xff\x30\xff"
    flash.erase(0, SECTOR_BYTES)
    assert flash.is_erased(0, SIZE)


def test_a_flash_outlives_its_process_and_has_an_end(tmp_path: Path, flash: Flash) -> None:
    flash.program(SIZE - 2, b"ab")
    flash.close()
    again = Flash(tmp_path / "flash", SIZE)
    assert again.read(SIZE - 2, 2) == b"ab"
    for wrong in (
        lambda: again.read(SIZE - 1, 2),
        lambda: again.program(SIZE, b"x"),
        lambda: again.erase(0, SIZE + SECTOR_BYTES),
        lambda: again.erase(1, SECTOR_BYTES),
    ):
        with pytest.raises(OutOfFlash):
            wrong()


def test_the_power_goes_in_the_midst_of_an_operation(flash: Flash) -> None:
    flash.program(0, bytes(2 * SECTOR_BYTES))
    assert flash.operations.done == 2
    flash.operations.limit(1)
    with pytest.raises(PowerLost):
        flash.erase(0, 4 * SECTOR_BYTES)
    half = SECTOR_BYTES // 2
    assert flash.is_erased(0, SECTOR_BYTES + half)
    assert flash.read(SECTOR_BYTES + half, half) == bytes(half)
    flash.operations.limit(0)
    with pytest.raises(PowerLost):
        flash.program(3 * SECTOR_BYTES, b"\0\0\0\0")
    assert flash.read(3 * SECTOR_BYTES, 4) == b"\0\0\xff\xff"

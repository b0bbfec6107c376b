"""The `fs` port on LittleFS keeps to what HostFs does in a folder, and to what the chip does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ks_driver.files import HostFs
from ks_simulator.littlefs import LittleFsPort, make_filesystem
from ks_simulator.nor import NorFlash, NotErased

BLOCKS = 16


def formatted() -> NorFlash:
    flash = NorFlash(BLOCKS)
    make_filesystem(flash)
    return flash


@pytest.fixture(params=["flash", "folder"])
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LittleFsPort | HostFs]:
    if request.param == "flash":
        yield LittleFsPort(formatted())
    else:
        yield HostFs(str(tmp_path))


def write(fs: LittleFsPort | HostFs, path: str, data: bytes, mode: str = "wb") -> None:
    with fs.open(path, mode) as file:
        file.write(data)
        fs.sync(file)


def read(fs: LittleFsPort | HostFs, path: str) -> bytes:
    with fs.open(path, "rb") as file:
        return bytes(file.read())


def test_what_was_written_is_read(fs: LittleFsPort) -> None:
    fs.mkdir("a")
    write(fs, "a/x", bytes(range(256)) * 30)
    assert read(fs, "a/x") == bytes(range(256)) * 30
    assert fs.stat("a/x") == 7680
    assert fs.listdir("") == ["a"]
    assert fs.listdir("a") == ["x"]
    assert fs.is_dir("a") and not fs.is_dir("a/x") and not fs.is_dir("b")


def test_appended_bytes_follow_those_that_were_there(fs: LittleFsPort) -> None:
    write(fs, "x", b"one", "ab")
    write(fs, "x", b"two", "ab")
    assert read(fs, "x") == b"onetwo"


def test_a_file_is_read_and_changed_from_a_position(fs: LittleFsPort) -> None:
    write(fs, "x", b"0123456789")
    with fs.open("x", "rb") as file:
        assert file.seek(4) == 4
        assert file.read(2) == b"45"
        buffer = bytearray(8)
        assert file.readinto(buffer) == 4
        assert bytes(buffer[:4]) == b"6789"
        assert file.read(1) == b""
    with fs.open("x", "r+b") as file:
        file.seek(2)
        file.write(b"--")
    assert read(fs, "x") == b"01--456789"


def test_lines_are_read_with_their_ends(fs: LittleFsPort) -> None:
    write(fs, "x", b"one\ntwo")
    with fs.open("x", "rb") as file:
        assert [file.readline(), file.readline(), file.readline()] == [b"one\n", b"two", b""]


def test_a_rename_replaces(fs: LittleFsPort) -> None:
    write(fs, "x", b"new")
    write(fs, "y", b"old")
    fs.rename("x", "y")
    assert read(fs, "y") == b"new"
    assert fs.listdir("") == ["y"]


def test_files_and_empty_folders_are_removed(fs: LittleFsPort) -> None:
    fs.mkdir("a")
    write(fs, "a/x", b"x")
    with pytest.raises(OSError) as full:
        fs.rmdir("a")
    assert full.value.errno == 39
    fs.remove("a/x")
    fs.rmdir("a")
    assert fs.listdir("") == []


@pytest.mark.parametrize(
    ("method", "arguments", "number"),
    [
        ("open", ("absent", "rb"), 2),
        ("open", ("absent", "r+b"), 2),
        ("open", ("absent/x", "wb"), 2),
        ("open", ("x", "w"), 22),
        ("open", ("../x", "rb"), 22),
        ("stat", ("absent",), 2),
        ("remove", ("absent",), 2),
        ("rmdir", ("absent",), 2),
        ("rename", ("absent", "b"), 2),
        ("listdir", ("absent",), 2),
        ("mkdir", ("a",), 17),
        ("mkdir", ("absent/b",), 2),
        ("stat", ("a/../a",), 22),
    ],
)
def test_a_failure_has_the_number_that_it_has_everywhere(
    fs: LittleFsPort, method: str, arguments: tuple[str, ...], number: int
) -> None:
    fs.mkdir("a")
    with pytest.raises(OSError) as failure:
        getattr(fs, method)(*arguments)
    assert failure.value.errno == number


def test_a_closed_file_is_closed(fs: LittleFsPort) -> None:
    file = fs.open("x", "wb")
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")


def test_a_file_is_read_or_written_as_it_was_opened(fs: LittleFsPort) -> None:
    with fs.open("x", "wb") as file, pytest.raises(OSError):
        file.read()
    with fs.open("x", "rb") as file, pytest.raises(OSError):
        file.write(b"x")


def test_a_full_flash_says_so_and_keeps_what_it_has() -> None:
    fs = LittleFsPort(formatted())
    written = 0
    with pytest.raises(OSError) as full:
        while True:
            write(fs, f"f{written}", bytes(4096))
            written += 1
    assert full.value.errno == 28
    assert written > BLOCKS // 2
    again = LittleFsPort(NorFlash(BLOCKS, image=bytes(fs.flash.memory)))
    assert read(again, f"f{written - 1}") == bytes(4096)


def test_what_is_synced_is_there_after_a_reset_and_what_is_not_is_not() -> None:
    flash = formatted()
    fs = LittleFsPort(flash)
    file = fs.open("x", "wb")
    file.write(b"synced")
    fs.sync(file)
    file.write(b" and not")
    assert read(LittleFsPort(NorFlash(BLOCKS, image=bytes(flash.memory))), "x") == b"synced"


def test_room_is_told_in_whole_blocks() -> None:
    fs = LittleFsPort(formatted())
    total, free = fs.room()
    assert total == BLOCKS * 4096
    assert free == total - 2 * 4096
    write(fs, "x", bytes(5000))
    assert fs.room() == (total, free - 2 * 4096)


def test_a_folder_counts_twice_as_it_does_on_micropython() -> None:
    fs = LittleFsPort(formatted())
    fs.mkdir("a")
    free = fs.room()[1]
    assert free == (BLOCKS - 2 - 4) * 4096
    fs.mkdir("b")
    fs.mkdir("b/c")
    assert fs.room()[1] == free - 8 * 4096
    fs.rename("b", "d")
    assert fs.room()[1] == free - 8 * 4096
    fs.rmdir("d/c")
    assert fs.room()[1] == free - 4 * 4096


def test_a_flash_without_a_filesystem_is_not_mounted() -> None:
    with pytest.raises(OSError) as corrupt:
        LittleFsPort(NorFlash(BLOCKS))
    assert corrupt.value.errno == 84


def test_what_the_chip_cannot_do_is_told_to_the_caller() -> None:
    flash = formatted()
    fs = LittleFsPort(flash)
    flash.memory[4096 * 2 :] = bytes(len(flash.memory) - 4096 * 2)
    flash.erase = lambda block: None  # type: ignore[method-assign]
    with pytest.raises(NotErased):
        fs.mkdir("a")

"""MemoryFs is a folder: whatever is done to both, both answer the same."""

import errno
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ks_driver.files import HostFs
from ks_simulator.memory import MemoryFs, MemoryVault

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
DATA = st.binary(max_size=8)


class SameAsAFolder(RuleBasedStateMachine):
    """Runs each operation on a real folder and in memory, and compares what comes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.real = HostFs(self.folder.name)
        self.memory = MemoryFs()

    def teardown(self) -> None:
        self.folder.cleanup()

    def both(self, operation: Any) -> None:
        assert outcome(operation, self.memory) == outcome(operation, self.real)

    @rule(path=PATHS, data=DATA, mode=st.sampled_from(["wb", "ab", "r+b"]), start=st.integers(0, 4))
    def write(self, path: str, data: bytes, mode: str, start: int) -> None:
        def operation(fs: Any) -> Any:
            with fs.open(path, mode) as file:
                file.seek(start)
                return file.write(data), fs.sync(file)

        self.both(operation)

    @rule(path=PATHS, start=st.integers(0, 4), count=st.integers(-1, 6))
    def read(self, path: str, start: int, count: int) -> None:
        def operation(fs: Any) -> Any:
            with fs.open(path, "rb") as file:
                file.seek(start)
                return file.read(count), file.tell()

        self.both(operation)

    @rule(old=PATHS, new=PATHS)
    def rename(self, old: str, new: str) -> None:
        self.both(lambda fs: fs.rename(old, new))

    @rule(path=PATHS)
    def remove(self, path: str) -> None:
        self.both(lambda fs: fs.remove(path))

    @rule(path=PATHS)
    def rmdir(self, path: str) -> None:
        self.both(lambda fs: fs.rmdir(path))

    @rule(path=PATHS)
    def mkdir(self, path: str) -> None:
        self.both(lambda fs: fs.mkdir(path))

    @rule(path=PATHS | st.just(""))
    def listdir(self, path: str) -> None:
        self.both(lambda fs: sorted(fs.listdir(path)))

    @rule(path=PATHS | st.sampled_from(["", "/", "..", "a//b", "../a", "a/"]))
    def is_dir(self, path: str) -> None:
        self.both(lambda fs: fs.is_dir(path))

    @rule(path=PATHS)
    def stat(self, path: str) -> None:
        self.both(lambda fs: fs.is_dir(path) or fs.stat(path))

    @invariant()
    def the_trees_are_the_same(self) -> None:
        assert tree(self.memory) == tree(self.real)


def outcome(operation: Any, fs: Any) -> Any:
    try:
        return operation(fs)
    except OSError as error:
        return error.errno


def tree(fs: Any, folder: str = "") -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for name in fs.listdir(folder):
        path = f"{folder}/{name}" if folder else name
        if fs.is_dir(path):
            found[path] = None
            found |= tree(fs, path)
        else:
            with fs.open(path, "rb") as file:
                found[path] = file.read()
    return found


TestSameAsAFolder = SameAsAFolder.TestCase
TestSameAsAFolder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("path", ["../x", "/x", "a//x", "", "a/../x"])
def test_a_path_that_leaves_the_root_is_refused(path: str) -> None:
    with pytest.raises(OSError) as caught:
        MemoryFs().open(path, "wb")
    assert caught.value.errno == errno.EINVAL


def test_a_removed_file_that_is_still_open_can_be_read() -> None:
    fs = MemoryFs({"a": b"held"})
    with fs.open("a", "rb") as file:
        fs.remove("a")
        assert file.read() == b"held"


def test_writing_to_a_shared_file_does_not_change_the_other_terminal() -> None:
    files = {"slot_a/main.py": b"original"}
    one, other = MemoryFs(files), MemoryFs(files)
    with one.open("slot_a/main.py", "r+b") as file:
        file.write(b"changed!")
    assert tree(other)["slot_a/main.py"] == b"original"
    assert files["slot_a/main.py"] == b"original"


def test_a_vault_keeps_what_was_set_until_it_is_erased() -> None:
    vault = MemoryVault()
    vault.set("key", b"seed")
    assert vault.get("key") == b"seed"
    assert "seed" not in repr(vault)
    vault.erase("key")
    vault.erase("key")
    assert vault.get("key") is None


def test_the_tree_of_a_folder_is_the_tree_in_memory(tmp_path: Path) -> None:
    files = {"a/b": b"1", "a/c/d": b"2"}
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    assert tree(MemoryFs(files)) == tree(HostFs(str(tmp_path)))


@given(st.binary(max_size=60), st.integers(0, 70), st.none() | st.integers(-1, 20))
def test_lines_are_those_of_any_file(content: bytes, position: int, size: int | None) -> None:
    expected = io.BytesIO(content)
    with MemoryFs({"a": content}).open("a", "rb") as file:
        for stream in (expected, file):
            stream.seek(position)
        for _ in range(4):
            assert file.readline(size) == expected.readline(size)
            assert file.tell() == expected.tell()

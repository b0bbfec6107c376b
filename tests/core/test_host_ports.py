"""The host's ports: files, vault, clock, board. In a folder of their own."""

import binascii
import os

from support import raises

from ks_agent.errors import Corrupt
from ks_agent.store import Store
from ks_driver.build import built_ms
from ks_driver.crash import PATH, crash_message, record_crash
from ks_driver.files import HostFs, HostVault
from ks_driver.host import HostBoard, HostClock, HostRng, build_ports


def temporary():
    """A new, empty folder."""
    base = os.getenv("TMPDIR") or "/tmp"
    path = base + "/ks-ports-" + binascii.hexlify(os.urandom(8)).decode()
    os.mkdir(path)
    return path


def remove_tree(path):
    for name in os.listdir(path):
        inner = path + "/" + name
        if os.stat(inner)[0] & 0xF000 == 0x4000:
            remove_tree(inner)
        else:
            os.remove(inner)
    os.rmdir(path)


class Folder:
    """`with Folder() as path`: gone afterwards."""

    def __enter__(self):
        self._path = temporary()
        return self._path

    def __exit__(self, *error):
        remove_tree(self._path)


def put(fs, path, data, mode="wb"):
    with fs.open(path, mode) as file:
        file.write(data)
        fs.sync(file)


def get(fs, path):
    with fs.open(path, "rb") as file:
        return file.read()


def test_files_are_written_appended_patched_renamed_and_removed():
    with Folder() as root:
        fs = HostFs(root)
        fs.mkdir("data")
        put(fs, "data/a", b"one")
        put(fs, "data/a", b" two", "ab")
        assert fs.stat("data/a") == 7
        with fs.open("data/a", "r+b") as file:
            file.seek(1)
            file.write(b"N")
        assert get(fs, "data/a") == b"oNe two"
        put(fs, "data/b", b"b")
        fs.rename("data/a", "data/b")
        assert list(fs.listdir("data")) == ["b"]
        assert get(fs, "data/b") == b"oNe two"
        fs.remove("data/b")
        fs.rmdir("data")
        assert list(fs.listdir("")) == []


def test_what_is_absent_is_an_os_error():
    with Folder() as root:
        fs = HostFs(root)
        raises(OSError, fs.open, "none", "rb")
        raises(OSError, fs.stat, "none")
        raises(OSError, fs.remove, "none")
        raises(OSError, fs.listdir, "none")
        raises(OSError, fs.rename, "none", "other")
        assert not fs.is_dir("none")


def test_folders_are_told_from_files():
    with Folder() as root:
        fs = HostFs(root)
        fs.mkdir("folder")
        put(fs, "file", b"")
        assert fs.is_dir("folder")
        assert not fs.is_dir("file")


def test_a_path_cannot_leave_the_root():
    with Folder() as root:
        fs = HostFs(root)
        for path in ("../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a/.", "..", "", "a\\b"):
            raises(OSError, fs.open, path, "wb")
            raises(OSError, fs.stat, path)
            raises(OSError, fs.rename, path, "x")
            raises(OSError, fs.rename, "x", path)
            raises(OSError, fs.remove, path)
            raises(OSError, fs.rmdir, path)
            raises(OSError, fs.mkdir, path)
        raises(OSError, fs.open, "a", "w")
        assert os.listdir(root) == []


def test_records_of_the_core_live_in_the_folder():
    with Folder() as root:
        store = Store(HostFs(root))
        assert store.read("data/state/config.toon") is None
        store.write("data/state/config.toon", {"SERVER": "http://a", "ROW": [{"A": "1"}]})
        assert store.read("data/state/config.toon") == {"SERVER": "http://a", "ROW": [{"A": "1"}]}
        assert list(HostFs(root).listdir("data/state")) == ["config.toon"]
        put(HostFs(root), "data/state/config.toon", b"x", "ab")
        raises(Corrupt, store.read, "data/state/config.toon")


def test_the_vault_keeps_values_over_a_restart():
    with Folder() as root:
        vault = HostVault(root + "/nvs")
        assert vault.get("key") is None
        vault.set("key", b"\0" * 32)
        vault.set("key", b"\xff" * 32)
        vault.set("counter", b"7")
        again = HostVault(root + "/nvs")
        assert again.get("key") == b"\xff" * 32
        assert again.get("counter") == b"7"
        again.erase("key")
        again.erase("key")
        assert vault.get("key") is None


def test_an_interrupted_write_leaves_the_old_value_in_the_vault():
    with Folder() as root:
        vault = HostVault(root + "/nvs")
        vault.set("key", b"old")
        with open(root + "/nvs/key.new", "wb") as file:
            file.write(b"ne")
        assert vault.get("key") == b"old"
        vault.set("key", b"new")
        assert vault.get("key") == b"new"
        assert os.listdir(root + "/nvs") == ["key"]


def test_a_secret_is_for_its_owner_alone():
    with Folder() as root:
        HostVault(root + "/nvs").set("key", b"secret")
        if hasattr(os, "fchmod"):
            assert os.stat(root + "/nvs/key")[0] & 0o777 == 0o600
            assert os.stat(root + "/nvs")[0] & 0o777 == 0o700


def test_a_name_of_the_vault_is_no_path():
    with Folder() as root:
        vault = HostVault(root)
        for name in ("", "../key", "a/b", "key.new", "KEY", "a b"):
            raises(OSError, vault.get, name)
            raises(OSError, vault.set, name, b"")
            raises(OSError, vault.erase, name)


def test_the_clock_counts_up_from_nothing_in_integers():
    clock = HostClock(1700000000000)
    assert clock.build_ms == 1700000000000
    readings = [clock.ticks_ms() for _ in range(100)]
    assert readings[0] >= 0
    assert readings == sorted(readings)
    assert isinstance(readings[0], int)


def test_random_bytes_do_not_repeat():
    rng = HostRng()
    assert len(rng.random_bytes(32)) == 32
    assert rng.random_bytes(16) != rng.random_bytes(16)
    assert rng.is_ready()


def test_the_board_shows_an_event_as_one_line_that_splits_at_its_spaces():
    lines = []
    board = HostBoard(lines.append)
    board.show("registered", {"RTO": "60", "TEXT": "a b\n100%=é"})
    assert lines == ["EVENT registered RTO=60 TEXT=a%20b%0A100%25=%C3%A9"]
    assert board.memory_used_bytes() > 0
    assert board.temperature_c() is None


def test_the_build_time_is_that_of_the_running_slots_manifest():
    with Folder() as root:
        fs = HostFs(root)
        assert built_ms(fs, "a") == 0
        fs.mkdir("slot_a")
        put(fs, "slot_a/manifest.toon", b'ABC: x\nBUILT: "2026-11-20T10:00:00.000Z"\nFW1: y')
        assert built_ms(fs, "a") == 1795168800000
        put(fs, "slot_a/manifest.toon", b"BUILT: yesterday")
        assert built_ms(fs, "a") == 0


def test_ports_are_built_for_a_folder_and_a_slot():
    with Folder() as root:
        crypto = object()
        ports = build_ports(root, "b", crypto)
        assert ports.partition.running == "b"
        assert ports.crypto is crypto
        assert ports.clock.build_ms == 0
        ports.vault.set("counter", b"1")
        put(ports.fs, "x", b"y")
        assert sorted(os.listdir(root)) == ["nvs", "x"]


def a_crash(text):
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_a_crash_is_recorded_within_bounds():
    with Folder() as root:
        fs = HostFs(root)
        record_crash(fs, a_crash("first\nline"))
        record = Store(fs).read(PATH)
        assert record["CLASS"] == "ValueError"
        assert record["TEXT"] == "first\nline"
        assert "a_crash" in record["TRACE"]
        long = crash_message(a_crash("x" * 5000))
        assert len(long["TEXT"]) == 200
        assert len(long["TRACE"]) == 1000


def test_a_crash_that_cannot_be_recorded_is_let_go():
    class Broken:
        def __getattr__(self, name):
            raise OSError(5)

    record_crash(Broken(), a_crash("text"))

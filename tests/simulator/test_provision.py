"""What the factory writes is what stage 0 and the agent read."""

import base64
import hashlib
from pathlib import Path

import pytest

from ks_agent import toon
from ks_driver.files import HostFs
from ks_simulator import recovery
from ks_simulator.application import ReleaseError, build, installed_files
from ks_simulator.compiled import with_native_code
from ks_simulator.keys import RoleKeys, decode_trust, encode_trust, key_id, public_text
from ks_simulator.loader import stage_0
from ks_simulator.memory import MemoryFs
from ks_simulator.provision import device_seed, provision, provision_folder, stage_0_files
from tests.only_once import Compiler

KEYS = RoleKeys.make()
TRUST = KEYS.trusted()
RELEASE = build(installed_files(), version="1.0.0", counter=1).signed(KEYS.release)


def test_stage_0_starts_a_new_terminal_from_slot_a() -> None:
    fs = MemoryFs()
    provision(fs, "dev_1", "http://127.0.0.1:1", TRUST, RELEASE)
    assert stage_0().choose(fs, hashlib.sha256) == "a"


def test_a_folder_and_memory_are_provisioned_alike(tmp_path: Path) -> None:
    fs = MemoryFs()
    provision(fs, "dev_1", "http://127.0.0.1:1", TRUST, RELEASE, otrt="one-time")
    provision_folder(tmp_path, "dev_1", "http://127.0.0.1:1", TRUST, RELEASE, otrt="one-time")
    folder = HostFs(str(tmp_path))
    for path in ("factory.toon", "trust.toon", "slot_a/manifest.toon", "slot_a/main.py"):
        with fs.open(path, "rb") as one, folder.open(path, "rb") as other:
            assert one.read() == other.read()
    assert (tmp_path / "boot.py").is_file()


def test_factory_toon_holds_the_tokens() -> None:
    fs = MemoryFs()
    provision(fs, "dev_1", "http://h:1", TRUST, RELEASE, otrt="0123", d2="RPI_TERMINAL")
    with fs.open("factory.toon", "rb") as file:
        message = toon.decode(file.read(), 4096)
    assert message["D1"] == "dev_1"
    assert message["D2"] == "RPI_TERMINAL"
    assert message["SERVER"] == "http://h:1"
    assert message["OTRT"] == "0123"


def test_an_unsigned_release_is_not_put_on_a_terminal() -> None:
    unsigned = build(installed_files(), version="1.0.0", counter=1)
    with pytest.raises(ReleaseError, match="not signed"):
        provision(MemoryFs(), "dev_1", "http://h:1", TRUST, unsigned)


def test_trust_is_read_back_as_it_was_written() -> None:
    assert decode_trust(encode_trust(TRUST)) == TRUST
    assert [key.role for key in TRUST] == ["server", "release", "admin", "admin"]
    assert TRUST[0].seq == 1
    assert TRUST[0].kid == key_id(base64.b64decode(TRUST[0].key))


def test_device_seeds_differ_by_device_and_by_seed_and_repeat() -> None:
    assert device_seed(1, "a") == device_seed(1, "a")
    assert len({device_seed(1, "a"), device_seed(1, "b"), device_seed(2, "a")}) == 3
    assert len(public_text(device_seed(1, "a"))) == 44


def test_keys_do_not_show_in_a_repr() -> None:
    text = repr(KEYS)
    assert repr(KEYS.release)[2:-1] not in text
    assert KEYS.server.hex() not in text


def test_stage_0_is_bytecode_only_where_all_of_the_application_is(compiler: Compiler) -> None:
    def names(files: dict[str, bytes]) -> set[str]:
        return set(stage_0_files(build(files, version="1.0.0", counter=1)))

    sources = installed_files()
    assert names(sources) == {"boot.py", "stage0.py"}
    assert names(with_native_code(sources, "x64")) == {"boot.py", "stage0.py"}
    assert names(compiler(sources)) == {"boot.py", "stage0.mpy"}


def test_recovery_is_of_the_kind_of_the_application_and_carries_all_that_it_imports() -> None:
    sources = installed_files()
    assert "ks_agent/recovery.py" not in sources
    native = {path: b"M\x06" + bytes([1 << 2]) for path in ("ks_crypto/viper_field.mpy",)}
    assert recovery.kind_of(sources) == recovery.SOURCES
    assert recovery.kind_of({"main.py": b""}) == recovery.SOURCES
    assert recovery.kind_of({"main.py": b"", "x.mpy": b"M\x06\0"}) == ""
    assert recovery.kind_of({"main.py": b"", **native}) == "x86"
    files = recovery.recovery_files(build(sources, version="1.0.0", counter=1))
    assert {"main.py", "ks_agent/recovery.py", "ks_agent/update.py"} <= set(files)
    assert not {"ks_agent/agent.py", "ks_agent/punches.py"} & set(files)

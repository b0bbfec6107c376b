"""A unit in memory, for the state machine: what esptool and the firmware would do to one.

Every operation may be the one at which the power goes, before it or after it.
"""

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from littlefs import LittleFS

from ks_agent import signing, toon
from ks_agent.store import as_text
from ks_simulator.keys import CRYPTO, TrustedKey, public_text
from ks_tools.device_link import DeviceRefused, DeviceSilent, LinkLost, Proof, Told
from ks_tools.factory.errors import Interrupted
from ks_tools.factory.esptool import Chip
from ks_tools.image_folder import ImageFolder

MAC = "26:0a:c4:00:00:01"


class FakeUnit:
    """Its flash and what it is; `cut` counts operations down to the one that the power misses."""

    def __init__(self, image: ImageFolder, mac: str = MAC) -> None:
        self.image = image
        self.mac = mac
        self.is_flashed = False
        self.seed: bytes | None = None
        self.words: dict[str, str] = {}
        self.sealed = ""
        self.journal: dict[str, bytes] = {}
        self.written: dict[str, Any] = {}
        self.made = 0
        self.operations = 0
        self.cut: int | None = None
        self.is_cut_after = False
        self.slower: dict[str, int] = {}
        self.faults: dict[str, BaseException] = {}
        self.readings: dict[str, dict[str, str]] = {}
        self.seen: dict[str, list[str]] = {}
        self.fuses: dict[str, str] = {"ABS_DONE_0": "0x0", "FLASH_CRYPT_CNT": "0x00"}

    def perform(self, name: str, work: Callable[[], Any], lost: type[Exception]) -> Any:
        """Do it, unless it is its turn to fail."""
        if name in self.faults:
            raise self.faults.pop(name)
        self.operations += 1
        is_the_one = self.operations == self.cut
        if is_the_one and not self.is_cut_after:
            raise lost("the power went")
        result = work()
        if is_the_one:
            raise lost("the power went")
        return result

    def flasher(self, port: str, *_: Any) -> "FakeFlasher":
        return FakeFlasher(self)

    def link(self, port: str, on_console: Callable[[str], None]) -> "FakeLink":
        on_console("boot: hello")
        return FakeLink(self)

    def table(self) -> bytes:
        if not self.is_flashed:
            return b"\xff" * 0x1000
        path = self.image.path(self.image.part("partition-table"))
        return path.read_bytes().ljust(0x1000, b"\xff")

    def read(self, offset: int, size: int) -> bytes:
        places = {"nvs": 0x9000, "vfs": 0x1D0000, "data": 0x2C0000}
        if offset == places["nvs"] and self.seed is not None:
            row = struct.pack("<8s16s8s", b"\1" * 8, b"ks", b"\0" * 8)
            key = struct.pack("<8s16s8s", b"\1" * 8, b"key", b"\0" * 8)
            return (row + key).ljust(size, b"\xff")
        files: dict[str, bytes] = {}
        if offset == places["vfs"] and self.is_flashed:
            files["boot.py"] = b"#"
            if self.sealed:
                files["factory.toon"] = bytes(toon.encode({"D1": self.sealed}, as_text)) + b"\n"
        if offset == places["data"]:
            files = {f"journal/{name}": data for name, data in self.journal.items()}
            if self.sealed:
                files["state/boot.toon"] = b"#"
        whole = 0xF0000 if offset == places["vfs"] else 0x140000
        return _littlefs(files, whole)[:size] if files else b"\xff" * size


class FakeFlasher:
    def __init__(self, unit: FakeUnit) -> None:
        self._unit = unit
        self.retries = 0

    def _do(self, name: str, work: Callable[[], Any]) -> Any:
        self.retries += self._unit.slower.get(name, 0)
        return self._unit.perform(name, work, Interrupted)

    def detect(self) -> Chip:
        unit = self._unit
        chip: Chip = self._do("detect", lambda: Chip("esp32", unit.mac, unit.table()))
        return chip

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._do("read", lambda: self._unit.read(offset, size)))

    def efuses(self) -> dict[str, str]:
        return dict(self._do("efuses", lambda: self._unit.fuses))

    def write(self, parts: Sequence[tuple[int, Path]], erase: bool) -> None:
        unit = self._unit
        if erase:  # an erase that is cut off has erased
            unit.is_flashed, unit.seed, unit.sealed = False, None, ""
            unit.words, unit.journal = {}, {}

        def work() -> None:
            unit.is_flashed = True

        self._do("write", work)

    def verify(self, parts: Sequence[tuple[int, Path]]) -> None:
        self._do("verify", lambda: None)


class FakeLink:
    """DeviceLink's methods."""

    def __init__(self, unit: FakeUnit) -> None:
        self._unit = unit

    def close(self) -> None:
        pass

    def _do(self, name: str, work: Callable[[], Any]) -> Any:
        unit = self._unit
        if unit.sealed or not unit.is_flashed:
            raise DeviceSilent("nobody answers")
        return unit.perform(name, work, LinkLost)

    def hello(self, wait_s: float = 1.0) -> Told:
        told: Told = self._do("hello", self._told)
        return told

    def _told(self) -> Told:
        unit = self._unit
        release = str(unit.image.facts["release"]["fw2"])
        state = "blank" if unit.seed is None else "keyed"
        public = "" if unit.seed is None else public_text(unit.seed)
        mac = unit.mac.replace(":", "")
        return Told(mac, state, release=release, heap=90_000, public=public)

    def test(self, name: str, step: str = "act") -> dict[str, str]:
        told = {"clock": {"PAUSE": "50", "MS": "50"}, "memory": {"FREE": "90000"}}
        return dict(self._do(name, lambda: self._unit.readings.get(name, told.get(name, {}))))

    def begin(self, name: str) -> None:
        self._do(f"begin {name}", lambda: None)

    def seen(self, name: str) -> list[str]:
        return list(self._do(f"seen {name}", lambda: self._unit.seen.get(name, ["something"])))

    def test_wifi(self, ssid: str, password: str) -> int:
        return int(self._do("wifi", lambda: self._unit.readings.get("wifi", {"": "-50"})[""]))

    def make_key(self) -> str:
        def work() -> str:
            unit = self._unit
            if unit.seed is None:
                unit.made += 1
                unit.seed = hashlib.sha256(f"{unit.mac} {unit.made}".encode()).digest()
            return public_text(unit.seed)

        return str(self._do("make_key", work))

    def inject_key(self, seed: bytes) -> str:
        def work() -> str:
            self._unit.seed = seed
            return public_text(seed)

        return str(self._do("inject_key", work))

    def prove(self, d1: str, public: str) -> Proof:
        def work() -> Proof:
            assert self._unit.seed is not None
            if public_text(self._unit.seed) != public:
                raise DeviceRefused("TEST_FAILED", "another key")
            text = signing.proof_text(d1, public, "0" * 64, "1" * 32)
            signature = signing.sign_text(CRYPTO, self._unit.seed, text)
            return Proof(d1, public, "0" * 64, "1" * 32, signature)

        proof: Proof = self._do("prove", work)
        return proof

    def write(self, file: str, fields: Mapping[str, Any]) -> None:
        self._do(f"write {file}", lambda: self._unit.written.update({file: dict(fields)}))

    def write_trust(self, keys: Sequence[TrustedKey]) -> None:
        self.write("trust", {"keys": list(keys)})

    def write_network(self, ssid: str, password: str) -> None:
        self.write("network", {"ssid": ssid, "password": password})

    def write_factory(self, words: Mapping[str, str]) -> None:
        def work() -> None:
            self._unit.words = dict(words)

        self._do("write factory", work)

    def seal(self) -> str:
        def work() -> str:
            self._unit.sealed = self._unit.words["D1"]
            return self._unit.sealed

        return str(self._do("seal", work))


def _littlefs(files: Mapping[str, bytes], size: int) -> bytes:
    fs = LittleFS(block_size=4096, block_count=size // 4096)
    for path, data in files.items():
        folder = path.rpartition("/")[0]
        if folder:
            fs.makedirs(folder, exist_ok=True)
        with fs.open(path, "wb") as file:
            file.write(data)
    return bytes(fs.context.buffer)

"""The ESP32's ports and entry under fakes of its modules: what a computer can tell about them."""

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.driver.chip_modules import Nvs, Rtc, Wlan, install
from tools.micropython import ROOT

FIRMWARE = ROOT / "firmware"


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The chip's modules; whatever is imported while they are there is forgotten afterwards."""
    before = set(sys.modules)
    install(monkeypatch)
    yield monkeypatch
    for name in set(sys.modules) - before:
        if name in ("main", "recovery_esp32") or name.startswith("ks_board"):
            del sys.modules[name]


def entry() -> Any:
    return importlib.import_module("main")


def provisioned(folder: Path) -> str:
    (folder / "factory.toon").write_bytes(b"")
    return str(folder)


def ports_of(main: Any, folder: Path, slot: str = "a") -> Any:
    made = importlib.import_module("ks_board.chip_ports").make_ports
    return made(str(folder), slot, 1, main.Ed25519Crypto, main.Memory())


def test_the_vault_commits_what_it_is_given(chip: pytest.MonkeyPatch) -> None:
    nvs = Nvs()
    vault = importlib.import_module("ks_board.vault").NvsVault(nvs)
    assert vault.get("key") is None
    vault.set("key", b"\0\xff" * 16)
    assert nvs.committed == {"key": b"\0\xff" * 16}
    assert vault.get("key") == b"\0\xff" * 16
    vault.erase("key")
    vault.erase("key")
    assert nvs.committed == {}


def test_a_vault_that_cannot_be_read_is_not_an_empty_one(chip: pytest.MonkeyPatch) -> None:
    nvs = Nvs()
    nvs.failure = -0x1101
    with pytest.raises(OSError, match="-4353"):
        importlib.import_module("ks_board.vault").NvsVault(nvs).get("key")


async def test_wifi_is_joined_once_and_again_when_the_network_changes(
    chip: pytest.MonkeyPatch,
) -> None:
    networks = [("first", "secret")]
    wifi = importlib.import_module("ks_board.wifi").Wifi(lambda: networks[-1])
    await wifi.ensure()
    await wifi.ensure()
    networks.append(("second", "secret"))
    await wifi.ensure()
    assert Wlan.made[0].calls == [
        ("active", True),
        ("connect", "first", "secret"),
        ("disconnect",),
        ("connect", "second", "secret"),
    ]


def test_random_numbers_are_good_for_keys_while_the_radio_is_on(chip: pytest.MonkeyPatch) -> None:
    wifi_module = importlib.import_module("ks_board.wifi")
    rng = wifi_module.RadioRng()
    assert not rng.is_ready()
    wifi_module.Wifi(lambda: ("name", "secret"))
    assert rng.is_ready()
    assert len(rng.random_bytes(32)) == 32
    Wlan.made[-1].active(False)
    assert not rng.is_ready()


async def test_a_network_that_cannot_be_joined_is_a_link_failure(chip: pytest.MonkeyPatch) -> None:
    wifi_module = importlib.import_module("ks_board.wifi")
    chip.setattr(wifi_module, "CONNECT_PAUSE_S", 0)
    wifi = wifi_module.Wifi(lambda: ("name", "secret"))
    Wlan.made[0].answers = [False] * 200
    with pytest.raises(OSError, match="no Wi-Fi"):
        await wifi.ensure()


class Http:
    """A client that notes what the chip's clock said when it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    async def request(self, fetch: Any) -> None:
        self.seen.append(Rtc.now)

    async def download(self, download: Any) -> None:
        self.seen.append(Rtc.now)


async def test_certificates_are_judged_by_the_terminals_time_not_by_the_chips(
    chip: pytest.MonkeyPatch,
) -> None:
    wifi_module = importlib.import_module("ks_board.wifi")
    wifi = wifi_module.Wifi(lambda: ("name", "secret"))
    http = Http()
    times = [1795000000000, 1795000001000]
    client = wifi_module.WifiHttp(wifi, http, lambda: times.pop(0))
    await client.request(None)
    await client.download(None)
    assert [seen[:3] + seen[4:7] for seen in http.seen] == [
        (2026, 11, 18, 11, 6, 40),
        (2026, 11, 18, 11, 6, 41),
    ]


def test_stage_0_starts_without_an_argument_as_on_a_chip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = (FIRMWARE / "boot.py").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "path", [str(FIRMWARE), *sys.path])
    monkeypatch.delitem(sys.modules, "stage0", raising=False)
    with pytest.raises(SystemExit) as end:
        exec(compile(source, "boot.py", "exec"), {"__name__": "__main__"})
    assert end.value.code == 78


class Life:
    """An agent whose run ends at once, as planned."""

    outcome: "str | Exception | None" = None

    def __init__(self, ports: Any) -> None:
        self.config: dict[str, str] = {}
        self.clock = SimpleNamespace(now_ms=lambda: 0)
        self.identity = SimpleNamespace(state="ACTIVE")
        self.progress = SimpleNamespace(reported=None)
        self.link = SimpleNamespace(lost=lambda: None, worked=lambda: None)
        self.log = SimpleNamespace(warn=lambda text: None)
        self.punches = SimpleNamespace(take=self.take)
        self.taken: list[tuple[str, ...]] = []

    def take(self, *words: str) -> str:
        self.taken.append(words)
        return "accepted"

    def run(self) -> Iterator[Any]:
        effects = importlib.import_module("ks_agent.effects")
        if isinstance(Life.outcome, Exception):
            raise Life.outcome
        if Life.outcome is not None:
            yield effects.Restart(Life.outcome)


def test_a_restart_is_left_to_stage_0(chip: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main = entry()
    chip.setattr(importlib.import_module("ks_board.terminal"), "Agent", Life)
    chip.setattr(Life, "outcome", "update")
    assert main.main(provisioned(tmp_path), "a") == "restart"
    assert Wlan.made[0].calls == [("active", True)]


def test_an_update_without_memory_gets_a_life_without_readers_of_limited_length(
    chip: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main = entry()
    started: list[str] = []

    class Sleeper(Life):
        def run(self) -> Iterator[Any]:
            effects = importlib.import_module("ks_agent.effects")
            yield effects.Sleep(1)
            if "update" not in started:
                started.append("update")
                yield effects.Restart(effects.NO_MEMORY)
            if len(started) == 3:
                yield effects.Restart("update")
            yield effects.Sleep(1_000_000)

    terminal = importlib.import_module("ks_board.terminal")
    chip.setattr(terminal, "Agent", Sleeper)
    chip.setattr(terminal.Terminal, "_start_features", lambda life: started.append("features"))
    chip.setattr(importlib.import_module("ks_board.update_life"), "LASTS_S", 0)
    assert main.main(provisioned(tmp_path), "a") == "restart"
    assert main.main(provisioned(tmp_path), "a") == "restart"
    assert started == ["features", "update"]
    assert main.main(provisioned(tmp_path), "a") == "restart"
    assert started == ["features", "update", "features"]


def test_a_crash_is_recorded_and_left_to_stage_0(chip: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main = entry()
    chip.setattr(importlib.import_module("ks_board.terminal"), "Agent", Life)
    chip.setattr(Life, "outcome", ValueError("planted"))
    with pytest.raises(ValueError, match="planted"):
        main.main(provisioned(tmp_path), "a", 1)
    assert b"planted" in (tmp_path / "data" / "state" / "crash.toon").read_bytes()


def test_a_dormant_terminal_is_left_to_stage_0(chip: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main = entry()
    chip.setattr(importlib.import_module("ks_board.terminal"), "Agent", Life)
    assert main.main(provisioned(tmp_path), "a") is None


def test_the_network_comes_from_the_configuration_else_from_the_vault(
    chip: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vault = importlib.import_module("ks_board.vault").NvsVault(Nvs())
    credentials = importlib.import_module("ks_board.wifi").Credentials(vault)
    with pytest.raises(OSError, match="no network"):
        credentials()
    vault.set("wifi_ssid", b"factory")
    vault.set("wifi_password", b"secret")
    assert credentials() == ("factory", "secret")
    credentials.config = {"WIFI_SSID": "site", "WIFI_PASSWORD": "other"}
    assert credentials() == ("site", "other")


def test_the_ports_are_those_of_the_chip(chip: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main = entry()
    ports = ports_of(main, tmp_path, "b")
    assert ports.partition.running == "b"
    assert ports.board.temperature_c() is None
    assert ports.vault.get("key") is None
    assert not ports.rng.is_ready()


def test_the_board_is_named_as_the_factory_wrote_it_into_the_vault(
    chip: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main = entry()
    assert ports_of(main, tmp_path).board.name is None
    nvs = Nvs()
    nvs.set_blob("board", b"esp32s3")
    chip.setattr(sys.modules["ks_board.vault"].esp32, "NVS", lambda name: nvs)
    assert ports_of(main, tmp_path).board.name == "esp32s3"


def test_what_an_interrupt_puts_wakes_the_sleeping_terminal(
    chip: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main = entry()
    terminals: list[Any] = []
    lives: list[Any] = []

    class Sleeper(Life):
        def run(self) -> Iterator[Any]:
            effects = importlib.import_module("ks_agent.effects")
            lives.append(self)
            yield effects.Sleep(0)
            put = terminals[0].put
            asyncio.get_running_loop().call_later(0.01, put, ("12E45678", "RFID", "IN"))
            yield effects.Sleep(1_000_000)
            yield effects.Restart("woken")

    def begin(terminal: Any) -> None:
        terminals.append(SimpleNamespace(put=terminal._put))

    terminal = importlib.import_module("ks_board.terminal")
    chip.setattr(terminal, "Agent", Sleeper)
    chip.setattr(terminal.Terminal, "_start_features", begin)
    assert main.main(provisioned(tmp_path), "a") == "restart"
    assert lives[0].taken == [("12E45678", "RFID", "IN")]


class Nobody:
    """A serial line on which nothing comes."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""


class Rescue:
    """A recovery that has staged a release at once."""

    def __init__(self, ports: Any) -> None:
        self.config: dict[str, str] = {}
        self.clock = SimpleNamespace(now_ms=lambda: 0)

    def run(self) -> Iterator[Any]:
        effects = importlib.import_module("ks_agent.effects")
        yield effects.Restart("update")


def test_recovery_on_a_chip_ends_in_a_restart_with_the_radio_on(
    chip: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recovery = importlib.import_module("recovery_esp32")
    chip.setattr(recovery, "Recovery", Rescue)
    chip.setattr(recovery, "StdStream", Nobody)
    assert recovery.main(str(tmp_path), "", 1) == "restart"
    assert Wlan.made[0].calls == [("active", True)]

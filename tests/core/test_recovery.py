"""Recovery: a life without a slot, that ends with one."""

# heap: 1024k because the agent, compiled here, shares it with the server, which keeps all requests

import stage0
from fake_ports import CRYPTO, Board, Partition
from support import raises
from test_update import FILES, boot_record, make_bundle, make_manifest, offer, reported
from test_update_cuts import Started, confirmed, put_application

from ks_agent.agent import Agent
from ks_agent.errors import LocalError
from ks_agent.install import Installer
from ks_agent.outbox import Outbox
from ks_agent.ports import Ports
from ks_agent.recovery import Recovery
from ks_agent.slots import BOOT_PATH, RECOVERY_PATH, Slots
from ks_agent.update_record import UpdateRecord

HOUR_MS = 3600000


class Lost(Started):
    """Where stage 0 finds no slot, recovery lives."""

    def boot(self):
        try:
            Started.boot(self)
        except SystemExit:
            self.recover()

    def recover(self):
        self.clock.ticks = 0
        self.slot = ""
        self.board = Board()
        partition = Partition()
        partition.running = ""
        ports = Ports(self.clock, self.rng, self.fs, self.vault, partition, CRYPTO, self.board)
        self.agent = Recovery(ports)
        self.life = self.agent.run()
        self._result = None
        self._failure = None


def lost(**record):
    """A registered terminal that has lost its only slot; the server offers a release."""
    terminal = Lost()
    put_application(terminal, "a", "1.0.0")
    for path, data in FILES.items():
        terminal.fs.files["slot_a/" + path] = data
    terminal.fs.folders.add("slot_a/ks_agent")
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    if record:
        UpdateRecord(terminal.agent.store, terminal.agent.outbox).write(record)
    offer(terminal, make_bundle(make_manifest(terminal, FILES), FILES))
    terminal.server.answers["heartbeat"] = {"S1": "ok"}
    terminal.fs.files["slot_a/main.py"] = b"damaged"
    terminal.boot()
    assert terminal.slot == ""
    return terminal


def test_recovery_installs_what_the_server_offers_and_the_terminal_is_itself_again():
    terminal = lost()
    identity = terminal.fs.files["data/state/identity.toon"]
    key = terminal.vault.get("key")
    terminal.run(lambda: confirmed(terminal))
    assert terminal.slot == "a" and isinstance(terminal.agent, Agent)
    assert terminal.fs.files["data/state/identity.toon"] == identity
    assert terminal.vault.get("key") == key
    assert sorted(boot_record(terminal)) == ["MANIFEST", "SLOT"]
    assert RECOVERY_PATH not in terminal.fs.files


def test_recovery_asks_for_what_was_banned_or_halted_and_keeps_neither():
    terminal = lost(HALTED="true", BANNED=[{"FW4": "0" * 64}])
    terminal.run(lambda: confirmed(terminal))
    assert not UpdateRecord(terminal.agent.store, terminal.agent.outbox).fields


def test_what_was_staged_in_vain_is_reported_by_the_application_that_recovery_brings():
    terminal = lost(FW1="rel-1", FW2="1.0.5", FW4="1" * 64, MANIFEST="2" * 64)
    terminal.run(lambda: confirmed(terminal))
    assert "ERROR ROLLED_BACK recovery" in reported(terminal)


def test_recovery_waits_longer_after_each_failure_and_never_ends():
    terminal = lost()
    terminal.link_down = True
    waits = []
    while len(waits) < 12:
        if terminal.step() == "sleep":
            waits.append(terminal.slept_ms)
    assert waits[0] == 0 and 60000 <= waits[1] <= 61000
    assert waits[2] > waits[1] and waits[5] > waits[3]
    assert HOUR_MS <= max(waits) <= HOUR_MS + 1000
    terminal.link_down = False
    terminal.run(lambda: confirmed(terminal))


def test_a_release_that_recovery_brings_and_that_crashes_is_fetched_ever_more_seldom():
    terminal = lost()
    starts = []
    for _ in range(5):
        assert terminal.step() == "sleep"
        starts.append(terminal.slept_ms)
        terminal.run(lambda: terminal.slot == "a")
        for _ in range(3):
            stage0.crashed(terminal.fs, "planted")
            terminal.boot()
        assert terminal.slot == ""
    assert starts[0] == 0
    for number, wait_ms in enumerate(starts[1:]):
        longest_ms = 60000 << (number + 1)
        assert longest_ms // 2 <= wait_ms <= longest_ms


def test_a_crashed_release_in_the_other_slot_is_not_what_stage_0_falls_back_to():
    terminal = lost()
    terminal.fs.folders.update(["slot_b", "slot_b/ks_agent"])
    for path in list(terminal.fs.files):
        if path.startswith("slot_a/"):
            terminal.fs.files["slot_b/" + path[7:]] = terminal.fs.files[path]
    terminal.run(lambda: terminal.slot == "a")
    assert "slot_b/manifest.toon" not in terminal.fs.files


class PowerCut(BaseException):
    pass


def cut(terminal, where, name, is_done):
    """The power goes when the terminal comes to a method, or when it has done it."""
    method = getattr(where, name)

    def cut_here(*arguments):
        if is_done:
            method(*arguments)
        raise PowerCut()

    setattr(where, name, cut_here)
    try:
        raises(PowerCut, terminal.run, lambda: False)
    finally:
        setattr(where, name, method)
    terminal.boot()


def test_stage_0_starts_nothing_of_what_recovery_has_not_staged():
    for record in (None, {"SLOT": "b", "MANIFEST": "1" * 64}):
        terminal = lost()
        if record is not None:
            terminal.agent.store.write(BOOT_PATH, record)
        cut(terminal, Installer, "_stage", False)
        assert "slot_a/main.py" in terminal.fs.files
        assert terminal.slot == ""
        terminal.run(lambda: terminal.slot == "a")
        assert boot_record(terminal)["TRIAL"] == "true"
        terminal.run(lambda: confirmed(terminal))
        assert reported(terminal) == ["OK confirmed"]


def test_a_power_cut_while_a_release_proves_itself_holds_nothing_against_the_next_recovery():
    for is_done in (False, True):
        terminal = lost()
        cut(terminal, Slots, "confirm", is_done)
        terminal.run(lambda: terminal.beats() == 2)
        assert sorted(boot_record(terminal)) == ["MANIFEST", "SLOT"]
        assert RECOVERY_PATH not in terminal.fs.files


def test_recovery_survives_whatever_goes_wrong_in_an_attempt():
    terminal = lost()
    handle = terminal.server.handle
    errors = [MemoryError(), ValueError("planted"), OSError(5), KeyError("x"), LocalError("x")]

    def fails(fetch):
        if errors:
            raise errors.pop()
        return handle(fetch)

    terminal.server.handle = fails
    terminal.run(lambda: confirmed(terminal), 800)


def test_recovery_takes_the_factorys_words_for_records_that_are_lost():
    terminal = lost()
    for name in ("identity", "config", "update", "clock"):
        terminal.fs.files.pop("data/state/" + name + ".toon", None)
    terminal.recover()
    terminal.run(lambda: "update_staged" in terminal.board.events() or terminal.slot == "a")


def test_a_terminal_that_never_had_a_key_says_so_and_waits():
    terminal = lost()
    terminal.vault.erase("key")
    terminal.recover()
    terminal.run(lambda: "recovery_failed" in terminal.board.events())
    assert ("recovery_failed", {"REASON": "LocalError no-key"}) in terminal.board.shown


def test_without_the_factorys_keys_there_is_no_recovery():
    terminal = lost()
    del terminal.fs.files["trust.toon"]
    raises(LocalError, terminal.recover)


def test_the_outbox_of_the_application_is_left_for_it():
    terminal = lost()
    outbox = Outbox(terminal.agent.store, terminal.agent.log)
    outbox.put("command-ack", "x", {"CMD1": "x-1", "ACK1": "OK", "ACK2": ""})
    terminal.run(lambda: "update_staged" in terminal.board.events() or terminal.slot == "a")
    assert outbox.find("command-ack", "x") is not None

"""Anything as a file on the terminal's flash: it boots and lives on, or says clearly why not.

What a file decides, and what happens when it is damaged:

    state/identity   the factory's words again; registers again with the key in the vault
    state/config     the factory's server again
    state/trust      the factory's keys again, which is logged
    state/performed  empty, which is logged
    state/wipe       made anew if a WIPE is on record, else removed
    state/boot       stage 0 takes a good slot; no trial
    state/update, rto, clock, crash, config_trial, outbox/...    as if it had never been there
    factory.toon     LocalError, but only while it is still needed
    trust.toon       LocalError, but only while the terminal has no trust store of its own

Half of the records have a good checksum and say something absurd: another release wrote them.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import stage0
from fake_ports import CRYPTO
from fakes import ADMIN_SEEDS, RELEASE_SEED, Terminal, public_text, ready, trust_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_agent import life, toon
from ks_agent.errors import KsError, LocalError
from ks_agent.signing import command_prefix
from ks_agent.store import as_text, trailer
from ks_simulator.memory import MemoryFs
from tests.fuzz.mutations import fragments, mutated

EXAMPLES = settings.get_profile("fuzz")
CMD1 = command_prefix(CRYPTO, "dev-1") + "-7"

# record -> a good one, to begin with
RECORDS: dict[str, dict[str, Any]] = {
    "identity": {"D1": "dev-1", "D2": "ESP32_TERMINAL", "STATE": "ACTIVE"},
    "config": {"SERVER": "http://server", "LOG_LEVEL": "ERROR"},
    "config_trial": {"SERVER": "http://server", "SITE": "x", "CMD1": CMD1},
    "trust": {"TRUST": trust_rows(), "DISTRUSTED": [{"KEY": public_text(b"k" * 32)}]},
    "clock": {"TS": "2026-11-20T10:00:00.000Z"},
    "performed": {"PERFORMED": [
        {"CMD1": CMD1, "CMD2": "TRUST_KEY", "STATE": "started", "UNTIL": "2099", "CMD3": "KEY:x"},
        {"CMD1": CMD1 + "8", "CMD2": "IDENTIFY", "STATE": "done", "UNTIL": "2099",
         "ACK1": "OK", "ACK2": ""},
    ]},
    "update": {"FW1": "rel-2", "FW2": "1.1.0", "FW4": "0" * 64, "MANIFEST": "0" * 64,
               "HALTED": "false", "BANNED": [{"FW4": "1" * 64}]},
    "outbox/command-ack-x": {"OP": "command-ack", "CMD1": CMD1, "ACK1": "OK", "ACK2": "done"},
    "outbox/firmware_ack-x": {"OP": "firmware/ack", "FW1": "r", "FW2": "1.0.0", "ACK1": "OK",
                              "ACK2": ""},
    "wipe": {"CMD1": CMD1, "SINCE": "2026-11-20T10:00:00.000Z", "SERVER": "http://server"},
    "boot": {"SLOT": "a", "MANIFEST": "0" * 64, "TRIAL": "true", "CRASHES": "1", "RESETS": "1",
             "PREVIOUS": "b", "PREVIOUS_MANIFEST": "1" * 64},
    "rto": {"RTO": "60"},
    "crash": {"CLASS": "ValueError", "TEXT": "x", "TRACE": "y"},
}  # fmt: skip
KEYS = ("D1", "STATE", "SERVER", "CMD1", "CMD2", "CMD3", "UNTIL", "ACK1", "TRUST", "ROLE", "KEY",
        "SEQ", "TS", "RTO", "FW1", "FW4", "MANIFEST", "ROLLED_BACK", "REASON", "SLOT", "TRIAL",
        "CRASHES", "RESETS", "OP", "SINCE", "BANNED", "PERFORMED", "DISTRUSTED", "LOG_LEVEL",
        "CA")  # fmt: skip
texts = (
    st.sampled_from(["", "0", "-1", "true", "a", "b", "started", "done", "x" * 400, "../../x",
                     "server", "admin", CMD1, "OK", *life.STATES, "9999-12-31T23:59:59.999Z",
                     "heartbeat", "0" * 64, "KEY:x|ROLE:admin", public_text(RELEASE_SEED)])
    | st.text(st.characters(codec="utf-8"), max_size=8)
)  # fmt: skip
rows = st.lists(st.dictionaries(st.sampled_from(KEYS), texts, min_size=1, max_size=5), max_size=3)


def sealed(data: bytes) -> bytes:
    """The data as a record whose checksum is right."""
    return data + bytes(trailer(data))


@st.composite
def absurd(draw: st.DrawFn, record: dict[str, Any]) -> bytes:
    """A whole record of tokens that make no sense together."""
    record = dict(record)
    for _ in range(draw(st.integers(1, 4))):
        key = draw(st.sampled_from([*record, *KEYS]))
        kind = draw(st.sampled_from(["text", "rows", "gone", "row"]))
        if kind == "gone":
            record.pop(key, None)
        elif kind == "row" and isinstance(record.get(key), list) and record[key]:
            changed = dict(record[key][0])
            changed[draw(st.sampled_from([*changed, *KEYS]))] = draw(texts)
            changed.pop(draw(st.sampled_from(list(changed))))
            record[key] = [row for row in [changed, *record[key][1:]] if row]
        else:
            record[key] = draw(texts if kind == "text" else rows)
    return sealed(bytes(toon.encode(record, as_text)) + b"\n")


def file_of(name: str) -> st.SearchStrategy[bytes]:
    good = bytes(toon.encode(RECORDS[name], as_text)) + b"\n"
    junk = st.binary(max_size=50) | st.lists(fragments, max_size=8).map(b"".join)
    return st.one_of(
        absurd(RECORDS[name]), mutated(sealed(good)), mutated(good).map(sealed), junk,
        junk.map(sealed), st.just(b""), st.just(b"x" * 20_000),
    )  # fmt: skip


MANIFEST = toon.encode(
    {
        "KIND": "application",
        "FW1": "rel-1",
        "FW2": "1.0.0",
        "COUNTER": "1",
        "BUILT": "2026-01-01T00:00:00.000Z",
        "EXPIRES": "2099-01-01T00:00:00.000Z",
        "TYPES": "ESP32_TERMINAL",
        "FILE": [{"PATH": "main.py", "SHA256": "0" * 64, "SIZE": "7"}],
    },
    as_text,
)


def lives(terminal: Any) -> None:
    """From a cold start to a heartbeat that is believed, or to the end of a wiped terminal."""
    terminal.fs.folders |= {"data/state/outbox", "slot_a"}
    terminal.fs.files["slot_a/manifest.toon"] = MANIFEST
    terminal.boot()
    for _ in range(120):
        if terminal.beats() >= 2 or terminal.step() is None:
            break
    assert terminal.beats() >= 2 or terminal.agent.identity.state == "DORMANT"
    terminal.life.close()


@settings(EXAMPLES, max_examples=40)
@pytest.mark.parametrize("name", RECORDS)
@given(data=st.data())
def test_a_terminal_lives_on_whatever_one_of_its_records_has_become(
    name: str, data: st.DataObject
) -> None:
    terminal: Any = ready()
    key = terminal.vault.get("key")
    terminal.fs.files[f"data/state/{name}.toon"] = data.draw(file_of(name))
    lives(terminal)
    if terminal.agent.identity.state != "DORMANT":
        assert terminal.vault.get("key") == key
        assert terminal.agent.identity.state in life.STATES
    assert terminal.restarts == []


@settings(EXAMPLES, max_examples=60)
@given(data=st.data())
def test_a_terminal_lives_on_whatever_several_of_its_records_have_become(
    data: st.DataObject,
) -> None:
    terminal: Any = ready()
    for name in data.draw(st.lists(st.sampled_from(list(RECORDS)), min_size=2, max_size=5)):
        terminal.fs.files[f"data/state/{name}.toon"] = data.draw(file_of(name))
    lives(terminal)


def wiping() -> Any:
    """A terminal that has erased itself and whose acknowledgement has not been answered."""
    terminal: Any = ready()
    terminal.server.command("WIPE", 1, admins=ADMIN_SEEDS)
    terminal.server.answers["command-ack"] = OSError("no answer")
    terminal.run(lambda: terminal.agent.identity.state == "WIPING")
    terminal.run_cycle()
    del terminal.server.answers["command-ack"]
    return terminal


@settings(EXAMPLES, max_examples=60)
@given(data=st.data())
def test_a_wipe_that_was_begun_comes_to_its_end_whatever_its_records_have_become(
    data: st.DataObject,
) -> None:
    terminal = wiping()
    names = ["wipe", "config", "performed", "trust", "outbox/command-ack-x", "clock"]
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)):
        terminal.fs.files[f"data/state/{name}.toon"] = data.draw(file_of(name))
    terminal.boot()
    for _ in range(400):
        if terminal.step() is None:
            break
    assert terminal.agent.identity.state == "DORMANT"
    assert terminal.vault.get("key") is None


FACTORY = {"D1": "dev-1", "SERVER": "http://server", "OTRT": "token"}


@settings(EXAMPLES, max_examples=60)
@given(data=mutated(bytes(toon.encode(FACTORY, as_text))) | st.binary(max_size=40))
def test_a_factory_file_that_makes_no_sense_is_named_at_the_first_boot(data: bytes) -> None:
    terminal: Any = Terminal()
    terminal.fs.files["factory.toon"] = data
    terminal.boot()
    try:
        terminal.step()
    except LocalError as error:
        assert "factory.toon" in str(error)
        return
    assert terminal.agent.identity.adopted
    terminal.run_cycle()
    terminal.life.close()


@settings(EXAMPLES, max_examples=60)
@given(data=mutated(bytes(toon.encode({"TRUST": trust_rows()}, as_text))) | st.binary(max_size=40))
def test_factory_keys_that_make_no_sense_are_named_and_nobody_else_is_trusted(data: bytes) -> None:
    terminal: Any = Terminal()
    terminal.fs.files["trust.toon"] = data
    try:
        terminal.boot()
    except KsError as error:
        assert isinstance(error, LocalError)
        assert "trust.toon" in str(error)
        return
    for role in ("server", "release", "admin"):
        assert terminal.agent.trust.keys(role)


@settings(EXAMPLES, max_examples=30)
@given(factory=st.binary(max_size=40))
def test_a_damaged_factory_file_does_not_matter_once_it_has_been_read(factory: bytes) -> None:
    terminal: Any = ready()
    terminal.fs.files["factory.toon"] = factory
    lives(terminal)
    assert terminal.beats() >= 2


def test_a_terminal_whose_vault_lost_the_key_registers_with_a_new_one() -> None:
    """Otherwise it would be refused for ever, even after its new key has been let in."""
    for lost in (b"", b"short", None):
        terminal: Any = ready()
        terminal.vault.values.clear()
        if lost is not None:
            terminal.vault.values["key"] = lost
        asked = len(terminal.server.requests)
        terminal.boot()
        terminal.run(lambda: terminal.beats() >= 1)  # noqa: B023 -- called at once
        assert terminal.server.ops()[asked] == "register"
        assert len(terminal.vault.get("key")) == 32
        terminal.life.close()


def slots() -> MemoryFs:
    """Two good slots, and a boot record that names the second."""
    fs = MemoryFs()
    for slot in "ab":
        main = f"slot = {slot!r}\n".encode()
        row = {"PATH": "main.py", "SHA256": hashlib.sha256(main).hexdigest(), "SIZE": "11"}
        message = {"KIND": "application", "FW2": "1.0.0", "FILE": [row]}
        manifest = bytes(toon.encode(message, as_text))
        fs.install(f"slot_{slot}/main.py", main)
        fs.install(f"slot_{slot}/manifest.toon", manifest + b"\n")
        hashed = hashlib.sha256(manifest + b"\n").hexdigest()
        record = {"SLOT": "b", "MANIFEST": hashed}
    fs.install("data/state/boot.toon", sealed(bytes(toon.encode(record, as_text)) + b"\n"))
    return fs


def hashes(fs: MemoryFs) -> set[str]:
    """Of the manifests of both slots."""
    return {hashlib.sha256(read(fs, f"slot_{slot}/manifest.toon")).hexdigest() for slot in "ab"}


def read(fs: MemoryFs, path: str) -> bytes:
    with fs.open(path, "rb") as file:
        return bytes(file.read())


@settings(EXAMPLES, max_examples=120)
@given(data=st.data())
def test_stage_0_starts_a_good_slot_whatever_the_boot_record_is(data: st.DataObject) -> None:
    fs = slots()
    fs.install("data/state/boot.toon", data.draw(file_of("boot")))
    record = stage0.read_record(fs)
    try:
        assert stage0.choose(fs, hashlib.sha256) in ("a", "b")
    except SystemExit:
        # only where a record that is whole names releases that are in neither slot
        assert record["MANIFEST"] not in hashes(fs)
        assert record["PREVIOUS_MANIFEST"] not in hashes(fs)


@settings(EXAMPLES, max_examples=120)
@given(data=st.data(), slot=st.sampled_from("ab"))
def test_stage_0_starts_no_slot_with_another_manifest_than_the_recorded_one(
    data: st.DataObject, slot: str
) -> None:
    fs = slots()
    path = f"slot_{slot}/manifest.toon"
    good = read(fs, path)
    bad = data.draw((mutated(good) | st.binary(max_size=60)).filter(lambda bad: bad != good))
    fs.install(path, bad)
    chosen = stage0.choose(fs, hashlib.sha256)
    if slot == "b":
        assert chosen == "a"
    else:
        assert chosen == "b"


@settings(EXAMPLES, max_examples=120)
@given(data=st.data())
def test_stage_0_starts_a_lone_slot_only_with_a_manifest_that_is_true(data: st.DataObject) -> None:
    """The first boot has no record: what the manifest says must hold, and name a main.py."""
    fs = slots()
    for path in ("data/state/boot.toon", "slot_b/manifest.toon"):
        fs.remove(path)
    fs.install("slot_a/manifest.toon", data.draw(mutated(read(fs, "slot_a/manifest.toon"))))
    if data.draw(st.booleans()):
        fs.install("slot_a/main.py", data.draw(st.binary(max_size=20)))
    try:
        assert stage0.choose(fs, hashlib.sha256) == "a"
    except SystemExit as error:
        assert str(error).startswith("stage 0: ")
        return
    main = hashlib.sha256(read(fs, "slot_a/main.py")).hexdigest()
    assert main.encode() in read(fs, "slot_a/manifest.toon")

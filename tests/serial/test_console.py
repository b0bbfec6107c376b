"""The terminal's side of the serial handshake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from fake_ports import PowerCut

from ks_agent import factory, signing, toon
from ks_agent.store import Store
from ks_agent.trust import Trust
from ks_server.crypto import NaclCrypto
from tests.serial.desk import (
    NETWORK,
    SESSION,
    TRUSTED,
    WORDS,
    Terminal,
    ask,
    framed,
    told,
)

Message = Mapping[str, Any]

CHALLENGE = "ab" * 32
TRUST_ROWS = [
    {"KEY": key.key, "ROLE": key.role, **({"SEQ": str(key.seq)} if key.seq else {})}
    for key in TRUSTED
]
KEY = {"OP": "make_key"}
TRUST = {"OP": "write", "FILE": "trust", "TRUST": TRUST_ROWS}
FACTORY = {"OP": "write", "FILE": "factory", **WORDS}
WIFI = {"OP": "write", "FILE": "network", "WIFI_SSID": NETWORK[0], "WIFI_PASSWORD": NETWORK[1]}
SETUP = {"OP": "write", "FILE": "setup", "SETUP_PASSWORD": "label-4711"}
BOARD = {"OP": "write", "FILE": "board", "BOARD": "ks_clock"}
SEAL = {"OP": "seal"}
RESTART = {"OP": "restart"}
ALL = (KEY, TRUST, FACTORY, WIFI, SETUP, BOARD, SEAL)


def test_hello_tells_who_it_is_and_nothing_secret() -> None:
    terminal = Terminal()
    hello = framed({"OP": "hello", "SESSION": SESSION, "SEQ": "7"})
    (answer,) = told(terminal.boot(), hello)
    assert answer == {
        **{"MAC": "30aea4010203", "BOARD": "ks_clock", "CHIP": "esp32", "MPV": "1.25.0"},
        **{"SEQ": "7", "S1": "ok", "SESSION": SESSION, "STATE": "blank", "HEAP": "0"},
    }


def test_a_key_is_made_once_and_with_the_radio_on() -> None:
    terminal = Terminal()
    first, second = ask(terminal.boot(), KEY, KEY)
    assert first["S1"] == "ok"
    assert first["PUB"] == second["PUB"]
    (again,) = ask(terminal.boot(), KEY)
    assert again["PUB"] == first["PUB"]
    seed = terminal.vault.get("key")
    assert signing.b64(NaclCrypto().public_key(seed)) == first["PUB"]


def test_without_the_radio_no_key_is_made() -> None:
    terminal = Terminal()
    terminal.radio.works = False
    (refused,) = ask(terminal.boot(), KEY)
    assert refused["ERR1"] == "NO_RADIO"
    assert terminal.vault.values == {}


def test_a_proof_is_over_the_one_context_with_a_nonce_of_the_terminals_own() -> None:
    terminal = Terminal()
    prove = {"OP": "prove", "D1": "KS-1", "CHALLENGE": CHALLENGE}
    made, first, second = ask(terminal.boot(), KEY, prove, prove)
    public = signing.decode_public_key(made["PUB"])
    assert first["NONCE"] != second["NONCE"]
    for proof in (first, second):
        text = f"KS-PROOF-1|KS-1|{made['PUB']}|{CHALLENGE}|{proof['NONCE']}"
        signing.verify_text(NaclCrypto(), public, text, proof["SIG"])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"D1": "KS-1", "CHALLENGE": "ab" * 31}, "MALFORMED"),
        ({"D1": "KS-1", "CHALLENGE": "AB" * 32}, "MALFORMED"),
        ({"D1": "KS-1|x", "CHALLENGE": CHALLENGE}, "MALFORMED"),
        ({"D1": "", "CHALLENGE": CHALLENGE}, "MALFORMED"),
        ({"CHALLENGE": CHALLENGE}, "MALFORMED"),
        ({"D1": "KS-1"}, "MALFORMED"),
        ({"D1": [{"D1": "KS-1"}], "CHALLENGE": CHALLENGE}, "MALFORMED"),
    ],
)
def test_nothing_else_is_signed(fields: Message, code: str) -> None:
    _, refused = ask(Terminal().boot(), KEY, {"OP": "prove", **fields})
    assert refused["ERR1"] == code
    assert "SIG" not in refused


def test_without_a_key_nothing_is_proven_or_sealed() -> None:
    prove = {"OP": "prove", "D1": "KS-1", "CHALLENGE": CHALLENGE}
    assert [answer["ERR1"] for answer in ask(Terminal().boot(), prove, SEAL)] == ["NOT_KEYED"] * 2


def test_what_was_written_is_what_the_agent_reads() -> None:
    terminal = Terminal()
    assert [answer["S1"] for answer in ask(terminal.boot(), *ALL, RESTART)] == ["ok"] * 8
    ports = terminal.ports()
    assert factory.read_factory(ports.fs) == WORDS
    trust = Trust(ports.fs, Store(ports.fs), ports.crypto)
    assert trust.rows == TRUST_ROWS
    values = terminal.vault.values
    assert values.pop("key")
    assert values == {
        "wifi_ssid": NETWORK[0].encode(),
        "wifi_password": NETWORK[1].encode(),
        "setup": b"label-4711",
        "board": b"ks_clock",
    }


def test_until_it_is_sealed_it_is_not_provisioned() -> None:
    terminal = Terminal()
    ask(terminal.boot(), *ALL[:-1])
    assert factory.PATH not in terminal.fs.files
    (answer,) = ask(terminal.boot(), {"OP": "hello"})
    assert answer["STATE"] == "keyed"


def test_a_sealed_terminal_answers_hello_and_refuses_everything_else() -> None:
    terminal = Terminal()
    inject = {"OP": "inject_key", "SEED": signing.b64(bytes(32))}
    asked: list[Message] = [{"OP": "hello"}, *ALL[:-1], inject, {"OP": "test", "NAME": "flash"}]
    hello, *rest = ask(terminal.boot(), *ALL, *asked)[len(ALL) :]
    hello.pop("SEQ")
    assert hello == {
        **{"S1": "ok", "MAC": "30aea4010203", "BOARD": "ks_clock"},
        **{"D1": "KS-000001", "STATE": "provisioned", "SESSION": SESSION},
    }
    assert {answer["ERR1"] for answer in rest} == {"SEALED"}


def test_an_answer_that_was_lost_is_given_again_without_the_work() -> None:
    terminal = Terminal()
    hello = framed({"OP": "hello", "SESSION": SESSION, "SEQ": "1"})
    prove = framed({"OP": "prove", "D1": "KS-1", "CHALLENGE": CHALLENGE, "SEQ": "3"})
    key = framed({**KEY, "SEQ": "2"})
    _, _, first, second = told(terminal.boot(), hello, key, prove, prove)
    assert first == second


def test_a_number_is_used_for_one_request_only() -> None:
    hello = framed({"OP": "hello", "SESSION": SESSION, "SEQ": "1"})
    other = framed({"OP": "hello", "SEQ": "2"})
    key = framed({**KEY, "SEQ": "2"})
    terminal = Terminal()
    assert told(terminal.boot(), hello, other, key)[2]["ERR1"] == "MALFORMED"
    assert terminal.vault.values == {}


def test_a_number_from_before_is_not_answered() -> None:
    hello = framed({"OP": "hello", "SESSION": SESSION, "SEQ": "5"})
    assert len(told(Terminal().boot(), hello, framed({**KEY, "SEQ": "4"}))) == 1


def test_a_new_session_may_count_from_the_beginning() -> None:
    first = framed({"OP": "hello", "SESSION": SESSION, "SEQ": "50"})
    second = framed({"OP": "hello", "SESSION": SESSION[::-1], "SEQ": "1"})
    found = told(Terminal().boot(), first, second, framed({**KEY, "SEQ": "2"}))
    assert [answer["SEQ"] for answer in found] == ["50", "1", "2"]


def test_before_a_hello_nothing_is_done() -> None:
    terminal = Terminal()
    (refused,) = told(terminal.boot(), framed({**KEY, "SEQ": "9"}))
    assert refused["ERR1"] == "NO_SESSION"
    assert terminal.vault.values == {}


def test_a_key_is_injected_only_where_the_image_allows_it() -> None:
    terminal = Terminal()
    inject = {"OP": "inject_key", "SEED": signing.b64(bytes(range(32)))}
    (refused,) = ask(terminal.boot(), inject)
    assert refused["ERR1"] == "NOT_ALLOWED"
    assert terminal.vault.values == {}
    terminal.fs.files["allow_injection"] = b""
    first, second, other = ask(
        terminal.boot(), inject, inject, {**inject, "SEED": signing.b64(bytes(32))}
    )
    assert first["PUB"] == second["PUB"]
    assert other["ERR1"] == "NOT_ALLOWED"
    assert terminal.vault.get("key") == bytes(range(32))
    assert inject["SEED"] not in str((first, second, other))


@pytest.mark.parametrize(
    "request_",
    [
        {**TRUST, "TRUST": []},
        {**TRUST, "TRUST": "x"},
        {**TRUST, "TRUST": TRUST_ROWS[:1]},
        {**TRUST, "TRUST": [*TRUST_ROWS, {"KEY": "AAAA", "ROLE": "admin"}]},
        {**TRUST, "TRUST": [*TRUST_ROWS, {**TRUST_ROWS[0], "SEQ": "x"}]},
        {**TRUST, "TRUST": [*TRUST_ROWS, {**TRUST_ROWS[-1], "ROLE": "owner"}]},
        {**TRUST, "TRUST": TRUST_ROWS * 5},
        {**FACTORY, "D1": "not an id"},
        {**FACTORY, "SERVER": "terminals.example"},
        {**FACTORY, "CA": "not base64"},
        {**FACTORY, "CA": [{"PART": "AAAA"}, {"OTHER": "x"}]},
        {"OP": "write", "FILE": "factory", "D1": "KS-1"},
        {**WIFI, "WIFI_SSID": "x" * 33},
        {**WIFI, "WIFI_SSID": ""},
        {**WIFI, "WIFI_PASSWORD": "short"},
        {**SETUP, "SETUP_PASSWORD": "short"},
        {**SETUP, "SETUP_PASSWORD": "with a blank"},
        {**BOARD, "BOARD": "a/b"},
        {"OP": "write", "FILE": "boot.py"},
        {"OP": "write"},
        {"OP": [{"OP": "write"}]},
    ],
)
def test_what_could_not_work_is_refused_and_changes_nothing(request_: dict[str, Any]) -> None:
    terminal = Terminal()
    (refused,) = ask(terminal.boot(), request_)
    assert refused["ERR1"] == "MALFORMED"
    assert terminal.fs.files == {}
    assert terminal.vault.values == {}


def test_an_open_network_has_no_password() -> None:
    terminal = Terminal()
    ask(terminal.boot(), WIFI, {**WIFI, "WIFI_PASSWORD": ""})
    assert terminal.vault.values == {"wifi_ssid": NETWORK[0].encode()}


def test_a_long_certificate_comes_in_parts() -> None:
    terminal = Terminal()
    authority = signing.b64(bytes(range(256)) * 4)
    parts = [{"PART": authority[at : at + 180]} for at in range(0, len(authority), 180)]
    (answer,) = ask(terminal.boot(), {**FACTORY, "CA": parts})
    assert answer["S1"] == "ok"
    words = toon.decode(terminal.fs.files["factory.toon.staged"], 4096)
    assert words["CA"] == authority


@pytest.mark.parametrize("left_out", [TRUST, FACTORY])
def test_without_all_that_it_needs_it_is_not_sealed(left_out: Message) -> None:
    terminal = Terminal()
    *_, refused = ask(terminal.boot(), *[step for step in ALL if step is not left_out])
    assert refused["ERR1"] == "NOT_ALLOWED"
    assert factory.PATH not in terminal.fs.files


def test_the_data_of_another_terminal_are_not_adopted() -> None:
    terminal = Terminal()
    record = {"D1": "KS-999999", "STATE": "ACTIVE"}
    Store(terminal.fs).write("data/state/identity.toon", record)
    assert ask(terminal.boot(), FACTORY)[0]["ERR1"] == "NOT_ALLOWED"
    assert ask(terminal.boot(), {**FACTORY, "D1": "KS-999999"})[0]["S1"] == "ok"


def test_a_power_cut_at_any_step_leaves_what_the_next_run_completes() -> None:
    cut = 0
    while True:
        terminal = Terminal()
        terminal.fs.operations_left = cut
        is_over = False
        try:
            answers = ask(terminal.boot(), *ALL)
            is_over = all(answer["S1"] == "ok" for answer in answers)
        except PowerCut:
            pass
        terminal.fs.operations_left = -1
        if factory.PATH in terminal.fs.files:  # then nothing may be missing
            assert terminal.vault.get("key")
        else:
            assert [answer["S1"] for answer in ask(terminal.boot(), *ALL)] == ["ok"] * len(ALL)
        assert factory.read_factory(terminal.fs) == WORDS
        assert Trust(terminal.fs, Store(terminal.fs), NaclCrypto()).rows == TRUST_ROWS
        assert len(terminal.vault.values) == 5
        if is_over:
            break
        cut += 1
    assert cut >= 12


def test_the_key_survives_a_power_cut_right_after_it_was_made() -> None:
    terminal = Terminal()
    (made,) = ask(terminal.boot(), KEY)
    hello, again = ask(terminal.boot(), {"OP": "hello"}, KEY)
    assert hello["PUB"] == again["PUB"] == made["PUB"]


def test_readings_of_the_factory_test() -> None:
    terminal = Terminal()
    test = {"OP": "test"}
    flash, clock, memory, wifi, led = ask(
        terminal.boot(),
        {**test, "NAME": "flash"},
        {**test, "NAME": "clock"},
        {**test, "NAME": "memory"},
        {**test, "NAME": "wifi", "WIFI_SSID": NETWORK[0], "WIFI_PASSWORD": NETWORK[1]},
        {**test, "NAME": "led"},
    )
    assert (flash["S1"], flash["TOTAL"]) == ("ok", str(960 * 1024))
    assert (int(clock["PAUSE"]) >= 49, memory["FREE"], wifi["RSSI"]) == (True, "0", "-61")
    assert led["READING"] == [{"NAME": "LIT", "TEXT": "3"}]
    assert "data/factory_test.bin" not in terminal.fs.files


def test_what_cannot_be_tested_is_said() -> None:
    test = {"OP": "test"}
    wifi = {**test, "NAME": "wifi", "WIFI_SSID": "elsewhere", "WIFI_PASSWORD": "12345678"}
    buzzer = {**test, "NAME": "buzzer"}
    found = ask(Terminal().boot(), {**test, "NAME": "nose"}, test, wifi, buzzer, {"OP": "nonsense"})
    codes = ["UNKNOWN_OP", "MALFORMED", "TEST_FAILED", "TEST_FAILED", "UNKNOWN_OP"]
    assert [answer["ERR1"] for answer in found] == codes
    assert found[3]["ERR2"] == "no pin"
    assert "12345678" not in str(found)


def test_keys_and_cards_count_from_begin_to_end_and_are_bounded() -> None:
    terminal = Terminal()
    keypad = {"OP": "test", "NAME": "keypad"}
    terminal.desk.seen("keypad", "early")
    ask(terminal.boot(), {**keypad, "STEP": "begin"})
    for key in range(40):
        terminal.desk.seen("keypad", str(key))
    ended, again = ask(terminal.boot(), {**keypad, "STEP": "end"}, {**keypad, "STEP": "end"})
    assert [row["TEXT"] for row in ended["SEEN"]] == [str(key) for key in range(16)]
    assert again["ERR1"] == "TEST_FAILED"


def test_a_flash_that_fails_is_said_and_does_not_end_the_conversation() -> None:
    terminal = Terminal()

    def fails(*_: object) -> None:
        raise OSError(28, "secret text of the system")

    setattr(terminal.fs, "rename", fails)  # noqa: B010 -- it is no method to be assigned to
    failed, hello = ask(terminal.boot(), FACTORY, {"OP": "hello"})
    assert (failed["ERR1"], failed["ERR2"]) == ("FLASH", "error 28")
    assert hello["S1"] == "ok"

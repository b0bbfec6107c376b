"""Both sides of the serial line against noise: any bytes, damaged messages, lost answers."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_agent import config_check, factory
from ks_agent.errors import Malformed
from ks_board import serial_line as device
from ks_board.console_words import check_server
from ks_tools import serial_line as host
from ks_tools.device_link import DeviceLink, DeviceRefused, DeviceSilent, LinkLost
from tests.serial.desk import (
    NETWORK,
    SESSION,
    WORDS,
    Terminal,
    ask,
    encoded,
    framed,
    on_a_pty,
    provision,
    told,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
DOCUMENT = st.dictionaries(st.from_regex(r"\A[A-Z][A-Z0-9]{0,5}\Z"), TEXT, min_size=1, max_size=8)


def read_by_device(data: bytes) -> list[bytes]:
    found: list[bytes] = device.LineReader().feed(data)
    return found


def read_by_host(data: bytes) -> list[bytes]:
    return host.LineReader().feed(data)


@given(DOCUMENT)
def test_both_sides_write_the_same_bytes_and_read_what_the_other_wrote(
    fields: dict[str, str],
) -> None:
    document = encoded(fields)
    by_device = b"".join(device.frame(document))
    assert by_device == b"".join(host.frame(document))
    assert read_by_device(by_device) == read_by_host(by_device) == [document]


@given(st.binary(max_size=600))
def test_any_bytes_are_no_message_and_no_failure(data: bytes) -> None:
    assert read_by_device(data) == read_by_host(data) == []
    assert told(Terminal().boot(), data or b"\n") == []


@given(st.binary(max_size=60), DOCUMENT, st.lists(st.integers(1, 30), max_size=20))
def test_after_any_noise_a_message_is_found_in_whatever_pieces_it_comes(
    noise: bytes, fields: dict[str, str], sizes: list[int]
) -> None:
    document = encoded(fields)
    data = noise + b"".join(host.frame(document))
    for reader in (device.LineReader(), host.LineReader()):
        found: list[bytes] = []
        at = 0
        for size in sizes:
            found += reader.feed(data[at : at + size])
            at += size
        found += reader.feed(data[at:])
        assert found == [document]


@given(DOCUMENT, st.data())
def test_a_message_with_one_byte_changed_is_not_taken_for_another(
    fields: dict[str, str], data: st.DataObject
) -> None:
    document = encoded(fields)
    whole = b"".join(host.frame(document))
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    spoiled = whole[:at] + bytes((byte,)) + whole[at + 1 :]
    for found in (read_by_device(spoiled), read_by_host(spoiled)):
        assert found in ([], [document])


@given(DOCUMENT, st.data())
def test_lines_lost_doubled_or_swapped_make_no_message(
    fields: dict[str, str], data: st.DataObject
) -> None:
    document = encoded(fields)
    lines = host.frame(document)[1:]
    lost = data.draw(st.integers(0, len(lines) - 1))
    changes = [lines[:lost] + lines[lost + 1 :], [*lines[: lost + 1], *lines[lost:]]]
    if len(lines) > 2:
        changes.append([lines[1], lines[0], *lines[2:]])
    for change in changes:
        joined = b"".join(change)
        for found in (read_by_device(joined), read_by_host(joined)):
            assert found in ([], [document])  # a doubled last line comes after the message
            assert found == [] or change == changes[1]


@given(DOCUMENT, st.sampled_from([b"I (123) wifi: up\r\n", b"EVENT offline\n", b"half a line "]))
def test_console_output_between_the_lines_does_no_harm(
    fields: dict[str, str], noise: bytes
) -> None:
    document = encoded(fields)
    empty, *lines = host.frame(document)
    if noise.endswith(b"\n"):
        data = empty + noise + noise.join(lines)
    else:
        data = noise + empty + b"".join(lines)
    assert read_by_host(data) == [document]


@given(
    st.one_of(
        st.text(max_size=12), st.from_regex(r"\Ahttps?:/{1,3}[a-z.:/]{0,6}[ -~]?\Z", fullmatch=True)
    )
)
def test_the_server_is_judged_as_the_agent_judges_it(text: str) -> None:
    def refuses(check: Callable[[], object]) -> bool:
        try:
            check()
        except Malformed:
            return True
        return False

    by_agent = refuses(lambda: config_check.check({"SERVER": text}))
    assert refuses(lambda: check_server("SERVER", text)) == by_agent


def test_the_limits_of_a_message_are_the_same_on_both_sides() -> None:
    for document, fits in (
        (b"A: " + b"x" * 387, True),
        (b"A: " + b"x" * 388, False),
        (b"\n".join([b"#"] * 48), True),
        (b"\n".join([b"#"] * 49), False),
        (b"\n".join([b"A: " + b"x" * 167] * 48)[:8192], True),
        (b"\n".join([b"A: " + b"x" * 168] * 48), False),
    ):
        for frame in (device.frame, host.frame):
            if fits:
                joined = b"".join(frame(document))
                assert read_by_device(joined) == read_by_host(joined) == [document]
            else:
                with pytest.raises(ValueError, match=r"."):
                    list(frame(document))


@settings(max_examples=60)
@given(st.lists(DOCUMENT, min_size=1, max_size=4))
def test_any_request_is_answered_once_or_not_at_all(requests: list[dict[str, str]]) -> None:
    terminal = Terminal()
    answers = ask(terminal.boot(), *requests)
    assert [answer["SEQ"] for answer in answers] == [str(n + 2) for n in range(len(requests))]
    assert all(answer["S1"] == "error" for answer in answers if answer.get("STATE") is None)
    assert factory.PATH not in terminal.fs.files


@settings(max_examples=60)
@given(
    st.sampled_from(["hello", "test", "make_key", "inject_key", "prove", "write", "seal"]),
    st.dictionaries(
        st.sampled_from(["NAME", "D1", "CHALLENGE", "FILE", "SEED", "TRUST", "CA", "SERVER"]),
        st.one_of(TEXT, st.lists(st.dictionaries(st.just("KEY"), TEXT, min_size=1), max_size=3)),
    ),
)
def test_odd_fields_are_refused_and_never_signed(op: str, fields: dict[str, object]) -> None:
    terminal = Terminal()
    (answer,) = ask(terminal.boot(), {"OP": op, **fields})
    assert answer["S1"] == "ok" or answer["ERR1"] != "INTERNAL", answer
    assert "SIG" not in answer
    assert factory.PATH not in terminal.fs.files


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_cable_only_makes_it_slower(seed: int) -> None:
    chance = random.Random(seed)

    def spoil(data: bytes) -> bytes:
        if chance.random() < 0.03:
            at = chance.randrange(len(data))
            return data[:at] + data[at + 1 :]
        return data

    terminal = Terminal()
    link = DeviceLink("", patience=0.05, tries=60)
    with on_a_pty(terminal.boot, spoil) as link.port, link:
        provision(link)
    assert factory.read_factory(terminal.fs) == WORDS


def test_an_answer_of_another_conversation_is_passed_over() -> None:
    terminal = Terminal()
    stale = framed({"S1": "ok", "SEQ": "1", "SESSION": SESSION, "STATE": "provisioned"})
    held = [stale]

    def spoil(data: bytes) -> bytes:
        return held.pop() + data if held and data.startswith(b"~") else data

    with on_a_pty(terminal.boot, spoil) as path, DeviceLink(path) as link:
        assert link.hello().state == "blank"


def test_a_port_that_is_not_there_is_said() -> None:
    with pytest.raises(LinkLost, match="cannot be opened"):
        DeviceLink("/dev/ks-no-such-port").open()


def test_a_silent_port_is_said() -> None:
    link = DeviceLink("", patience=0.02, tries=2)
    with on_a_pty(Terminal().boot, lambda data: b"") as link.port, link:  # noqa: SIM117
        with pytest.raises(DeviceSilent, match="no answer to hello"):
            link.hello(0.1)


def test_no_secret_is_in_what_the_host_shows(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.radio.networks.clear()
    with on_a_pty(terminal.boot) as path, DeviceLink(path) as link:
        link.hello()
        with pytest.raises(DeviceRefused) as refused:
            link.test_wifi(*NETWORK)
        with pytest.raises(DeviceRefused) as malformed:
            link.write_factory({**WORDS, "SERVER": "nonsense"})
    shown = str(refused.value) + str(malformed.value) + repr(link) + "".join(capsys.readouterr())
    assert NETWORK[1] not in shown
    assert WORDS["OTRT"] not in shown

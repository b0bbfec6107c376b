"""Ed25519 with the chips' own code: what it makes, and what depends on a secret."""

from __future__ import annotations

import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from ks_viper import build
from ks_viper.layout import ELEMENT_BYTES

from . import parts, xtensa
from .parts import Engine
from .runtime import Call, Region, Trace

TABLES = 1
RUN = "viper_field.run"
SEEDS = (bytes(range(32)), bytes(range(7, 39)), b"\xff" * 32)
MESSAGES = (b"", b"a message", bytes(range(250)) + bytes(50))


def signed(seed: bytes, message: bytes) -> tuple[bytes, bytes]:
    """The public key and the signature that libsodium makes."""
    public, secret = crypto_sign_seed_keypair(seed)
    return public, crypto_sign(message, secret)[:64]


def test_keys_and_signatures_are_those_of_libsodium(architecture: str) -> None:
    ed25519 = parts.engine(architecture, TABLES).ed25519
    assert ed25519.ENGINE == "viper"
    for seed, message in zip(SEEDS, MESSAGES, strict=True):
        public, signature = signed(seed, message)
        assert ed25519.public_key(seed) == public
        assert ed25519.sign(seed, [message[:4], message[4:]]) == signature


@pytest.mark.parametrize("tables", [2, 4])
def test_more_tables_make_the_same_signature(tables: int) -> None:
    ed25519 = parts.engine("xtensawin", tables).ed25519
    assert ed25519.sign(SEEDS[0], [MESSAGES[2]]) == signed(SEEDS[0], MESSAGES[2])[1]


def test_a_signature_is_valid_for_its_message_and_for_no_other(architecture: str) -> None:
    ed25519 = parts.engine(architecture, TABLES).ed25519
    public, signature = signed(SEEDS[0], b"a message")
    assert ed25519.verify(public, [b"a message"], signature)
    assert not ed25519.verify(public, [b"b message"], signature)


def test_a_table_is_made_step_by_step_and_verifies_like_the_key_itself() -> None:
    ed25519 = parts.engine("xtensawin", TABLES).ed25519
    public, signature = signed(SEEDS[0], b"a message")
    prepared = ed25519.prepare(public)
    while not prepared.step():
        pass
    assert prepared.is_valid()
    assert ed25519.verify(public, [b"a message"], signature, prepared)
    assert not ed25519.verify(public, [b"b message"], signature, prepared)


def recorded(engine: Engine, operation: str, *arguments: object) -> list[tuple[str, Call, Trace]]:
    """What each native call of an operation did, by function."""
    engine.ed25519.forget()
    with parts.recording(list(engine.functions.values())):
        getattr(engine.ed25519, operation)(*arguments)
    return [
        (name, call, trace)
        for name, function in engine.functions.items()
        for call, trace in function.recorded
    ]


def differences(one: Trace, two: Trace) -> list[tuple[int, int]]:
    """Both addresses of each access that was to another one the second time."""
    pairs = zip(one.addresses, two.addresses, strict=True)
    return [(first, second) for first, second in pairs if first != second]


def holds(region: Region, address: int) -> bool:
    return 0 <= address - region.address < len(region.content)


@pytest.mark.parametrize("operation", ["public_key", "sign"])
def test_no_branch_and_no_address_depends_on_a_secret_but_entries_and_exchanges(
    architecture: str, operation: str
) -> None:
    engine = parts.engine(architecture, TABLES)
    traces = []
    for seed in SEEDS[1:]:
        arguments = [seed] if operation == "public_key" else [seed, [MESSAGES[2]]]
        traces.append(recorded(engine, operation, *arguments))
    for other in traces[1:]:
        for (name, call, one), (same_name, _, two) in zip(traces[0], other, strict=True):
            assert name == same_name
            assert one.path == two.path
            if name != RUN:
                assert differences(one, two) == []
                continue
            table = call.region(engine.engine.BASE)
            memory = call.region(engine.engine.memory)
            for first, second in differences(one, two):
                if not (holds(table, first) and holds(table, second)):
                    # A negative digit exchanges the sum and the difference, next to each other.
                    assert holds(memory, first) and holds(memory, second)
                    assert abs(first - second) == ELEMENT_BYTES


def test_the_table_is_read_in_one_place_of_the_code_and_sums_are_exchanged_in_one() -> None:
    engine = parts.engine("xtensawin", TABLES)
    run = engine.functions[RUN].program
    assert isinstance(run, xtensa.Program)
    calls, others = (
        [what for what in recorded(engine, "public_key", seed) if what[0] == RUN]
        for seed in SEEDS[:2]
    )
    found = set()
    for (_, call, one), (_, _, two) in zip(calls, others, strict=True):
        table = call.region(engine.engine.BASE)
        blocks = [at for at in one.path for _ in range(run.blocks[at].accesses)]
        for block, first, second in zip(blocks, one.addresses, two.addresses, strict=True):
            if first != second:
                found.add((block, holds(table, first)))
    assert sorted(in_table for _, in_table in found) == [False, True]


def test_every_architecture_that_is_built_for_a_chip_is_executed_here() -> None:
    assert set(build.WORD_BITS) - {"x86", "x64"} == {"xtensawin", "rv32imc", "armv7emsp"}

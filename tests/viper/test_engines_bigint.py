"""The big-integer engine against RFC 8032, libsodium and awkward input, on every interpreter."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from ks_crypto import bigint, bigint_curve, sodium, strict

ROOT = Path(__file__).resolve().parent.parent.parent
VECTORS = ROOT / "tests" / "vectors"
HEAPS = {"amd64": "256k", "i386": "128k"}
LIMIT_S = 300

# Runs on MicroPython: argv is the firmware folder, the KB to hold besides, and two files of cases.
SCRIPT = """
import sys
from binascii import hexlify, unhexlify
sys.path.insert(0, sys.argv[1])
from ks_crypto import bigint as engine
from ks_crypto.strict import acceptable

def lines(name):
    with open(name) as file:
        for line in file:
            if not line.startswith("#"):
                yield line.rstrip("\\n").split(":")

def check(good, what):
    if not good:
        raise AssertionError(what)

ballast = [bytes(1000) for _ in range(int(sys.argv[2]))]
count = 0
for fields in lines(sys.argv[3]):
    seed, public, message, signature = [unhexlify(field) for field in fields]
    pieces = [message[:5], bytearray(message[5:9]), memoryview(message[9:])]
    check(engine.public_key(seed) == public, "public key")
    check(engine.sign(seed, pieces) == signature, "signature")
    check(engine.verify(public, pieces, signature), "verify")
    check(not engine.verify(public, pieces + [b"x"], signature), "longer message")
    count += 1
for name, public, message, signature, verdict in lines(sys.argv[4]):
    public, message, signature = unhexlify(public), unhexlify(message), unhexlify(signature)
    found = acceptable(public, signature) and engine.verify(public, [message], signature)
    check(found == (verdict == "yes"), name)
    count += 1
print("passed", count, len(ballast))
"""


class Changing:
    """A faulty message: another text when it is read again."""

    def __init__(self) -> None:
        self.reads = 0

    def __iter__(self):  # type: ignore[no-untyped-def]
        self.reads += 1
        return iter([b"read %d" % self.reads])


def cases(count: int, seed: int) -> list[tuple[bytes, bytes, bytes, bytes]]:
    """Seed, public key, message and signature as libsodium makes them."""
    random_source = random.Random(seed)
    made = []
    for _ in range(count):
        private = random_source.randbytes(32)
        message = random_source.randbytes(random_source.randrange(300))
        public, secret = crypto_sign_seed_keypair(private)
        made.append((private, public, message, crypto_sign(message, secret)[:64]))
    return made


def lines(name: str) -> list[list[str]]:
    """The fields of a file of vectors."""
    text = (VECTORS / name).read_text(encoding="ascii")
    return [line.split(":") for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("engine", [bigint, sodium], ids=["bigint", "sodium"])
def test_an_engine_gives_the_keys_and_signatures_of_rfc_8032(engine: object) -> None:
    for fields in lines("ed25519_rfc8032.txt"):
        seed, public, message, signature = map(bytes.fromhex, fields)
        assert engine.public_key(seed) == public  # type: ignore[attr-defined]
        assert engine.sign(seed, [message]) == signature  # type: ignore[attr-defined]
        assert engine.verify(public, [message], signature)  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", [bigint, sodium], ids=["bigint", "sodium"])
def test_an_engine_gives_the_verdict_of_libsodium_on_awkward_signatures(engine: object) -> None:
    for name, public, message, signature, verdict in lines("ed25519_edges.txt"):
        key, proof = bytes.fromhex(public), bytes.fromhex(signature)
        found = strict.acceptable(key, proof) and engine.verify(  # type: ignore[attr-defined]
            key, [bytes.fromhex(message)], proof
        )
        assert found is (verdict == "yes"), name


def test_both_engines_agree_in_both_directions_whatever_the_key() -> None:
    for seed, public, message, signature in cases(200, 1):
        pieces = [message[:7], bytearray(message[7:20]), memoryview(message)[20:]]
        assert bigint.public_key(seed) == sodium.public_key(seed) == public
        assert bigint.sign(seed, pieces) == sodium.sign(seed, pieces) == signature
        for engine in (bigint, sodium):
            assert engine.verify(public, pieces, signature)
            assert not engine.verify(public, [*pieces, b"x"], signature)


def test_one_key_verifies_many_messages_and_a_flipped_bit_is_noticed() -> None:
    random_source = random.Random(2)
    public, secret = crypto_sign_seed_keypair(bytes(range(32)))
    for _ in range(100):
        message = random_source.randbytes(50)
        signature = crypto_sign(message, secret)[:64]
        assert bigint.verify(public, [message], signature)
        changed = bytearray(signature)
        bit = random_source.randrange(512)
        changed[bit >> 3] ^= 1 << (bit & 7)
        assert not bigint.verify(public, [message], bytes(changed))


def test_small_and_extreme_scalars_give_the_right_multiples_of_the_base_point() -> None:
    order = strict.GROUP_ORDER
    neutral = (1).to_bytes(32, "little")
    base = bigint_curve.encode(bigint._base_multiple(1))
    assert base == bytes.fromhex("58" + "66" * 31)
    assert bigint_curve.encode(bigint._base_multiple(0)) == neutral
    assert bigint_curve.encode(bigint._base_multiple(order)) == neutral
    assert bigint_curve.encode(bigint._base_multiple(order + 1)) == base
    minus_base = bigint_curve.encode(bigint._base_multiple(order - 1))
    assert minus_base == base[:31] + bytes([base[31] | 0x80])
    assert bigint_curve.encode(bigint._base_multiple(2**255 - 1)) == bigint_curve.encode(
        bigint._base_multiple((2**255 - 1) % order)
    )


def test_the_field_functions_are_right_for_every_size_and_sign() -> None:
    random_source = random.Random(3)
    prime = strict.FIELD_PRIME
    for bits in range(1, 640, 7):
        value = random_source.getrandbits(bits) + 1
        for number in (value, -value):
            assert bigint_curve.fold(number) % prime == number % prime
            if number % prime:
                assert bigint_curve.inverse_of(number) * number % prime == 1
    for _ in range(20):
        value = random_source.randrange(prime)
        assert bigint_curve.root_power(value) == pow(value, (prime - 5) // 8, prime)
    assert bigint_curve.inverse_of(1) % prime == 1
    assert bigint_curve.inverse_of(prime - 1) % prime == prime - 1


def test_a_message_that_changes_is_not_signed_and_pieces_of_other_types_raise() -> None:
    seed = bytes(range(32))
    public = bigint.public_key(seed)
    with pytest.raises(ValueError, match="not the same"):
        bigint.sign(seed, Changing())
    for engine in (bigint, sodium):
        signature = engine.sign(seed, [b"message"])
        for wrong in (["text"], [1], [None]):
            with pytest.raises(ValueError, match="each piece must be bytes"):
                engine.sign(seed, wrong)
            with pytest.raises(ValueError, match="each piece must be bytes"):
                engine.verify(public, wrong, signature)


def test_forget_drops_what_was_made_of_the_private_key() -> None:
    for engine, kept in ((bigint, "_expanded"), (sodium, "_pair")):
        public = engine.public_key(bytes(32))
        assert getattr(engine, kept) is not None
        engine.forget()
        assert getattr(engine, kept) is None
        assert engine.public_key(bytes(32)) == public


def test_neither_engine_has_a_table_to_prepare() -> None:
    for engine in (bigint, sodium):
        prepared = engine.prepare(engine.public_key(bytes(32)))
        assert prepared.step() is True
        assert prepared.table == b""


def test_libsodium_is_given_no_message_without_bound() -> None:
    piece = bytes(1 << 18)
    seed = bytes(32)
    assert len(sodium.sign(seed, [piece] * 4)) == 64
    with pytest.raises(ValueError, match="longer than"):
        sodium.sign(seed, [piece] * 4 + [b"x"])
    with pytest.raises(ValueError, match="longer than"):
        sodium.verify(sodium.public_key(seed), [piece] * 4 + [b"x"], bytes(64))


def test_the_libsodium_engine_cannot_be_imported_without_pynacl() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; sys.modules['nacl'] = None; sys.path.insert(0, sys.argv[1])\n"
            "try:\n    import ks_crypto.sodium\nexcept ImportError:\n    print('missing')\n",
            ROOT / "firmware",
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout == "missing\n", done.stderr


@pytest.mark.parametrize("architecture", HEAPS)
@pytest.mark.parametrize("ballast", [0, 75], ids=["empty_heap", "100_KB_live_with_the_engine"])
def test_the_big_integer_engine_does_the_same_on_micropython(
    ballast: int, architecture: str, tmp_path: Path, micropython: Callable[[str], Path]
) -> None:
    program = micropython(architecture)
    made = [":".join(field.hex() for field in case) for case in cases(12, 4)]
    # The line of the 1023-byte message does not fit into what is left beside the ballast.
    longest = 1000 if ballast else 10000
    rfc = [":".join(fields) for fields in lines("ed25519_rfc8032.txt") if len(fields[2]) < longest]
    (tmp_path / "cases.txt").write_text("\n".join(made + rfc) + "\n", encoding="ascii")
    (tmp_path / "script.py").write_text(SCRIPT, encoding="ascii")
    done = subprocess.run(
        [
            *(program, "-X", f"heapsize={HEAPS[architecture]}", tmp_path / "script.py"),
            *(ROOT / "firmware", str(ballast)),
            *(tmp_path / "cases.txt", VECTORS / "ed25519_edges.txt"),
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout == f"passed {len(made) + len(rfc) + 105} {ballast}\n", (
        done.stdout + done.stderr
    )

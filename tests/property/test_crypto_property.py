"""Both crypto ports on random input: the same keys, signatures and verdicts, and SHA-512's digests.

Points outside the large group are built with libsodium's own group operations.
"""

import hashlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_sign_open,
)
from nacl.exceptions import BadSignatureError

from ks_crypto.port import Ed25519Crypto
from ks_crypto.sha512 import sha512
from ks_crypto.strict import FIELD_PRIME, GROUP_ORDER
from ks_server.crypto import NaclCrypto

PURE = Ed25519Crypto()
NACL = NaclCrypto(cached_keys=8)

ORDER_8_POINT = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
TORSION = [(1).to_bytes(32, "little")]
for _ in range(7):
    TORSION.append(crypto_core_ed25519_add(TORSION[-1], ORDER_8_POINT))
SIGN_BIT = 2**255
# Each y of a point of small order, in every encoding that 32 bytes can hold.
SMALL_ORDER_ENCODINGS = sorted(
    {
        (y + extra | sign).to_bytes(32, "little")
        for y in (int.from_bytes(point, "little") % SIGN_BIT for point in TORSION)
        for extra in (0, FIELD_PRIME)
        for sign in (0, SIGN_BIT)
        if y + extra < SIGN_BIT
    }
)

seeds = st.binary(min_size=32, max_size=32)
messages = st.binary(max_size=400)
scalars = st.integers(min_value=1, max_value=GROUP_ORDER - 1)
torsion_numbers = st.integers(min_value=0, max_value=7)
examples = settings(max_examples=60, deadline=None)


def libsodium_alone(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def verdict(public: bytes, message: bytes, signature: bytes) -> bool:
    """The verdict that the two ports, and libsodium without the precheck, agree on."""
    verdicts: set[bool] = {
        PURE.verify(public, [message], signature),
        NACL.verify(public, [message], signature),
        libsodium_alone(public, message, signature),
    }
    assert len(verdicts) == 1
    return verdicts.pop()


def challenge(encoded_r: bytes, public: bytes, message: bytes) -> int:
    digest = hashlib.sha512(encoded_r + public + message).digest()
    return int.from_bytes(digest, "little") % GROUP_ORDER


def multiple(scalar: int) -> bytes:
    return crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def flip(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(len(data), "little")


@examples
@given(seeds, messages, st.lists(st.integers(min_value=0), max_size=6))
def test_both_ports_make_the_same_keys_and_signatures(
    seed: bytes, message: bytes, places: list[int]
) -> None:
    public = PURE.public_key(seed)
    assert public == NACL.public_key(seed)
    pieces = cut(message, places)
    signature = PURE.sign(seed, pieces)
    assert signature == NACL.sign(seed, pieces) == NACL.sign(seed, [message])
    assert verdict(public, message, signature)
    assert PURE.verify(public, pieces, signature)
    assert NACL.verify(public, pieces, signature)


@settings(max_examples=200, deadline=None)
@given(seeds, messages, st.integers(min_value=0))
def test_both_ports_refuse_any_flipped_bit(seed: bytes, message: bytes, place: int) -> None:
    public, signature = NACL.public_key(seed), NACL.sign(seed, [message])
    assert not verdict(public, message, flip(signature, place % 512))
    assert not verdict(flip(public, place % 256), message, signature)
    if message:
        assert not verdict(public, flip(message, place % (8 * len(message))), signature)


@examples
@given(
    st.binary(min_size=32, max_size=32),
    messages,
    st.binary(min_size=64, max_size=64),
    st.booleans(),
)
def test_both_ports_agree_on_random_bytes(
    public: bytes, message: bytes, signature: bytes, small_s: bool
) -> None:
    if small_s:
        signature = signature[:63] + bytes([signature[63] & 0x0F])
    assert not verdict(public, message, signature)


@examples
@given(seeds, messages, st.integers(min_value=1, max_value=15))
def test_s_above_the_group_order_is_refused(seed: bytes, message: bytes, times: int) -> None:
    public, signature = NACL.public_key(seed), NACL.sign(seed, [message])
    s = int.from_bytes(signature[32:], "little") + times * GROUP_ORDER
    if s < 2**256:
        assert not verdict(public, message, signature[:32] + s.to_bytes(32, "little"))


@pytest.mark.parametrize("encoding", SMALL_ORDER_ENCODINGS, ids=bytes.hex)
@settings(max_examples=5, deadline=None)
@given(scalar=scalars, message=messages)
def test_small_order_points_are_refused_even_where_the_equation_holds(
    encoding: bytes, scalar: int, message: bytes
) -> None:
    point = multiple(scalar)
    # For A of small order, R = S*B holds whenever h is a multiple of 8: about 5 of these 40.
    tried = [message + bytes([suffix]) for suffix in range(40)]
    holding = [text for text in tried if challenge(point, encoding, text) % 8 == 0]
    for text in [message, *holding[:2]]:
        assert not verdict(encoding, text, point + scalar.to_bytes(32, "little"))
    # For R = 0, S = h*a makes the equation hold.
    s = challenge(encoding, point, message) * scalar % GROUP_ORDER
    assert not verdict(point, message, encoding + s.to_bytes(32, "little"))


def test_the_list_of_small_order_encodings_is_whole() -> None:
    assert len(set(TORSION)) == 8
    assert crypto_core_ed25519_add(TORSION[7], ORDER_8_POINT) == TORSION[0]
    # Five y (two of them also as y + p), each with either sign.
    assert len(SMALL_ORDER_ENCODINGS) == 14


@pytest.mark.parametrize("sign", [0, SIGN_BIT])
@pytest.mark.parametrize("excess", range(19))
def test_encodings_that_are_not_canonical_are_refused(excess: int, sign: int) -> None:
    encoding = (FIELD_PRIME + excess | sign).to_bytes(32, "little")
    public, signature = NACL.public_key(bytes(32)), NACL.sign(bytes(32), [b"m"])
    assert not verdict(encoding, b"m", signature)
    assert not verdict(public, b"m", encoding + signature[32:])


@settings(max_examples=150, deadline=None)
@given(scalars, scalars, torsion_numbers, torsion_numbers, messages)
def test_both_ports_agree_on_mixed_order_points(
    secret: int, nonce: int, torsion_a: int, torsion_r: int, message: bytes
) -> None:
    public = crypto_core_ed25519_add(multiple(secret), TORSION[torsion_a])
    encoded_r = crypto_core_ed25519_add(multiple(nonce), TORSION[torsion_r])
    h = challenge(encoded_r, public, message)
    s = (nonce + h * secret) % GROUP_ORDER
    holds = (torsion_r + h * torsion_a) % 8 == 0
    assert verdict(public, message, encoded_r + s.to_bytes(32, "little")) == holds


@examples
@given(st.binary(max_size=700), st.lists(st.integers(min_value=0), max_size=8))
def test_sha512_in_any_pieces_is_hashlibs(data: bytes, places: list[int]) -> None:
    running = sha512()
    for piece in cut(data, places):
        running.update(piece)
    assert running.digest() == hashlib.sha512(data).digest()


def test_sha512_of_every_length_up_to_300_is_hashlibs() -> None:
    data = bytes(range(256)) * 2
    for length in range(301):
        assert sha512(data[:length]).digest() == hashlib.sha512(data[:length]).digest()


@pytest.mark.parametrize("port", [PURE, NACL], ids=["pure", "nacl"])
def test_both_ports_refuse_wrong_lengths_and_types(port: Ed25519Crypto | NaclCrypto) -> None:
    seed, pieces = bytes(32), [b"m"]
    public, signature = port.public_key(seed), port.sign(seed, pieces)
    wrong_calls: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (port.public_key, (bytes(31),)),
        (port.public_key, ("s" * 32,)),
        (port.sign, (bytes(33), pieces)),
        (port.sign, (seed, b"m")),
        (port.sign, (seed, "m")),
        (port.sign, (seed, ["m"])),
        (port.sign, (seed, [1])),
        (port.sign, (seed, None)),
        (port.sign, (seed, iter(pieces))),
        (port.verify, (bytes(31), pieces, signature)),
        (port.verify, (public, pieces, signature[:63])),
        (port.verify, (public, b"m", signature)),
        (port.verify, (public, ["m"], signature)),
        (port.verify, (public, iter(pieces), signature)),
    ]
    for function, arguments in wrong_calls:
        with pytest.raises(ValueError) as caught:
            function(*arguments)
        assert seed.hex() not in str(caught.value)


def test_the_nacl_port_keeps_no_more_keys_than_it_was_given_room_for() -> None:
    crypto = NaclCrypto(cached_keys=2)
    for number in range(50):
        crypto.public_key(number.to_bytes(32, "little"))
    assert crypto._key_pair.cache_info().currsize == 2

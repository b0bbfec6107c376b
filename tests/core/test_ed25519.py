"""Ed25519 against RFC 8032's vectors and libsodium's verdicts; the same on both interpreters."""

from binascii import unhexlify

from support import raises

from ks_crypto import ed25519, strict
from ks_crypto.port import Ed25519Crypto

VECTORS = (__file__.rpartition("/")[0] or ".") + "/../vectors/"

SEED = bytes(range(32))
MESSAGE = [b"D1:dev_1|", bytearray(b"HB2:3600|"), memoryview(b"NONCE:0123456789abcdef")]


class Afresh:
    """A message that makes its pieces anew each time it is read."""

    def __iter__(self):
        for piece in MESSAGE:
            yield piece


class Changing:
    """A faulty message: another text when it is read again."""

    def __init__(self):
        self.reads = 0

    def __iter__(self):
        self.reads += 1
        return iter([b"read %d" % self.reads])


def vectors(name):
    with open(VECTORS + name) as lines:
        for line in lines:
            if not line.startswith("#"):
                yield line.rstrip("\n").split(":")


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)


def test_keys_and_signatures_are_those_of_rfc_8032():
    count = 0
    for fields in vectors("ed25519_rfc8032.txt"):
        seed, public, message, signature = [unhexlify(field) for field in fields]
        pieces = [message]
        assert ed25519.public_key(seed) == public
        assert ed25519.sign(seed, pieces) == signature
        assert ed25519.verify(public, pieces, signature)
        count += 1
    assert count == 5


def test_awkward_signatures_get_the_verdict_of_libsodium():
    verdicts = {"yes": 0, "no": 0}
    for name, public, message, signature, verdict in vectors("ed25519_edges.txt"):
        found = ed25519.verify(unhexlify(public), [unhexlify(message)], unhexlify(signature))
        assert found == (verdict == "yes"), name
        verdicts[verdict] += 1
    assert verdicts == {"yes": 25, "no": 80}


def test_a_flipped_bit_anywhere_is_noticed():
    public = ed25519.public_key(SEED)
    signature = ed25519.sign(SEED, MESSAGE)
    assert ed25519.verify(public, MESSAGE, signature)
    for bit in range(0, 512, 37):
        assert not ed25519.verify(public, MESSAGE, flipped(signature, bit))
    for bit in range(0, 256, 37):
        assert not ed25519.verify(flipped(public, bit), MESSAGE, signature)
    whole = b"".join([bytes(piece) for piece in MESSAGE])
    for bit in range(0, 8 * len(whole), 53):
        assert not ed25519.verify(public, [flipped(whole, bit)], signature)


def test_only_the_concatenation_counts():
    signature = ed25519.sign(SEED, MESSAGE)
    whole = b"".join([bytes(piece) for piece in MESSAGE])
    assert ed25519.sign(SEED, [whole]) == signature
    assert ed25519.sign(SEED, (b"", whole[:1], whole[1:], b"")) == signature
    assert ed25519.sign(SEED, Afresh()) == signature
    assert ed25519.verify(ed25519.public_key(SEED), Afresh(), signature)


def test_a_message_that_cannot_be_read_twice_is_never_signed():
    raises(ValueError, ed25519.sign, SEED, iter(MESSAGE))
    raises(ValueError, ed25519.sign, SEED, (piece for piece in MESSAGE))
    raises(ValueError, ed25519.sign, SEED, iter([]))
    raises(ValueError, ed25519.sign, SEED, Changing())


def test_keys_of_several_seeds_do_not_mix():
    other = bytes(32)
    public, other_public = ed25519.public_key(SEED), ed25519.public_key(other)
    signature = ed25519.sign(SEED, MESSAGE)
    other_signature = ed25519.sign(other, MESSAGE)
    ed25519.forget()
    assert ed25519.sign(SEED, MESSAGE) == signature != other_signature
    assert ed25519.verify(other_public, MESSAGE, other_signature)
    assert not ed25519.verify(public, MESSAGE, other_signature)


def test_wrong_lengths_and_types_raise_and_say_no_secret():
    public = ed25519.public_key(SEED)
    signature = ed25519.sign(SEED, MESSAGE)
    for seed in (b"", SEED[:31], SEED + b"\0", "s" * 32, 32, None):
        error = raises(ValueError, ed25519.public_key, seed)
        assert str(error) == "seed must be 32 bytes"
        raises(ValueError, ed25519.sign, seed, MESSAGE)
    for wrong in (public[:31], public + b"\0", "p" * 32, None):
        raises(ValueError, ed25519.verify, wrong, MESSAGE, signature)
    for wrong in (signature[:63], signature + b"\0", "s" * 64, None):
        raises(ValueError, ed25519.verify, public, MESSAGE, wrong)
    for wrong in (b"one object", b"", "text", ["text"], [1], 7, None):
        raises(ValueError, ed25519.sign, SEED, wrong)
        raises(ValueError, ed25519.verify, public, wrong, signature)


def test_bytearray_and_memoryview_keys_are_taken():
    public = ed25519.public_key(bytearray(SEED))
    assert public == ed25519.public_key(SEED)
    signature = ed25519.sign(memoryview(SEED), MESSAGE)
    assert ed25519.verify(bytearray(public), MESSAGE, memoryview(signature))


def test_the_precheck_refuses_each_thing_it_names():
    public = ed25519.public_key(SEED)
    signature = ed25519.sign(SEED, MESSAGE)
    r, s = signature[:32], signature[32:]
    assert strict.acceptable(public, signature)
    assert not strict.acceptable(public[:31], signature)
    assert not strict.acceptable(public, signature[:63])
    assert strict.acceptable(public, r + (strict.GROUP_ORDER - 1).to_bytes(32, "little"))
    assert not strict.acceptable(public, r + strict.GROUP_ORDER.to_bytes(32, "little"))
    assert not strict.acceptable(public, r + b"\xff" * 32)
    small_orders = (0, 1, strict.FIELD_PRIME - 1)
    not_canonical = (strict.FIELD_PRIME, strict.FIELD_PRIME + 1, strict.FIELD_PRIME + 18)
    for y in small_orders + not_canonical:
        for sign_bit in (0, 2**255):
            point = (y + sign_bit).to_bytes(32, "little")
            assert not strict.acceptable(point, signature)
            assert not strict.acceptable(public, point + s)
    for sign_bit in (0, 2**255):
        point = (2 + sign_bit).to_bytes(32, "little")
        assert strict.acceptable(point, point + s)


def test_the_port_signs_verifies_and_hashes():
    crypto = Ed25519Crypto()
    public = crypto.public_key(SEED)
    signature = crypto.sign(SEED, MESSAGE)
    assert public == ed25519.public_key(SEED)
    assert signature == ed25519.sign(SEED, MESSAGE)
    assert crypto.verify(public, MESSAGE, signature)
    running = crypto.sha256()
    running.update(b"abc")
    assert running.digest()[:4] == unhexlify("ba7816bf")


def test_what_is_told_by_its_highest_byte_covers_all_that_is_refused():
    refused = set([y >> 248 for y in strict._SMALL_ORDER_Y] + [strict.FIELD_PRIME >> 248])
    assert refused == set(strict._SUSPECT_TOPS)
    assert strict.GROUP_ORDER >> 248 == strict._ORDER_TOP

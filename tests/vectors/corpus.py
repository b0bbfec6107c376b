"""Signatures and keys that a verifier gets wrong easily, generated, by group.

Each is (name, public key, message, signature) with lengths as they should be; what the verdict has
to be is asked of libsodium, never written here. Small-order and mixed-order signatures are built so
that the equation holds wherever that can be had, so that only the rule concerned refuses them.
"""

from collections.abc import Callable, Iterator

from . import curve
from .cases import flipped
from .curve import BASE, SMALL_ORDER_ENCODINGS, TORSION, L, P, Point

Awkward = tuple[str, bytes, bytes, bytes]

# Secret scalars chosen here, so that any signature can be built; nothing about them is special.
KEY = int.from_bytes(b"a scalar to sign awkward things", "little") % L
NONCE = int.from_bytes(b"another one, for the point R...", "little") % L
MESSAGE = b"D1:dev_1|HB2:3600|NONCE:0123456789abcdef|" + bytes(range(59))
# Tries to find a message whose challenge is right modulo 8: one in 2**34 fails.
TRIES = 180


def little(number: int) -> bytes:
    """32 bytes."""
    return number.to_bytes(32, "little")


def signed(key: int, message: bytes, nonce: int = NONCE) -> tuple[bytes, bytes]:
    """(public key, signature) by a secret scalar, without RFC 8032's clamping."""
    public = curve.encode(curve.multiply(key, BASE))
    encoded_r = curve.encode(curve.multiply(nonce, BASE))
    return public, completed(key, nonce, encoded_r, public, message)


def completed(key: int, nonce: int, encoded_r: bytes, public: bytes, message: bytes) -> bytes:
    """The signature with that R: S from the discrete logarithms of A and R."""
    challenge = curve.challenge(encoded_r, public, message)
    return encoded_r + little((nonce + challenge * key) % L)


def found(accepts: Callable[[int], bool], encoded_r: bytes, public: bytes) -> bytes:
    """A message whose challenge, unreduced, is accepted; any message when none is."""
    for attempt in range(TRIES):
        message = b"attempt %d" % attempt
        if accepts(curve.challenge(encoded_r, public, message)):
            return message
    return b"none"


def torsion_holds(key_part: int, nonce_part: int) -> Callable[[int], bool]:
    """Whether h times one small-order point plus another is neutral, as libsodium reduces h."""
    return lambda challenge: (challenge % L * key_part + nonce_part) % 8 == 0


def small_order_index(encoding: bytes) -> int:
    """Which of TORSION is encoded."""
    point = curve.decode(encoding)
    assert point is not None
    canonical = curve.encode(point)
    return next(i for i, other in enumerate(TORSION) if curve.encode(other) == canonical)


# The groups.


def plain() -> Iterator[Awkward]:
    """Right ones, so that nothing passes by refusing everything; then what makes them wrong."""
    public, signature = signed(KEY, MESSAGE)
    yield "right", public, MESSAGE, signature
    for length in range(len(MESSAGE)):
        yield f"message cut to {length}", public, MESSAGE[:length], signature
    for extra in (b"\0", b"\xff", bytes(128)):
        yield f"message with {len(extra)} bytes more", public, MESSAGE + extra, signature
    other, other_signature = signed(KEY + 1, MESSAGE, NONCE + 1)
    yield "other key", other, MESSAGE, signature
    yield "other signature", public, MESSAGE, other_signature
    yield "R of another", public, MESSAGE, other_signature[:32] + signature[32:]
    yield "S of another", public, MESSAGE, signature[:32] + other_signature[32:]
    negative = curve.encode(curve.negative(curve.multiply(KEY, BASE)))
    yield "minus the key", negative, MESSAGE, signature
    yield "minus S", public, MESSAGE, signature[:32] + little(L - int_of(signature[32:]))


def int_of(data: bytes) -> int:
    """Little-endian."""
    return int.from_bytes(data, "little")


def flipped_bits() -> Iterator[Awkward]:
    """Every bit of signature and key, and one bit of every byte of the message."""
    public, signature = signed(KEY, MESSAGE)
    for bit in range(512):
        yield f"signature bit {bit}", public, MESSAGE, flipped(signature, bit)
    for bit in range(256):
        yield f"key bit {bit}", flipped(public, bit), MESSAGE, signature
    for byte in range(len(MESSAGE)):
        bit = 8 * byte + byte % 8
        yield f"message bit {bit}", public, flipped(MESSAGE, bit), signature


def swapped() -> Iterator[Awkward]:
    """Parts in the wrong place or order, and constant bytes."""
    public, signature = signed(KEY, MESSAGE)
    r, s = signature[:32], signature[32:]
    yield "S then R", public, MESSAGE, s + r
    yield "R twice", public, MESSAGE, r + r
    yield "S twice", public, MESSAGE, s + s
    yield "A for R", public, MESSAGE, public + s
    yield "A and R exchanged", r, MESSAGE, public + s
    yield "A and S exchanged", s, MESSAGE, r + public
    yield "signature reversed", public, MESSAGE, signature[::-1]
    yield "R reversed", public, MESSAGE, r[::-1] + s
    yield "S reversed", public, MESSAGE, r + s[::-1]
    yield "key reversed", public[::-1], MESSAGE, signature
    for value in (0, 1, 0x7F, 0x80, 0xFF):
        constant = bytes([value]) * 32
        yield f"key of {value}", constant, MESSAGE, signature
        yield f"R of {value}", public, MESSAGE, constant + s
        yield f"S of {value}", public, MESSAGE, r + constant
        yield f"signature of {value}", public, MESSAGE, constant * 2
        yield f"everything of {value}", constant, MESSAGE, constant * 2


def scalars() -> Iterator[Awkward]:
    """S beyond L by every multiple that fits, at L's borders, with high bits set, or sparse."""
    public, signature = signed(KEY, MESSAGE)
    r, s = signature[:32], int_of(signature[32:])
    for factor in range(1, (2**256 - 1 - s) // L + 1):
        yield f"S + {factor} L", public, MESSAGE, r + little(s + factor * L)
    for factor in range(1, (2**256 - 1) // L + 1):
        for offset in (-1, 0, 1):
            number = factor * L + offset
            yield f"S = {factor} L {offset:+d}", public, MESSAGE, r + little(number)
    for bits in range(1, 8):
        yield f"S with top bits {bits:03b}", public, MESSAGE, r + little(s | bits << 253)
    for number in (0, 1, 8, L >> 1, 2**252 - 1, 2**252, 2**253 - 1, P, 2**255, 2**256 - 1):
        yield f"S = {number:#x}", public, MESSAGE, r + little(number)
    for byte in range(32):
        # One byte of L less by one, with the lower ones at their highest, stays just below L.
        step = 1 << 8 * byte
        if L - step >= 0:
            yield f"S = L - 2**{8 * byte}", public, MESSAGE, r + little(L - step)
        if L + step < 2**256:
            yield f"S = L + 2**{8 * byte}", public, MESSAGE, r + little(L + step)


def small_orders() -> Iterator[Awkward]:
    """All 14 encodings of the 8 small-order points as A and as R, with all they can go with."""
    for public in SMALL_ORDER_ENCODINGS:
        key_part = small_order_index(public)
        for encoded_r in SMALL_ORDER_ENCODINGS:
            holds = torsion_holds(key_part, small_order_index(encoded_r))
            message = found(holds, encoded_r, public)
            yield f"A {public.hex()} R {encoded_r.hex()}", public, message, encoded_r + bytes(32)
        for nonce_part in range(8):
            encoded_r = curve.encode(mixed(NONCE, nonce_part))
            message = found(torsion_holds(key_part, nonce_part), encoded_r, public)
            name = f"A {public.hex()} R mixed {nonce_part}"
            yield name, public, message, encoded_r + little(NONCE)
    for encoded_r in SMALL_ORDER_ENCODINGS:
        nonce_part = small_order_index(encoded_r)
        for key_part in range(8):
            public = curve.encode(mixed(KEY, key_part))
            message = found(torsion_holds(key_part, nonce_part), encoded_r, public)
            signature = completed(KEY, 0, encoded_r, public, message)
            yield f"A mixed {key_part} R {encoded_r.hex()}", public, message, signature


def mixed(scalar: int, part: int) -> Point:
    """A point of the large group plus a small-order one."""
    return curve.add(curve.multiply(scalar, BASE), TORSION[part])


def mixed_orders() -> Iterator[Awkward]:
    """Small-order parts in A and R: the equation holds, or does not if h is reduced, or never.

    Times the cofactor it always holds.
    """
    for key_part in range(8):
        public = curve.encode(mixed(KEY, key_part))
        for nonce_part in range(8):
            encoded_r = curve.encode(mixed(NONCE, nonce_part))
            for name, chosen in torsion_choices(key_part, nonce_part).items():
                message = found(chosen, encoded_r, public)
                signature = completed(KEY, NONCE, encoded_r, public, message)
                yield f"A part {key_part} R part {nonce_part} {name}", public, message, signature


def torsion_choices(key_part: int, nonce_part: int) -> dict[str, Callable[[int], bool]]:
    """What to ask of a challenge, by name."""
    reduced = torsion_holds(key_part, nonce_part)

    def unreduced(challenge: int) -> bool:
        return (challenge * key_part + nonce_part) % 8 == 0

    return {
        "holds": reduced,
        "holds if h is not reduced": lambda h: unreduced(h) and not reduced(h),
        "holds with the cofactor": lambda h: not unreduced(h) and not reduced(h),
    }


def not_canonical() -> Iterator[Awkward]:
    """Every y from p to 2**255 - 1 with either sign, as A and as R, hashed as it is or reduced."""
    public, signature = signed(KEY, MESSAGE)
    for y in range(P, 2**255):
        for sign in (0, 1):
            encoding, reduced = curve.encoded(y, sign), curve.encoded(y - P, sign)
            yield f"A y p + {y - P} {sign}", encoding, MESSAGE, signature
            # S = h * a: right for R neutral, and what a lax verifier multiplies out for the others.
            for hashed in (encoding, reduced):
                made = completed(KEY, 0, hashed, public, MESSAGE)
                name = f"R y p + {y - P} {sign} hashed {hashed.hex()}"
                yield name, public, MESSAGE, encoding + made[32:]


def not_on_the_curve() -> Iterator[Awkward]:
    """y without an x, small and large, as A and as R; and their neighbours that have one."""
    public, signature = signed(KEY, MESSAGE)
    near = [*range(2, 34), *range(P - 34, P - 1), *(2**k for k in range(8, 255, 13))]
    for y in near:
        for sign in (0, 1):
            encoding = curve.encoded(y, sign)
            yield f"A y {y:#x} {sign}", encoding, MESSAGE, signature
            made = completed(KEY, NONCE, encoding, public, MESSAGE)
            yield f"R y {y:#x} {sign}", public, MESSAGE, made


def known_multiples() -> Iterator[Awkward]:
    """A and R that are small or round multiples of the base point, where sums meet their like."""
    numbers = [1, 2, 3, 5, 7, 8, 15, 16, L >> 1, (L >> 1) + 1, 2**51, 2**204, 2**252, 2**128 - 1]
    numbers += [L - number for number in numbers[:6]]
    for key in numbers:
        for nonce in (1, 2, L - 1, key, L - key, 2**251 - 1):
            message = b"multiples"
            public, signature = signed(key, message, nonce)
            yield f"A = {key:#x} B, R = {nonce:#x} B", public, message, signature
        wrong = signature[:32] + little((int_of(signature[32:]) + 1) % L)
        yield f"A = {key:#x} B, S one too high", public, message, wrong


GROUPS: dict[str, Callable[[], Iterator[Awkward]]] = {
    "plain": plain,
    "flipped bits": flipped_bits,
    "swapped parts": swapped,
    "scalars": scalars,
    "small order": small_orders,
    "mixed order": mixed_orders,
    "not canonical": not_canonical,
    "not on the curve": not_on_the_curve,
    "known multiples": known_multiples,
}

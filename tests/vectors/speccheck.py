"""The twelve kinds of signature on which verifiers differ, constructed anew.

The kinds are those of Chalkias, Garillot and Nikolaenko, "Taming the many EdDSAs" (SSR 2020).
"""

from collections.abc import Iterator

from . import curve
from .corpus import (
    KEY,
    MESSAGE,
    NONCE,
    Awkward,
    completed,
    found,
    int_of,
    little,
    mixed,
    signed,
    torsion_holds,
)
from .curve import TORSION, L

GENERATOR = 1  # the index of a point of order 8 in TORSION


def speccheck() -> Iterator[Awkward]:
    """All twelve, in the paper's order."""
    yield from small_and_mixed()
    yield from only_with_cofactor()
    yield from high_scalars()
    yield from not_canonical_and_hashed_either_way()


def small_and_mixed() -> Iterator[Awkward]:
    """0 to 3: the plain equation holds, with a small-order part in A, in R or in both."""
    small = curve.encode(TORSION[GENERATOR])
    minus_small = curve.encode(TORSION[8 - GENERATOR])
    message = found(torsion_holds(GENERATOR, -GENERATOR), minus_small, small)
    yield "0 A small, R small, S 0", small, message, minus_small + bytes(32)

    mixed_r = curve.encode(mixed(NONCE, 8 - GENERATOR))
    message = found(torsion_holds(GENERATOR, -GENERATOR), mixed_r, small)
    yield "1 A small, R mixed", small, message, mixed_r + little(NONCE)

    mixed_a = curve.encode(mixed(KEY, GENERATOR))
    message = found(torsion_holds(GENERATOR, -GENERATOR), minus_small, mixed_a)
    signature = completed(KEY, 0, minus_small, mixed_a, message)
    yield "2 A mixed, R small", mixed_a, message, signature

    message = found(torsion_holds(GENERATOR, -GENERATOR), mixed_r, mixed_a)
    signature = completed(KEY, NONCE, mixed_r, mixed_a, message)
    yield "3 A mixed, R mixed", mixed_a, message, signature


def only_with_cofactor() -> Iterator[Awkward]:
    """4 and 5: only the equation times the cofactor holds; in 5 not for (8 h mod L) A."""
    mixed_a = curve.encode(mixed(KEY, GENERATOR))
    mixed_r = curve.encode(mixed(NONCE, GENERATOR))
    message = found(lambda h: (h % L + 1) % 8 != 0, mixed_r, mixed_a)
    signature = completed(KEY, NONCE, mixed_r, mixed_a, message)
    yield "4 A mixed, R mixed, cofactor", mixed_a, message, signature

    large_r = curve.encode(curve.multiply(NONCE, curve.BASE))
    message = found(lambda h: h % L % 8 != 0 and 8 * h % L % 8 != 0, large_r, mixed_a)
    signature = completed(KEY, NONCE, large_r, mixed_a, message)
    yield "5 A mixed, R of large order, cofactor", mixed_a, message, signature


def high_scalars() -> Iterator[Awkward]:
    """6 and 7: S is L too high, and so high that its three top bits are not zero."""
    public, signature = signed(KEY, MESSAGE)
    s = int_of(signature[32:])
    yield "6 S + L", public, MESSAGE, signature[:32] + little(s + L)
    highest = s + (2**256 - 1 - s) // L * L
    yield "7 S + all L that fit", public, MESSAGE, signature[:32] + little(highest)


def not_canonical_and_hashed_either_way() -> Iterator[Awkward]:
    """8 to 11: R, then A, is of small order and not canonical; the other point is mixed.

    The challenge is that of the encoding as it stands (8, 10) and of the canonical one (9, 11).
    """
    order_four = next(index for index, point in enumerate(TORSION) if point[1] == 0)
    canonical, *others = curve.encodings(TORSION[order_four])
    mixed_a = curve.encode(mixed(KEY, GENERATOR))
    for number, hashed in ((8, others[0]), (9, canonical)):
        message = found(torsion_holds(GENERATOR, order_four), hashed, mixed_a)
        signature = others[0] + completed(KEY, 0, hashed, mixed_a, message)[32:]
        yield f"{number} A mixed, R not canonical", mixed_a, message, signature

    mixed_r = curve.encode(mixed(NONCE, order_four))
    for number, hashed in ((10, others[0]), (11, canonical)):
        message = found(torsion_holds(order_four, order_four), mixed_r, hashed)
        yield f"{number} A not canonical, R mixed", others[0], message, mixed_r + little(NONCE)

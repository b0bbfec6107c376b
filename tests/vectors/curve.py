"""The curve of Ed25519 in textbook arithmetic, lenient on purpose, to build awkward signatures.

It shares no code with what is tested. Points are (x, y, z, t) with x*y = z*t (RFC 8032, 5.1.4).
"""

import hashlib
from functools import lru_cache

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Y_MASK = 2**255 - 1

Point = tuple[int, int, int, int]
NEUTRAL: Point = (0, 1, 1, 0)


def add(one: Point, other: Point) -> Point:
    """The sum; right for any two points of the curve (RFC 8032, 5.1.4)."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * D * one[3] * other[3] % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def negative(point: Point) -> Point:
    """Minus the point."""
    x, y, z, t = point
    return (-x % P, y, z, -t % P)


@lru_cache(maxsize=4096)  # most awkward signatures share a scalar and a point with others
def multiply(scalar: int, point: Point) -> Point:
    """scalar * point, for a scalar of any size that is not negative."""
    total = NEUTRAL
    for bit in bin(scalar)[2:]:
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def affine(point: Point) -> tuple[int, int]:
    """x and y, below the field prime."""
    inverse = pow(point[2], -1, P)
    return point[0] * inverse % P, point[1] * inverse % P


def encode(point: Point) -> bytes:
    """The one canonical encoding."""
    x, y = affine(point)
    return encoded(y, x & 1)


def encoded(y: int, sign: int) -> bytes:
    """y below 2**255 and the sign bit as 32 bytes, whether that is canonical, a point, or not."""
    return (y | sign << 255).to_bytes(32, "little")


def decode(encoding: bytes) -> Point | None:
    """The point, also of an encoding that is not canonical; None when the curve has none."""
    bits = int.from_bytes(encoding, "little")
    y = (bits & Y_MASK) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
        if x * x % P != square:
            return None
    if x & 1 != bits >> 255:
        x = -x % P
    return (x, y, 1, x * y % P)


def encodings(point: Point) -> list[bytes]:
    """Every encoding that `decode` takes for the point; the canonical one is first."""
    x, y = affine(point)
    signs = (0, 1) if x == 0 else (x & 1,)
    heights = [height for height in (y, y + P) if height <= Y_MASK]
    return [encoded(height, sign) for height in heights for sign in signs]


def is_neutral(point: Point) -> bool:
    """Whether it is the neutral point."""
    return point[0] == 0 and point[1] == point[2]


def challenge(encoded_r: bytes, public: bytes, message: bytes) -> int:
    """h of RFC 8032, 5.1.7, before it is reduced."""
    return int.from_bytes(hashlib.sha512(encoded_r + public + message).digest(), "little")


def _torsion() -> list[Point]:
    """The eight points whose order divides 8: the index times one of order 8."""
    y = 2
    while True:
        point = decode(encoded(y, 0))
        if point is not None:
            generator = multiply(L, point)
            if not is_neutral(multiply(4, generator)):
                return [multiply(index, generator) for index in range(8)]
        y += 1


def _base() -> Point:
    point = decode(encoded(4 * pow(5, -1, P) % P, 0))
    assert point is not None
    return point


BASE = _base()
TORSION = _torsion()
SMALL_ORDER_ENCODINGS = [encoding for point in TORSION for encoding in encodings(point)]

"""A verifier that can be told to be lax, to show that the corpus notices each kind of laxity."""

from dataclasses import dataclass

from . import curve
from .curve import SMALL_ORDER_ENCODINGS, L


@dataclass(frozen=True)
class Finding:
    """All that there is to know about one signature."""

    s_is_below_l: bool
    a_is_canonical: bool
    r_is_canonical: bool
    a_is_small: bool
    r_is_small: bool
    equation: bool
    equation_with_cofactor: bool
    equation_with_unreduced_challenge: bool
    equation_with_canonical_hash: bool

    def strictly(self) -> bool:
        """The protocol's verdict."""
        return self.equation and self.refused_for() == set()

    def refused_for(self) -> set[str]:
        """Which rules forbid it, apart from the equation."""
        rules = {
            "S": not self.s_is_below_l,
            "A is not canonical": not self.a_is_canonical,
            "R is not canonical": not self.r_is_canonical,
            "A is small": self.a_is_small,
            "R is small": self.r_is_small,
        }
        return {rule for rule, broken in rules.items() if broken}


NOTHING = Finding(False, False, False, False, False, False, False, False, False)

# Ways to be lax: the rules left out, and the equation that is used.
LAX = {
    "any S": ({"S"}, "equation"),
    "A of small order": ({"A is small"}, "equation"),
    "R of small order": ({"R is small"}, "equation"),
    "A and R of small order": ({"A is small", "R is small"}, "equation"),
    "A not canonical": ({"A is not canonical", "A is small"}, "equation"),
    "R not canonical": ({"R is not canonical", "R is small"}, "equation"),
    "A hashed canonically": ({"A is not canonical", "A is small"}, "equation_with_canonical_hash"),
    "R hashed canonically": ({"R is not canonical", "R is small"}, "equation_with_canonical_hash"),
    "times the cofactor": (set(), "equation_with_cofactor"),
    "challenge not reduced": (set(), "equation_with_unreduced_challenge"),
}


def accepts(finding: Finding, laxity: str) -> bool:
    """Whether the lax verifier takes it: an instance of its own laxity, beyond a lesser one."""
    left_out, equation = LAX[laxity]
    return bool(getattr(finding, equation)) and finding.refused_for() == left_out


def examine(public: bytes, message: bytes, signature: bytes) -> Finding:
    """Work out everything; NOTHING when A or R is not on the curve."""
    encoded_r, s = signature[:32], int.from_bytes(signature[32:], "little")
    a, r = curve.decode(public), curve.decode(encoded_r)
    if a is None or r is None:
        return NOTHING
    challenge = curve.challenge(encoded_r, public, message)
    canonical = curve.challenge(curve.encode(r), curve.encode(a), message)
    # S * B - R - h * A, which has to be neutral.
    left = curve.add(curve.multiply(s, curve.BASE), curve.negative(r))

    def rest(scalar: int) -> curve.Point:
        return curve.add(left, curve.negative(curve.multiply(scalar, a)))

    exact = rest(challenge % L)
    hashed_alike = canonical == challenge
    # h less (h mod L) is a multiple of L: only the small-order part of A matters.
    unreduced = curve.add(exact, curve.multiply((challenge % L - challenge) % (8 * L), a))
    return Finding(
        s_is_below_l=s < L,
        a_is_canonical=is_canonical(public),
        r_is_canonical=is_canonical(encoded_r),
        a_is_small=public in SMALL_ORDER_ENCODINGS,
        r_is_small=encoded_r in SMALL_ORDER_ENCODINGS,
        equation=curve.is_neutral(exact),
        equation_with_cofactor=curve.is_neutral(curve.multiply(8, exact)),
        equation_with_unreduced_challenge=curve.is_neutral(unreduced),
        equation_with_canonical_hash=curve.is_neutral(
            exact if hashed_alike else rest(canonical % L)
        ),
    )


def is_canonical(encoding: bytes) -> bool:
    """Whether y is below the field prime, and the sign one that x can have."""
    point = curve.decode(encoding)
    return point is not None and curve.encode(point) == encoding

"""The big-integer engine of `ed25519`: Ed25519 (RFC 8032, pure) in plain Python.

The functions take what the facade has checked: a seed, a public key and a signature are `bytes` of
the right length, `strict.acceptable`, and `pieces` can be iterated any number of times.

Not protected: it is not constant time. The order of point operations does not depend on the private
key, but big-integer arithmetic takes longer for longer or negative numbers, inversion takes as many
steps as its number needs, and table entries are read at secret positions, so who can time signing
finely or watch memory may learn the key. Nothing is wiped from memory: the expanded key of the last
seed stays until `forget`, and intermediate values until the heap reuses them. There is no
protection against induced faults beyond the check that a message reads the same twice.
"""

from hashlib import sha256

from .bigint_curve import (
    BASE_X,
    BASE_Y,
    Comb,
    add,
    decode_negated,
    encode,
    entry_of,
    sum_of_multiples,
)
from .sha512 import sha512
from .strict import GROUP_ORDER, piece_octets

NAME = "bigint"
TABLE_BYTES = 0

_expanded = None

# Made at import, while the heap is in one piece: 6 KB for the base point, 3 KB for the key that
# was used last.
_comb_of_base = Comb(6, 22)
_base_is_made = False
_key_comb = Comb(5, 26)
_key = None  # (public key, entry of minus its point), which _key_comb is for


class Prepared:
    """What `prepare` gives: this engine has no tables that are kept, so there is nothing to do."""

    table = b""

    def __init__(self, public):
        self.public = public

    def step(self):
        """Do one more piece of work; True when all is done."""
        return True

    def is_valid(self):
        """Whether the table fits the key."""
        return True

    def verify(self, pieces, signature):
        """As `verify` for the key."""
        return verify(self.public, pieces, signature)


def public_key(seed):
    """The 32-byte public key of a seed."""
    return _expand(seed)[3]


def sign(seed, pieces):
    """The 64-byte signature, by the key of `seed`, over the concatenation of `pieces`.

    `pieces` is read twice and never joined. Raises ValueError if it did not read the same both
    times, or for a piece that is not bytes, bytearray or memoryview.
    """
    _, scalar, prefix, public = _expand(seed)
    nonce_hash, nonce_check = sha512(prefix), sha256()
    _feed(pieces, nonce_hash, nonce_check)
    nonce = _scalar(nonce_hash)
    encoded_r = encode(_base_multiple(nonce))
    challenge_hash, challenge_check = sha512(encoded_r + public), sha256()
    _feed(pieces, challenge_hash, challenge_check)
    if nonce_check.digest() != challenge_check.digest():
        raise ValueError("pieces were not the same when read again")
    s = (nonce + _scalar(challenge_hash) * scalar) % GROUP_ORDER
    return encoded_r + s.to_bytes(32, "little")


def verify(public, pieces, signature):
    """Whether `signature` by `public` covers the concatenation of `pieces`.

    The first time with a public key takes three times as long: the table of the key used last is
    kept. Raises ValueError for a piece that is not bytes, bytearray or memoryview.
    """
    negated = _negated_key(public)
    if negated is None:
        return False
    encoded_r = signature[:32]
    challenge_hash = sha512(encoded_r + public)
    for piece in pieces:
        challenge_hash.update(piece_octets(piece))
    challenge = _scalar(challenge_hash)
    s = int.from_bytes(signature[32:], "little")
    # L more is a multiple of the base point's order, but not of a point's of mixed order.
    base = _base_comb()
    base_rows = base.rows(s if s & 1 else s + GROUP_ORDER)
    point = sum_of_multiples([(base, base_rows), (_key_comb, _key_comb.rows(challenge | 1))])
    if not challenge & 1:
        point = add(point, negated, True)
    return encode(point) == encoded_r


def prepare(public, table=None, whole=False):
    """A `Prepared` for a public key."""
    return Prepared(public)


def forget():
    """Drop the expanded private key that is kept from the last seed used (for a wipe)."""
    global _expanded  # noqa: PLW0603
    _expanded = None


def _expand(seed):
    """(seed, scalar, prefix, public key), kept for the last seed: a terminal has one key."""
    global _expanded  # noqa: PLW0603
    if _expanded is None or _expanded[0] != seed:
        digest = sha512(seed).digest()
        scalar = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
        _expanded = (seed, scalar, digest[32:], encode(_base_multiple(scalar)))
    return _expanded


def _feed(pieces, hash_a, hash_b):
    for piece in pieces:
        hash_a.update(piece_octets(piece))
        hash_b.update(piece)


def _scalar(running_hash):
    return int.from_bytes(running_hash.digest(), "little") % GROUP_ORDER


def _base_comb():
    global _base_is_made  # noqa: PLW0603
    if not _base_is_made:
        _comb_of_base.fill(BASE_X, BASE_Y)
        _base_is_made = True
    return _comb_of_base


def _negated_key(public):
    """The entry of minus the public key's point, with _key_comb filled; None if it has none."""
    global _key  # noqa: PLW0603
    if _key is None or _key[0] != public:
        point = decode_negated(public)
        if point is None:
            return None
        _key = None
        _key_comb.fill(*point)
        _key = (public, entry_of(*point))
    return _key[1]


def _base_multiple(scalar):
    """scalar * B, for a scalar below 2**255."""
    base = _base_comb()
    return sum_of_multiples([(base, base.rows(scalar if scalar & 1 else scalar + GROUP_ORDER))])

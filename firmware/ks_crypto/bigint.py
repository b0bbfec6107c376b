"""The big-integer engine of `ed25519`: Ed25519 (RFC 8032, pure) in plain Python.

The functions take what the facade has checked: a seed, a public key and a signature are `bytes` of
the right length, and `pieces` can be iterated any number of times.

Not protected: it is not constant time. The order of point operations does not
depend on the private key, but big-integer arithmetic takes longer for longer numbers and table
entries are read at secret positions, so who can time signing finely or watch memory may learn the
key. Nothing is wiped from memory: the expanded key of the last seed stays until `forget`, and
intermediate values until the heap reuses them. There is no protection against induced faults
beyond the check that a message reads the same twice.

Points are (x, y, z, t) in extended twisted Edwards coordinates, x*y = z*t (RFC 8032, 5.1.4). The
second summand of an addition is kept as (y + x, y - x, 2*z, 2*d*t).
"""

from array import array
from hashlib import sha256

from .sha512 import sha512
from .strict import FIELD_PRIME, GROUP_ORDER, acceptable, piece_octets

_P = FIELD_PRIME
_D = 0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3
_ROOT_OF_MINUS_ONE = 0x2B8324804FC1DF0B2B4D00993DFBD7A72F431806AD2FE478C4EE1B274A0EA0B0
_BASE_X = 0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A
_BASE_Y = 0x6666666666666666666666666666666666666666666666666666666666666658
_NEUTRAL = (0, 1, 1, 0)

# Comb over the base point: a scalar is _TEETH rows of _COLUMNS bits, and a column of bits names the
# sum of the 2**(row * _COLUMNS) * B concerned. The 3 KiB are taken at import, while the heap is in
# one piece, and filled at the first use.
_TEETH = 5
_COLUMNS = 51
_ENTRY_BYTES = 96

_comb = bytearray(_ENTRY_BYTES << _TEETH)
_comb_is_made = False
_expanded = None


class Prepared:
    """What `prepare` gives: nothing to do, this engine has no tables of public keys."""

    table = b""

    def step(self):
        """Do one bounded piece of work; True when all is done."""
        return True


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
    encoded_r = _encode(_base_multiple(nonce))
    challenge_hash, challenge_check = sha512(encoded_r + public), sha256()
    _feed(pieces, challenge_hash, challenge_check)
    if nonce_check.digest() != challenge_check.digest():
        raise ValueError("pieces were not the same when read again")
    s = (nonce + _scalar(challenge_hash) * scalar) % GROUP_ORDER
    return encoded_r + s.to_bytes(32, "little")


def verify(public, pieces, signature):
    """Whether `signature` by `public` covers the concatenation of `pieces`.

    Raises ValueError for a piece that is not bytes, bytearray or memoryview.
    """
    if not acceptable(public, signature):
        return False
    point = _decode_negated(public)
    if point is None:
        return False
    encoded_r = signature[:32]
    challenge_hash = sha512(encoded_r + public)
    for piece in pieces:
        challenge_hash.update(piece_octets(piece))
    s = int.from_bytes(signature[32:], "little")
    return _encode(_joint_multiple(s, _scalar(challenge_hash), point)) == encoded_r


def prepare(public):
    """A `Prepared` for a public key."""
    return Prepared()


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
        _expanded = (seed, scalar, digest[32:], _encode(_base_multiple(scalar)))
    return _expanded


def _feed(pieces, hash_a, hash_b):
    for piece in pieces:
        hash_a.update(piece_octets(piece))
        hash_b.update(piece)


def _scalar(running_hash):
    return int.from_bytes(running_hash.digest(), "little") % GROUP_ORDER


# The curve.


def _add(point, cached):
    """Complete for all points of the curve: add-2008-hwcd-3."""
    x, y, z, t = point
    y_plus_x, y_minus_x, twice_z, twice_dt = cached
    a = (y - x) * y_minus_x % _P
    b = (y + x) * y_plus_x % _P
    c = t * twice_dt % _P
    d = z * twice_z % _P
    e = b - a
    f = d - c
    g = d + c
    h = b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _double(point):
    """dbl-2008-hwcd; t of the argument is not used."""
    x, y, z, _ = point
    a = x * x % _P
    b = y * y % _P
    h = a + b
    e = h - (x + y) * (x + y) % _P
    g = a - b
    f = 2 * z * z % _P + g
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _cached(point):
    x, y, z, t = point
    return ((y + x) % _P, (y - x) % _P, 2 * z % _P, 2 * _D * t % _P)


def _encode(point):
    x, y, z, _ = point
    inverse = pow(z, _P - 2, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def _decode_negated(encoded):
    """Minus the point, or None when there is none with that y. RFC 8032, 5.1.3.

    Only for encodings that are `acceptable`: those with x = 0 never come here.
    """
    bits = int.from_bytes(encoded, "little")
    y = bits & (2**255 - 1)
    u = (y * y - 1) % _P
    v = (_D * y * y + 1) % _P
    v3 = v * v * v % _P
    x = u * v3 * pow(u * v3 * v3 * v % _P, (_P - 5) // 8, _P) % _P
    if v * x * x % _P != u:
        x = x * _ROOT_OF_MINUS_ONE % _P
        if v * x * x % _P != u:
            return None
    if x & 1 == bits >> 255:
        x = _P - x
    return (x, y, 1, x * y % _P)


# Multiples.


def _base_multiple(scalar):
    """scalar * B, for a scalar below 2**255: one doubling and one addition for every column."""
    comb = _base_comb()
    bits = scalar.to_bytes(32, "little")
    point = _NEUTRAL
    for column in range(_COLUMNS - 1, -1, -1):
        point = _add(_double(point), _column_entry(comb, bits, column))
    return point


def _joint_multiple(base_scalar, scalar, point):
    """base_scalar * B + scalar * point in one run of doublings (Straus); scalars below 2**253."""
    comb = _base_comb()
    bits = base_scalar.to_bytes(32, "little")
    digits = _signed_digits(scalar)
    twice = _cached(_double(point))
    odd_multiples = [point]
    for _ in range(3):
        odd_multiples.append(_add(odd_multiples[-1], twice))
    odd_multiples = [_cached(multiple) for multiple in odd_multiples]
    total = _NEUTRAL
    for position in range(len(digits) - 1, -1, -1):
        total = _double(total)
        digit = digits[position]
        if digit > 0:
            total = _add(total, odd_multiples[digit >> 1])
        elif digit < 0:
            y_plus_x, y_minus_x, twice_z, twice_dt = odd_multiples[-digit >> 1]
            total = _add(total, (y_minus_x, y_plus_x, twice_z, -twice_dt))
        if position < _COLUMNS:
            total = _add(total, _column_entry(comb, bits, position))
    return total


def _signed_digits(scalar):
    """Width-4 non-adjacent form, least significant first: digits are 0 or odd, -7 to 7."""
    digits = array("b", bytes(254))
    position = 0
    while scalar:
        if scalar & 1:
            digit = scalar & 15
            if digit > 8:
                digit -= 16
            digits[position] = digit
            scalar -= digit
        scalar >>= 1
        position += 1
    return digits


def _column_entry(comb, bits, column):
    index = 0
    for row in range(_TEETH):
        bit = row * _COLUMNS + column
        index |= (bits[bit >> 3] >> (bit & 7) & 1) << row
    return _load_entry(comb, index)


def _load_entry(comb, index):
    entry = comb[index * _ENTRY_BYTES : (index + 1) * _ENTRY_BYTES]
    return (
        int.from_bytes(entry[:32], "little"),
        int.from_bytes(entry[32:64], "little"),
        2,
        int.from_bytes(entry[64:], "little"),
    )


def _base_comb():
    global _comb_is_made  # noqa: PLW0603
    if not _comb_is_made:
        _make_comb(_comb)
        _comb_is_made = True
    return _comb


def _make_comb(comb):
    """Fill the comb row by row: the sums with a new tooth are that tooth plus each earlier sum."""
    _store_entries(comb, 0, [_NEUTRAL])
    tooth = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)
    for row in range(_TEETH):
        if row:
            for _ in range(_COLUMNS):
                tooth = _double(tooth)
        count = 1 << row
        sums = [_add(tooth, _load_entry(comb, index)) for index in range(count)]
        _store_entries(comb, count, sums)


def _store_entries(comb, first, points):
    """Write points as y + x, y - x, 2*d*x*y for z = 1, with one inversion for all of them."""
    products = [1]
    for point in points:
        products.append(products[-1] * point[2] % _P)
    inverse = pow(products.pop(), _P - 2, _P)
    for index in range(len(points) - 1, -1, -1):
        x, y, z, _ = points[index]
        inverse_z = inverse * products[index] % _P
        inverse = inverse * z % _P
        x = x * inverse_z % _P
        y = y * inverse_z % _P
        position = (first + index) * _ENTRY_BYTES
        for number in ((y + x) % _P, (y - x) % _P, 2 * _D * x * y % _P):
            comb[position : position + 32] = number.to_bytes(32, "little")
            position += 32

"""The big-integer engine of `ed25519`: Ed25519 (RFC 8032, pure) in plain Python.

The functions take what the facade has checked: a seed, a public key and a signature are `bytes` of
the right length, `strict.acceptable`, and `pieces` can be iterated any number of times.

Not protected: it is not constant time. The order of point operations does not
depend on the private key, but big-integer arithmetic takes longer for longer numbers and table
entries are read at secret positions, so who can time signing finely or watch memory may learn the
key. Nothing is wiped from memory: the expanded key of the last seed stays until `forget`, and
intermediate values until the heap reuses them. There is no protection against induced faults
beyond the check that a message reads the same twice.

A field element is any integer of the right residue: products are folded, (v mod 2**255) +
19 * (v // 2**255), and not divided. One fold takes a product of 255 + m and 255 + n bits to
255 + max(m + n, 0) + 5 bits, so these excess bits pile up from operation to operation until one
more fold of the factors takes them off; how many each function takes and gives is said there.

Points are (x, y, z, e, h) with e * h = t of the extended twisted Edwards coordinates (x, y, z, t),
x*y = z*t (RFC 8032, 5.1.4): few operations need t. Table entries are ((y + x) / 2, (y - x) / 2,
d*x*y) of points with z = 1.
"""

from array import array
from hashlib import sha256

from .sha512 import sha512
from .strict import FIELD_PRIME, GROUP_ORDER, piece_octets

NAME = "bigint"
TABLE_BYTES = 0

_P = FIELD_PRIME
_MASK = 2**255 - 1
_D = 0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3
_ROOT_OF_MINUS_ONE = 0x2B8324804FC1DF0B2B4D00993DFBD7A72F431806AD2FE478C4EE1B274A0EA0B0
_BASE_X = 0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A
_BASE_Y = 0x6666666666666666666666666666666666666666666666666666666666666658
_HALF = (_P + 1) // 2
_NEUTRAL = (0, 1, 1, 0, 1)

# Signed comb. An odd scalar is a sum of +-2**i, its signs are _TEETH rows of _PARTS times _COLUMNS,
# and each column of each part names a sum of the +-2**(row * _PARTS * _COLUMNS) * point. A table
# has one half of these sums for each part, those that add the last row; the others are their
# negatives. The tables are taken at import, while the heap is in one piece.
_TEETH = 5
_PARTS = 2
_COLUMNS = 26
_ROW_BITS = _PARTS * _COLUMNS
_ROW_MASK = 2**_ROW_BITS - 1
_ALL_SIGNS = 2 ** (_TEETH * _ROW_BITS) - 1
_SUMS = 1 << (_TEETH - 1)
_NUMBER_BYTES = 32
_ENTRY_BYTES = 3 * _NUMBER_BYTES

_base_table = bytearray(_PARTS * _SUMS * _ENTRY_BYTES)
_base_is_made = False
_key_table = bytearray(_PARTS * _SUMS * _ENTRY_BYTES)
_key = None  # (public key, entry of minus its point), which _key_table is for
_expanded = None


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
    encoded_r = _encode(_base_multiple(nonce))
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
    terms = [(_base(), _rows(s if s & 1 else s + GROUP_ORDER)), (_key_table, _rows(challenge | 1))]
    point = _sum_of_multiples(terms)
    if not challenge & 1:
        half_sum, half_difference, dxy = negated
        point = _add(point, half_difference, half_sum, -dxy)
    return _encode(point) == encoded_r


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
        _expanded = (seed, scalar, digest[32:], _encode(_base_multiple(scalar)))
    return _expanded


def _feed(pieces, hash_a, hash_b):
    for piece in pieces:
        hash_a.update(piece_octets(piece))
        hash_b.update(piece)


def _scalar(running_hash):
    return int.from_bytes(running_hash.digest(), "little") % GROUP_ORDER


# The field.


def _fold(value):
    return (value & _MASK) + 19 * (value >> 255)


def _inverse(value):
    """1 / value modulo p by Euclid's algorithm, as Lehmer has it.

    Steps are made with the upper 28 bits of both numbers, while 14 bits are left of these, and
    done to the numbers all at once. A quotient that comes out wrong does no harm: each step keeps
    the greatest common divisor.
    """
    a, b = _P, value % _P
    of_a, of_b = 0, 1  # a = of_a * value and b = of_b * value, modulo p
    heads = array("i", (0, 0))  # makes small integers of big ones
    shift = 227
    while b > 1:
        heads[0] = a >> shift
        heads[1] = b >> shift
        head_a, head_b = heads
        least = 1 << 14 if shift else 2
        a_of_a, a_of_b, b_of_a, b_of_b = 1, 0, 0, 1
        while head_b >= least:
            quotient = head_a // head_b
            head_a, head_b = head_b, head_a - quotient * head_b
            a_of_a, b_of_a = b_of_a, a_of_a - quotient * b_of_a
            a_of_b, b_of_b = b_of_b, a_of_b - quotient * b_of_b
        if b_of_a:
            a, b = a_of_a * a + a_of_b * b, b_of_a * a + b_of_b * b
            of_a, of_b = a_of_a * of_a + a_of_b * of_b, b_of_a * of_a + b_of_b * of_b
            if a < 0:
                a, of_a = -a, -of_a
            if b < 0:
                b, of_b = -b, -of_b
            while head_a < 1 << 23 and shift > 0:
                head_a <<= 4
                shift -= 4
        else:
            quotient = a // b
            a, b = b, a - quotient * b
            of_a, of_b = of_b, of_a - quotient * of_b
            shift -= 14
        shift = max(shift, 0)
    return of_b if b else of_a


def _squared(value, times):
    """value ** 2 ** times modulo p: takes and gives at most 5 excess bits."""
    mask = _MASK
    while times:
        times -= 1
        value *= value
        value = (value & mask) + 19 * (value >> 255)
        value = (value & mask) + 19 * (value >> 255)
    return value


def _root_power(value):
    """value ** ((p - 5) / 8) modulo p, that is 2**252 - 3: see RFC 8032, 5.1.3."""
    power, ones = value, 1  # power is value ** (2**ones - 1)
    for one_more in (1, 1, 1, 1, 0, 1, 0):
        power = _fold(_fold(_squared(power, ones) * power))
        ones *= 2
        if one_more:
            power = _fold(_fold(_squared(power, 1) * value))
            ones += 1
    return _squared(power, 2) * value % _P


# The curve.


def _clean(point):
    """The same point without excess bits, for at most 250 of them."""
    mask = _MASK
    return [(value & mask) + 19 * (value >> 255) for value in point]


def _double(point):
    """dbl-2008-hwcd. Takes at most 120 excess bits and gives 18; e and h have 8."""
    x, y, z, _, _ = point
    mask = _MASK
    x = (x & mask) + 19 * (x >> 255)
    y = (y & mask) + 19 * (y >> 255)
    z = (z & mask) + 19 * (z >> 255)
    a = x * x
    a = (a & mask) + 19 * (a >> 255)
    b = y * y
    b = (b & mask) + 19 * (b >> 255)
    c = (z + z) * z
    c = (c & mask) + 19 * (c >> 255)
    e = (x + x) * y
    e = (e & mask) + 19 * (e >> 255)
    g = b - a
    h = a + b
    f = c - g
    x = e * f
    y = g * h
    z = f * g
    return (
        (x & mask) + 19 * (x >> 255),
        (y & mask) + 19 * (y >> 255),
        (z & mask) + 19 * (z >> 255),
        e,
        h,
    )


def _add(point, half_sum, half_difference, dxy):
    """The point plus a table entry; a quarter of madd-2008-hwcd-3, so complete.

    Gives 2 * n + 17 excess bits if it takes n; e and h have n + 7.
    """
    x, y, z, e, h = point
    mask = _MASK
    a = (y - x) * half_difference
    a = (a & mask) + 19 * (a >> 255)
    b = (y + x) * half_sum
    b = (b & mask) + 19 * (b >> 255)
    c = e * h
    c = ((c & mask) + 19 * (c >> 255)) * dxy
    c = (c & mask) + 19 * (c >> 255)
    e = b - a
    f = z - c
    g = z + c
    h = b + a
    x = e * f
    y = g * h
    z = f * g
    return (
        (x & mask) + 19 * (x >> 255),
        (y & mask) + 19 * (y >> 255),
        (z & mask) + 19 * (z >> 255),
        e,
        h,
    )


def _encode(point):
    x, y, z, _, _ = point
    inverse = _inverse(z)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def _decode_negated(encoded):
    """x and y of minus the point, or None when there is none with that y. RFC 8032, 5.1.3.

    Only for encodings that are `acceptable`: those with x = 0 never come here.
    """
    bits = int.from_bytes(encoded, "little")
    y = bits & _MASK
    u = (y * y - 1) % _P
    v = (_D * y * y + 1) % _P
    v3 = v * v * v % _P
    x = u * v3 * _root_power(u * v3 * v3 * v % _P) % _P
    if v * x * x % _P != u:
        x = x * _ROOT_OF_MINUS_ONE % _P
        if v * x * x % _P != u:
            return None
    if x & 1 == bits >> 255:
        x = _P - x
    return x, y


# Multiples.


def _base_multiple(scalar):
    """scalar * B, for a scalar below 2**255."""
    return _sum_of_multiples([(_base(), _rows(scalar if scalar & 1 else scalar + GROUP_ORDER))])


def _rows(scalar):
    """The signs of an odd scalar below 2**256, last row first: a bit is 1 for +, 0 for -."""
    signs = (scalar + _ALL_SIGNS) >> 1
    return [
        (signs >> row * _ROW_BITS & _ROW_MASK).to_bytes(_ROW_BITS // 8 + 1, "little")
        for row in range(_TEETH - 1, -1, -1)
    ]


def _sum_of_multiples(terms):
    """The sum of the multiples that (table, rows of the scalar) stand for."""
    number = int.from_bytes
    point = _NEUTRAL
    for column in range(_COLUMNS - 1, -1, -1):
        point = _double(point)
        for table, rows in terms:
            if rows is not terms[0][1]:
                point = _clean(point)
            for position in range(column, _ROW_BITS, _COLUMNS):
                byte = position >> 3
                bit = position & 7
                index = 0
                for row in rows:
                    index = index << 1 | row[byte] >> bit & 1
                sign = index >= _SUMS
                index = index - _SUMS if sign else _SUMS - 1 - index
                if position >= _COLUMNS:
                    index += _SUMS
                index *= _ENTRY_BYTES
                half_sum = number(table[index : index + 32], "little")
                half_difference = number(table[index + 32 : index + 64], "little")
                dxy = number(table[index + 64 : index + 96], "little")
                if sign:
                    point = _add(point, half_sum, half_difference, dxy)
                else:
                    point = _add(point, half_difference, half_sum, -dxy)
    return point


# Tables.


def _base():
    global _base_is_made  # noqa: PLW0603
    if not _base_is_made:
        _fill(_base_table, _BASE_X, _BASE_Y)
        _base_is_made = True
    return _base_table


def _negated_key(public):
    """The entry of minus the public key's point, with _key_table filled; None if it has none."""
    global _key  # noqa: PLW0603
    if _key is None or _key[0] != public:
        point = _decode_negated(public)
        if point is None:
            return None
        _key = None
        _fill(_key_table, *point)
        _key = (public, _entry(*point))
    return _key[1]


def _entry(x, y):
    return (y + x) * _HALF % _P, (y - x) * _HALF % _P, _D * x * y % _P


def _fill(table, x, y):
    """Fill a comb's table for the point (x, y), one sum after the other to spare the heap."""
    tooth = (x, y, 1, x, y)
    teeth = _TEETH * _PARTS
    for index in range(teeth):
        if index:
            for _ in range(_COLUMNS):
                tooth = _double(tooth)
        _store(table, index, tooth[:3])
    _normalise(table, 0, teeth)
    teeth = [_load(table, index) for index in range(teeth)]
    for part in range(_PARTS):
        own = teeth[part::_PARTS]
        index = first = part * _SUMS
        for point in _sums(_add(_NEUTRAL, *own.pop()), own):
            _store(table, index, point[:3])
            index += 1
        _normalise(table, first, _SUMS)


def _sums(point, entries):
    """The point plus or minus each of the entries, those with minus the last one first."""
    if not entries:
        yield point
        return
    half_sum, half_difference, dxy = entries[-1]
    point = _clean(point)
    yield from _sums(_add(point, half_difference, half_sum, -dxy), entries[:-1])
    yield from _sums(_add(point, half_sum, half_difference, dxy), entries[:-1])


def _normalise(table, first, count):
    """Turn `count` stored x, y, z into entries, with one inversion for all."""
    products = [1]
    for index in range(first, first + count):
        products.append(products[-1] * _load(table, index)[2] % _P)
    inverse = _inverse(products.pop())
    for index in range(first + count - 1, first - 1, -1):
        x, y, z = _load(table, index)
        inverse_z = inverse * products.pop() % _P
        inverse = inverse * z % _P
        _store(table, index, _entry(x * inverse_z % _P, y * inverse_z % _P))


def _store(table, index, numbers):
    position = index * _ENTRY_BYTES
    for number in numbers:
        table[position : position + 32] = (number % _P).to_bytes(32, "little")
        position += 32


def _load(table, index):
    position = index * _ENTRY_BYTES
    return [
        int.from_bytes(table[start : start + 32], "little")
        for start in range(position, position + _ENTRY_BYTES, 32)
    ]

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

_NUMBER_BYTES = 32
_ENTRY_BYTES = 3 * _NUMBER_BYTES

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
    base = _base_comb()
    base_rows = base.rows(s if s & 1 else s + GROUP_ORDER)
    point = _sum_of_multiples([(base, base_rows), (_key_comb, _key_comb.rows(challenge | 1))])
    if not challenge & 1:
        point = _add(point, negated, True)
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


def _add(point, entry, minus):
    """The point plus or minus an entry; a quarter of madd-2008-hwcd-3, so complete.

    Gives 2 * n + 17 excess bits if it takes n; e and h have n + 7.
    """
    x, y, z, e, h = point
    half_sum, half_difference, dxy = entry
    if minus:
        half_sum, half_difference = half_difference, half_sum
    mask = _MASK
    a = (y - x) * half_difference
    a = (a & mask) + 19 * (a >> 255)
    b = (y + x) * half_sum
    b = (b & mask) + 19 * (b >> 255)
    c = e * h
    c = ((c & mask) + 19 * (c >> 255)) * dxy
    c = (c & mask) + 19 * (c >> 255)
    if minus:
        f = z + c
        g = z - c
    else:
        f = z - c
        g = z + c
    e = b - a
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
    base = _base_comb()
    return _sum_of_multiples([(base, base.rows(scalar if scalar & 1 else scalar + GROUP_ORDER))])


def _sum_of_multiples(terms):
    """The sum of the multiples that pairs of a comb and the rows of a scalar stand for."""
    point = _NEUTRAL
    for column in range(max([comb.columns for comb, _ in terms]) - 1, -1, -1):
        point = _double(point)
        for comb, rows in terms:
            if column < comb.columns:
                if rows is not terms[0][1]:
                    point = _clean(point)
                point = comb.add_column(point, rows, column)
    return point


class _Comb:
    """A signed comb for multiples of one point.

    An odd scalar is a sum of +-2**i. Its signs are rows, one for each tooth, of two halves of some
    columns, and each column of each half names a sum of +-2**(length of a row * tooth) * point.
    The table has half of these sums for each half of the columns, those that add the last tooth;
    the others are their negatives.
    """

    def __init__(self, teeth, columns):
        """Takes the memory of the table; `fill` makes it one."""
        self.columns = columns
        self._row_bits = 2 * columns
        self._row_mask = 2**self._row_bits - 1
        self._all_signs = 2 ** (teeth * self._row_bits) - 1
        self._teeth = teeth
        self._sums = 1 << (teeth - 1)
        self._table = memoryview(bytearray(2 * self._sums * _ENTRY_BYTES))

    def rows(self, scalar):
        """The signs of an odd scalar below 2**256, last row first: a bit is 1 for +, 0 for -."""
        signs = (scalar + self._all_signs) >> 1
        return [
            (signs >> row * self._row_bits & self._row_mask).to_bytes(8, "little")
            for row in range(self._teeth - 1, -1, -1)
        ]

    def add_column(self, point, rows, column):
        """The point plus what a column of both halves names. Takes 18 excess bits, gives 120."""
        sums = self._sums
        table = self._table
        number = int.from_bytes
        first = 0
        for position in (column, column + self.columns):
            byte = position >> 3
            bit = position & 7
            index = 0
            for row in rows:
                index = index << 1 | row[byte] >> bit & 1
            minus = index < sums
            start = (first + (sums - 1 - index if minus else index - sums)) * _ENTRY_BYTES
            half_sum = number(table[start : start + 32], "little")
            half_difference = number(table[start + 32 : start + 64], "little")
            dxy = number(table[start + 64 : start + 96], "little")
            point = _add(point, (half_sum, half_difference, dxy), minus)
            first = sums
        return point

    def fill(self, x, y):
        """Make the table of the point (x, y), one sum after the other to spare the heap."""
        tooth = (x, y, 1, x, y)
        teeth = 2 * self._teeth
        for index in range(teeth):
            if index:
                for _ in range(self.columns):
                    tooth = _double(tooth)
            self._store(index, tooth[:3])
        self._normalise(0, teeth)
        teeth = [self._load(index) for index in range(teeth)]
        for half in range(2):
            own = teeth[half::2]
            index = first = half * self._sums
            for point in _sums(_add(_NEUTRAL, own.pop(), False), own):
                self._store(index, point[:3])
                index += 1
            self._normalise(first, self._sums)

    def _normalise(self, first, count):
        """Turn `count` stored x, y, z into entries, with one inversion for all."""
        products = [1]
        for index in range(first, first + count):
            products.append(products[-1] * self._load(index)[2] % _P)
        inverse = _inverse(products.pop())
        for index in range(first + count - 1, first - 1, -1):
            x, y, z = self._load(index)
            inverse_z = inverse * products.pop() % _P
            inverse = inverse * z % _P
            self._store(index, _entry(x * inverse_z % _P, y * inverse_z % _P))

    def _store(self, index, numbers):
        position = index * _ENTRY_BYTES
        for number in numbers:
            self._table[position : position + 32] = (number % _P).to_bytes(32, "little")
            position += 32

    def _load(self, index):
        start = index * _ENTRY_BYTES
        return [
            int.from_bytes(self._table[position : position + 32], "little")
            for position in (start, start + 32, start + 64)
        ]


def _sums(point, entries):
    """The point plus or minus each of the entries, those with minus the last one first."""
    if not entries:
        yield point
        return
    point = _clean(point)
    yield from _sums(_add(point, entries[-1], True), entries[:-1])
    yield from _sums(_add(point, entries[-1], False), entries[:-1])


def _entry(x, y):
    return (y + x) * _HALF % _P, (y - x) * _HALF % _P, _D * x * y % _P


# Made at import, while the heap is in one piece: 6 KB for the base point, 3 KB for the key that
# was used last.
_comb_of_base = _Comb(6, 22)
_base_is_made = False
_key_comb = _Comb(5, 26)
_key = None  # (public key, entry of minus its point), which _key_comb is for


def _base_comb():
    global _base_is_made  # noqa: PLW0603
    if not _base_is_made:
        _comb_of_base.fill(_BASE_X, _BASE_Y)
        _base_is_made = True
    return _comb_of_base


def _negated_key(public):
    """The entry of minus the public key's point, with _key_comb filled; None if it has none."""
    global _key  # noqa: PLW0603
    if _key is None or _key[0] != public:
        point = _decode_negated(public)
        if point is None:
            return None
        _key = None
        _key_comb.fill(*point)
        _key = (public, _entry(*point))
    return _key[1]

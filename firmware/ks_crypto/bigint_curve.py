"""The arithmetic of the engine `bigint`: the field, the curve, multiples by combs.

A field element is any integer of the right residue: products are folded, (v mod 2**255) +
19 * (v // 2**255), and not divided. One fold takes a product of 255 + m and 255 + n bits to
255 + max(m + n, 0) + 5 bits, so these excess bits pile up from operation to operation until one
more fold of the factors takes them off; how many each function takes and gives is said there.

Points are (x, y, z, e, h) with e * h = t of the extended twisted Edwards coordinates (x, y, z, t),
x*y = z*t (RFC 8032, 5.1.4): few operations need t. Table entries are ((y + x) / 2, (y - x) / 2,
d*x*y) of points with z = 1.
"""

from array import array

from .strict import FIELD_PRIME

_P = FIELD_PRIME
_MASK = 2**255 - 1
_D = 0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3
_ROOT_OF_MINUS_ONE = 0x2B8324804FC1DF0B2B4D00993DFBD7A72F431806AD2FE478C4EE1B274A0EA0B0
BASE_X = 0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A
BASE_Y = 0x6666666666666666666666666666666666666666666666666666666666666658
_HALF = (_P + 1) // 2
_NEUTRAL = (0, 1, 1, 0, 1)
_ENTRY_BYTES = 96


# The field.


def fold(value):
    """The same residue with 250 excess bits less, if it had as many; see above."""
    return (value & _MASK) + 19 * (value >> 255)


def inverse_of(value):
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


def root_power(value):
    """value ** ((p - 5) / 8) modulo p, that is 2**252 - 3: see RFC 8032, 5.1.3."""
    power, ones = value, 1  # power is value ** (2**ones - 1)
    for one_more in (1, 1, 1, 1, 0, 1, 0):
        power = fold(fold(_squared(power, ones) * power))
        ones *= 2
        if one_more:
            power = fold(fold(_squared(power, 1) * value))
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


def add(point, entry, minus):
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


def encode(point):
    """The 32 bytes of a point: RFC 8032, 5.1.2."""
    x, y, z, _, _ = point
    inverse = inverse_of(z)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def decode_negated(encoded):
    """x and y of minus the point, or None when there is none with that y. RFC 8032, 5.1.3.

    Only for encodings that are `acceptable`: those with x = 0 never come here.
    """
    bits = int.from_bytes(encoded, "little")
    y = bits & _MASK
    u = (y * y - 1) % _P
    v = (_D * y * y + 1) % _P
    v3 = v * v * v % _P
    x = u * v3 * root_power(u * v3 * v3 * v % _P) % _P
    if v * x * x % _P != u:
        x = x * _ROOT_OF_MINUS_ONE % _P
        if v * x * x % _P != u:
            return None
    if x & 1 == bits >> 255:
        x = _P - x
    return x, y


# Multiples.


def sum_of_multiples(terms):
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


class Comb:
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
            point = add(point, (half_sum, half_difference, dxy), minus)
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
            for point in _sums(add(_NEUTRAL, own.pop(), False), own):
                self._store(index, point[:3])
                index += 1
            self._normalise(first, self._sums)

    def _normalise(self, first, count):
        """Turn `count` stored x, y, z into entries, with one inversion for all."""
        products = [1]
        for index in range(first, first + count):
            products.append(products[-1] * self._load(index)[2] % _P)
        inverse = inverse_of(products.pop())
        for index in range(first + count - 1, first - 1, -1):
            x, y, z = self._load(index)
            inverse_z = inverse * products.pop() % _P
            inverse = inverse * z % _P
            self._store(index, entry_of(x * inverse_z % _P, y * inverse_z % _P))

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
    yield from _sums(add(point, entries[-1], True), entries[:-1])
    yield from _sums(add(point, entries[-1], False), entries[:-1])


def entry_of(x, y):
    """The table entry of the point (x, y)."""
    return (y + x) * _HALF % _P, (y - x) * _HALF % _P, _D * x * y % _P

"""The programs that `viper_field.run` interprets, written with names, as bytes.

A point is four elements X, Y, Z, T with X*Y = Z*T (RFC 8032, section 5.1.4); the running one is in
elements 0 to 3. A second summand comes from a table, as (y + x) / 2, (y - x) / 2, d*x*y of a point
with z = 1, or as Y + X, Y - X, 2*d*T, 2*Z: then everything is twice as much, which does not matter.
A table has 32 entries: the sums of six points with signs, of which the last is positive; digits
of a scalar name the entry and the sign of the sum (`viper_scalar.comb_digits`).
"""

from .field import COORDINATE_BYTES, OPERATIONS

X, Y, Z, T = 0, 1, 2, 3
TEMPORARY = 4  # elements 4 to 12; `invert` uses 4 to 11
OTHER = 13  # a second point: elements 13 to 16
TWICE_D, CONSTANT = 17, 18
ELEMENTS, ALL_ELEMENTS = 13, 40
TEETH = 20  # points that a table is built of, four elements each

AFFINE, PROJECTIVE = 3 * COORDINATE_BYTES, 4 * COORDINATE_BYTES
DIGITS = 48  # of a scalar: six bits each


class Program:
    """Operations in a row; each method appends one and returns the number that it has."""

    def __init__(self):
        self._bytes = bytearray()

    def __getattr__(self, operation):
        code = OPERATIONS[operation]

        def append(*operands):
            self._bytes += bytes((code, *operands, *(0,) * (3 - len(operands))))
            return self.here - 1

        return append

    @property
    def here(self):
        """The number of the operation that comes next."""
        return len(self._bytes) // 4

    def enter_at(self, entrance):
        """Set where the first operation, a `repeat` put there beforehand, jumps to."""
        self._bytes[1:4] = bytes((entrance, 255, 1))

    def ended(self):
        """The whole program as bytes."""
        self.end()
        return bytes(self._bytes)


def double(program, with_t):
    """Double the running point: dbl-2008-hwcd. T is not read, and written if asked for."""
    program.add_and_subtract(4, Y, X)
    program.multiply(6, X, X)
    program.multiply(7, Y, Y)
    program.multiply(8, Z, Z)
    program.multiply(4, 4, 4)
    program.add_and_subtract(9, 6, 7)  # H = A + B; G = A - B
    program.add_and_subtract(11, 9, 4)  # E = H - (X + Y)**2, in 12
    program.tighten(11, 10, 8)  # F = G + 2 * C
    _products(program, e=12, f=11, g=10, h=9, with_t=with_t)


def _products(program, e, f, g, h, with_t):
    program.multiply(X, e, f)
    program.multiply(Y, g, h)
    program.multiply(Z, f, g)
    if with_t:
        program.multiply(T, e, h)


def add_entry(program, table, second, form, with_t):
    """Add the entry of a table that the next digit names: add-2008-hwcd-3, complete."""
    program.select(table, second, form)
    program.add_and_subtract(4, Y, X)
    program.multiply_entry(6, 4, 0)
    program.multiply_entry(7, 5, 1)
    program.multiply_entry(8, T, 2)
    program.add_and_subtract(9, 6, 7)  # H = B + A; E = B - A
    if form == PROJECTIVE:
        program.multiply_entry(4, Z, 3)
        program.add_and_subtract_signed(11, 4, 8)  # G = D + C; F = D - C
    else:
        program.add_and_subtract_signed(11, Z, 8)
    _products(program, e=10, f=12, g=11, h=9, with_t=with_t)


def add_other(program):
    """Add the point in OTHER."""
    program.add_and_subtract(4, Y, X)
    program.add_and_subtract(6, OTHER + Y, OTHER + X)
    program.multiply(4, 4, 6)
    program.multiply(5, 5, 7)
    program.add_and_subtract(9, 4, 5)
    program.multiply(8, T, OTHER + T)
    program.multiply(8, 8, TWICE_D)
    program.multiply(4, Z, OTHER + Z)
    program.add_and_subtract(6, X, X)  # element 7 is zero
    program.tighten(4, 7, 4)
    program.add_and_subtract(11, 4, 8)
    _products(program, e=10, f=12, g=11, h=9, with_t=True)


def start(program):
    """The neutral point, with Y = Z = the number in `octets`; X and T are zero already."""
    program.unpack(4)
    program.tighten(Y, 4, X)
    program.tighten(Z, 4, X)


def comb(tables, joint):
    """The sum that the digits tell, from `tables` tables, and as many second ones if `joint`.

    Leaves Z, frozen, where `invert` wants it.
    """
    program = Program()
    program.repeat()
    again = program.here
    double(program, with_t=True)
    program.enter_at(program.here)
    sources = [(table, second) for second in range(1 + joint) for table in range(tables)]
    for table, second in sources:
        add_entry(program, table, second, AFFINE, with_t=(table, second) != sources[-1])
    program.repeat(again, DIGITS // tables, 0)
    program.freeze(TEMPORARY + 1, Z)
    return program.ended()


def neutral():
    """Only `start`."""
    program = Program()
    start(program)
    return program.ended()


def encode():
    """The running point's encoding, once `invert` has left 1 / Z in element 6."""
    program = Program()
    program.multiply(4, X, 6)
    program.multiply(5, Y, 6)
    program.freeze(4, 4)
    program.freeze(5, 5)
    program.pack(5, 4)
    return program.ended()


PROGRAMS = {
    "NEUTRAL": lambda tables: neutral(),
    "COMB": lambda tables: comb(tables, joint=False),
    "JOINT": lambda tables: comb(tables, joint=True),
    "ENCODE": lambda tables: encode(),
}

"""Programs as they are written, and the formulas on points that they consist of."""

from .layout import COORDINATE_BYTES, OPERATIONS

X, Y, Z, T = 0, 1, 2, 3
INVERSE = 6  # where `invert` leaves 1 / element 5; it uses elements 4 to 11
OTHER = 13  # a second point: elements 13 to 16
TWICE_D, HALF, ZERO = 17, 18, 19
SLOTS = 20  # seven points, four elements each, while a table is made
# What there is for a comb, for a point whose table is not known, and while a table is made.
COMB_ELEMENTS, POINT_ELEMENTS, TABLE_ELEMENTS = 13, 20, 48

AFFINE, PROJECTIVE = 3 * COORDINATE_BYTES, 4 * COORDINATE_BYTES
DIGITS = 48  # of a scalar in a comb: six bits each
WINDOW_DIGITS, WINDOW_BITS = 85, 3


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

    def set_target(self, jump):
        """Let the operation `jump` go to the one that comes next."""
        self._bytes[4 * jump + 1] = self.here

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

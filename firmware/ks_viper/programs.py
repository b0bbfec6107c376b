"""The programs that `viper_field.run` interprets, written with names, as bytes.

A point is four elements X, Y, Z, T with X*Y = Z*T (RFC 8032, section 5.1.4); the running one is in
elements 0 to 3. A second summand comes from a table, as (y + x) / 2, (y - x) / 2, d*x*y of a point
with z = 1, or as Y + X, Y - X, 2*d*T, 2*Z: then everything is twice as much, which does not matter.
A table has 32 entries: the sums of six points with signs, of which the last is positive; digits
of a scalar name the entry and the sign of the sum (`viper_scalar.comb_digits`).
"""

from .formulas import (
    AFFINE,
    COMB_ELEMENTS,
    DIGITS,
    HALF,
    INVERSE,
    OTHER,
    PROJECTIVE,
    TWICE_D,
    WINDOW_BITS,
    WINDOW_DIGITS,
    ZERO,
    Program,
    T,
    X,
    Y,
    Z,
    add_entry,
    add_other,
    double,
)
from .layout import COORDINATE_BYTES

PRIME = 2**255 - 19
D = -121665 * pow(121666, -1, PRIME) % PRIME
ROOT_OF_MINUS_ONE = pow(2, (PRIME - 1) // 4, PRIME)


def _start(program):
    """The neutral point, with Y = Z = the number in `octets`, and nothing else."""
    program.wipe(0, COMB_ELEMENTS)
    program.unpack(4)
    program.tighten(Y, 4, X)
    program.tighten(Z, 4, X)


def neutral():
    """Only the start."""
    program = Program()
    _start(program)
    return program.ended()


def comb(tables, joint):
    """The sum that the digits tell, from `tables` tables, and as many second ones if `joint`.

    It begins with the number in `octets` as Z. Leaves Z, frozen, where `invert` wants it.
    """
    program = Program()
    _start(program)
    entrance = program.jump()
    again = program.here
    double(program, with_t=True)
    program.set_target(entrance)
    sources = [(table, second) for second in range(1 + joint) for table in range(tables)]
    for table, second in sources:
        add_entry(program, table, second, AFFINE, with_t=(table, second) != sources[-1])
    program.repeat(again, DIGITS // tables, 0)
    program.freeze(5, Z)
    return program.ended()


def windows(tables):
    """The same for a second point of which only the multiples from 0 to 4 are in a table.

    Its digits are of three bits. The base point's comb joins in for the last doublings; the digits
    are in the order in which they are wanted.
    """
    columns = DIGITS // tables
    program = Program()
    _start(program)
    entrance = program.jump()
    again = program.here
    for bit in range(WINDOW_BITS):
        double(program, with_t=bit == WINDOW_BITS - 1)
    program.set_target(entrance)
    add_entry(program, 0, True, PROJECTIVE, with_t=True)
    program.repeat(again, WINDOW_DIGITS - columns // WINDOW_BITS, 0)
    again = program.here
    double(program, with_t=True)
    for table in range(tables):
        add_entry(program, table, False, AFFINE, with_t=True)
    program.repeat(again, WINDOW_BITS, 0)
    add_entry(program, 0, True, PROJECTIVE, with_t=True)
    program.repeat(again, columns // WINDOW_BITS, 1)
    program.freeze(5, Z)
    return program.ended()


def encode():
    """The running point's encoding, once 1 / Z is there. Wipes everything."""
    program = Program()
    program.multiply(4, X, INVERSE)
    program.multiply(5, Y, INVERSE)
    program.freeze(4, 4)
    program.freeze(5, 5)
    program.pack(5, 4)
    program.wipe(0, COMB_ELEMENTS)
    return program.ended()


def _squares(program, target, source, times):
    program.multiply(target, source, source)
    if times > 1:
        program.repeat(program.multiply(target, target, target), times - 1, 0)


def _power_of_root(program, result, z, a, b):
    """result = z**((p - 5) / 8) = z**(2**252 - 3), with the elements a and b as temporaries."""
    r = result
    program.multiply(r, z, z)
    _squares(program, a, r, 2)
    program.multiply(a, z, a)
    program.multiply(r, r, a)
    _squares(program, r, r, 1)
    program.multiply(r, a, r)  # z**(2**5 - 1)
    _squares(program, a, r, 5)
    program.multiply(r, a, r)
    _squares(program, a, r, 10)
    program.multiply(a, a, r)
    _squares(program, b, a, 20)
    program.multiply(a, b, a)
    _squares(program, a, a, 10)
    program.multiply(r, a, r)  # z**(2**50 - 1)
    _squares(program, a, r, 50)
    program.multiply(a, a, r)
    _squares(program, b, a, 100)
    program.multiply(a, b, a)
    _squares(program, a, a, 50)
    program.multiply(r, a, r)  # z**(2**250 - 1)
    _squares(program, r, r, 2)
    program.multiply(r, r, z)


def roots():
    """From y in `octets`: v*x*x - u, v*x*x + u, x and x * sqrt(-1) there. RFC 8032, 5.1.3.

    After y come d, sqrt(-1) and 1 in `octets`. Memory is zero.
    """
    y, d, root, one, u, v, v3, z, x = 0, 1, 2, 3, 9, 10, 12, 13, 14
    program = Program()
    for number, element in enumerate((y, d, root, one)):
        program.unpack(4, number)
        program.tighten(element, 4, ZERO)
    program.multiply(4, y, y)
    program.add_and_subtract(u - 1, 4, one)  # u = y**2 - 1
    program.multiply(4, 4, d)
    program.add_and_subtract(v, 4, one)  # v = d * y**2 + 1
    program.multiply(4, v, v)
    program.multiply(v3, 4, v)
    program.multiply(4, v3, v3)
    program.multiply(4, 4, v)
    program.multiply(z, u, 4)
    _power_of_root(program, x, z, 4, 5)
    program.multiply(x, x, u)
    program.multiply(x, x, v3)
    program.multiply(4, x, x)
    program.multiply(4, 4, v)
    program.add_and_subtract(6, 4, u)
    program.multiply(5, x, root)
    for number, element in enumerate((7, 6, x, 5)):
        program.freeze(4, element)
        program.pack(4, ZERO, number)
    return program.ended()


def point():
    """The running point and OTHER from x, y and 1 in `octets`; 2*d and 1/2 from what follows."""
    program = Program()
    for number, element in enumerate((X, Y, Z, TWICE_D, HALF)):
        program.unpack(4, number)
        program.tighten(element, 4, ZERO)
    program.multiply(T, X, Y)
    for element in (X, Y, Z, T):
        program.tighten(OTHER + element, element, ZERO)
    return program.ended()


def addition():
    """Add OTHER to the running point."""
    program = Program()
    add_other(program)
    return program.ended()


def minus_other():
    """Negate OTHER."""
    program = Program()
    for element in (OTHER + X, OTHER + T):
        program.add_and_subtract(4, ZERO, element)
        program.tighten(element, 5, ZERO)
    return program.ended()


def doublings(times):
    """Double the running point `times` times."""
    program = Program()
    double(program, with_t=True)
    program.repeat(0, times, 0)
    return program.ended()


def copy():
    """Copy a point; the elements are filled in by whoever runs it."""
    program = Program()
    for _ in range(4):
        program.tighten(0, 0, ZERO)
    return program.ended()


def stores(form):
    """Store what `projective` or `affine` has frozen; the entry is filled in by the runner."""
    program = Program()
    for coordinate in range(form // COORDINATE_BYTES):
        program.store(coordinate << 6 | (4 + coordinate), 0, form)
    return program.ended()


def projective():
    """Freeze the running point for a table of PROJECTIVE entries, into 4 to 7."""
    program = Program()
    program.add_and_subtract(4, Y, X)
    program.multiply(6, T, TWICE_D)
    program.tighten(7, ZERO, Z)
    for element in range(4, 8):
        program.freeze(element, element)
    return program.ended()


def frozen_z():
    """Freeze Z for `invert`."""
    program = Program()
    program.freeze(5, Z)
    return program.ended()


def affine():
    """Freeze the running point for a table of AFFINE entries, into 4 to 6, once 1 / Z is there."""
    program = Program()
    program.multiply(7, INVERSE, HALF)
    program.multiply(8, X, 7)
    program.multiply(9, Y, 7)
    program.add_and_subtract(4, 9, 8)
    program.multiply(6, 8, 9)
    program.multiply(6, 6, TWICE_D)
    program.tighten(6, ZERO, 6)
    for element in range(4, 7):
        program.freeze(element, element)
    return program.ended()


# What each use of a key needs, what a key without a table needs, and what only making one needs.
OFTEN = {
    "COMB": lambda tables: comb(tables, joint=False),
    "JOINT": lambda tables: comb(tables, joint=True),
    "ENCODE": lambda tables: encode(),
}
SELDOM = {
    "NEUTRAL": lambda tables: neutral(),
    "WINDOWS": windows,
    "ROOTS": lambda tables: roots(),
    "POINT": lambda tables: point(),
    "ADDITION": lambda tables: addition(),
    "MINUS_OTHER": lambda tables: minus_other(),
    "COPY": lambda tables: copy(),
    "PROJECTIVE": lambda tables: projective(),
    "STORE_PROJECTIVE": lambda tables: stores(PROJECTIVE),
}
ONCE = {
    "DOUBLE": lambda tables: doublings(1),
    "DOUBLINGS": lambda tables: doublings(DIGITS // tables - 1),
    "FROZEN_Z": lambda tables: frozen_z(),
    "AFFINE": lambda tables: affine(),
    "STORE_AFFINE": lambda tables: stores(AFFINE),
}
# The constants that `roots` and `point` find in `octets` after what they are given.
CONSTANTS = {
    "ROOT_CONSTANTS": (D, ROOT_OF_MINUS_ONE, 1),
    "POINT_CONSTANTS": (1, 2 * D % PRIME, pow(2, -1, PRIME)),
}


def named(programs, tables):
    """Lines that name the bytes of programs, for a module."""
    return [f"{name} = {make(tables)!r}" for name, make in programs.items()]


def source(tables):
    """The text of the module `viper_programs`: for keys without a table."""
    lines = ['"""Programs for keys without a table; generated by ks_viper.programs."""']
    for name, numbers in CONSTANTS.items():
        content = b"".join(number.to_bytes(32, "little") for number in numbers)
        lines.append(f"{name} = {content!r}")
    return "\n".join([*lines, *named(SELDOM, tables)]) + "\n"

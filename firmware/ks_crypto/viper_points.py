"""For `viper`: public keys without a table. Loaded when it is needed.

Elements 0 to 3 of the memory are the running point, 13 to 16 another; see `ks_viper.programs`.
"""

from . import viper
from .viper_base import BASE, TABLES
from .viper_field import run
from .viper_programs import (
    ADDITION,
    COPY,
    MINUS_OTHER,
    NEUTRAL,
    POINT,
    POINT_CONSTANTS,
    PROJECTIVE,
    ROOT_CONSTANTS,
    ROOTS,
    STORE_PROJECTIVE,
    WINDOWS,
)

_COLUMNS = 48 // TABLES
_WINDOWS = 85  # of three bits
_MULTIPLES = 5  # from 0 to 4 times the point
OTHER = 13

# Used for one key after the other; nothing secret comes here.
_multiples = bytearray(_MULTIPLES * 160)
_windows = bytearray(_WINDOWS)
_digits = bytearray(_WINDOWS + 48)
_octets = bytearray(5 * 32)


def joint_multiple(public, base_scalar, scalar):
    """The encoding of base_scalar * B - scalar * A; None if `public` does not encode a point A."""
    memory = viper.memory
    if not place_negated(memory, public):
        return None
    viper.octets[:] = viper.ONE
    perform(memory, NEUTRAL)
    program = bytearray(STORE_PROJECTIVE)
    for entry in range(_MULTIPLES):
        if entry:
            perform(memory, ADDITION)
        perform(memory, PROJECTIVE)
        store(memory, program, entry, _multiples)
    viper.comb_digits(base_scalar)
    viper.octets[:] = viper.ONE
    _place_digits(scalar)
    return viper.encoded(memory, WINDOWS, _digits, BASE, _multiples)


def perform(memory, program, table=BASE, octets=viper.octets):
    run(0, 0, memory, program, viper.digits, BASE, table, octets)


def place_negated(memory, public):
    """Minus the point of a public key, as the running point and beside it; False if there is none.

    The key's y is in range and x is not zero: `strict.acceptable_point` saw to it.
    """
    octets = _octets
    octets[:32] = public
    octets[32:128] = ROOT_CONSTANTS
    perform(memory, ROOTS, BASE, octets)
    for root in range(2):
        if not any(octets[32 * root : 32 * root + 32]):
            break
    else:
        return False
    octets[:32] = octets[64 + 32 * root : 96 + 32 * root]
    is_point = octets[0] & 1 == public[31] >> 7
    octets[32:64] = public
    octets[64:] = POINT_CONSTANTS
    perform(memory, POINT, BASE, octets)
    if is_point:
        perform(memory, MINUS_OTHER)
        copy(memory, 0, OTHER)
    return True


def copy(memory, target, source):
    program = bytearray(COPY)
    for element in range(4):
        program[4 * element + 1] = target + element
        program[4 * element + 2] = source + element
    perform(memory, program)


def store(memory, program, entry, table):
    for operation in range(0, len(program) - 4, 4):  # the last one is the end
        program[operation + 2] = entry
    perform(memory, program, table)


def _place_digits(scalar):
    """The digits for WINDOWS: of `scalar`, -3 to 4, with the comb's where they join in."""
    carry = pool = bits = octet = 0
    for window in range(_WINDOWS):
        if bits < 3 and octet < 32:
            pool |= scalar[octet] << bits
            bits += 8
            octet += 1
        digit = (pool & 7) + carry
        pool >>= 3
        bits -= 3
        carry = digit > 4
        _windows[window] = 128 | 8 - digit if carry else digit
    place = combs = 0
    for window in range(_WINDOWS - 1, -1, -1):
        if window < _COLUMNS // 3:
            for _ in range(3 * TABLES):
                _digits[place] = viper.digits[combs]
                place += 1
                combs += 1
        _digits[place] = _windows[window]
        place += 1

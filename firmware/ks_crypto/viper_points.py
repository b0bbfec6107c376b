"""For `viper`: public keys without a table, and how a table is made. Loaded when it is needed.

Elements 0 to 3 of the memory are the running point, 13 to 16 another; see `ks_viper.programs`.
"""

from . import viper
from .strict import GROUP_ORDER
from .viper_base import BASE, TABLES
from .viper_field import invert, run
from .viper_programs import (
    ADDITION,
    AFFINE,
    COPY,
    DOUBLE,
    DOUBLINGS,
    FROZEN_Z,
    MINUS_OTHER,
    NEUTRAL,
    POINT,
    POINT_CONSTANTS,
    PROJECTIVE,
    ROOT_CONSTANTS,
    ROOTS,
    STORE_AFFINE,
    STORE_PROJECTIVE,
    WINDOWS,
)

_TABLE_MEMORY_BYTES = 48 * 80
_COLUMNS = 48 // TABLES
_TEETH = 6
_ENTRIES = 32
_WINDOWS = 64
_OTHER, _SLOTS = 13, 20
_NEXT, _SUM = _SLOTS + 4 * 5, _SLOTS + 4 * 6

# Used for one key after the other; nothing secret comes here.
_memory = bytearray(20 * 80)
_multiples = bytearray(9 * 160)
_windows = bytearray(_WINDOWS)
_digits = bytearray(_WINDOWS + 48)
_octets = bytearray(5 * 32)


class Making:
    """Makes the table of minus a public key, piece by piece."""

    def __init__(self, public, table):
        """Raises ValueError if `public` is no point. Its y is known to be in range."""
        self._public = public
        self._table = table
        self._memory = bytearray(_TABLE_MEMORY_BYTES)
        self._steps = 0
        if not _place_negated(self._memory, public):
            raise ValueError("public key is not on the curve")

    def step(self):
        """Do one more piece; True when the table is whole. Raises ValueError: see `Prepared`."""
        table, step = divmod(self._steps, _TEETH + _ENTRIES)
        if table == TABLES:
            order = GROUP_ORDER.to_bytes(32, "little")
            if joint_multiple(self._public, bytes(32), order) != viper.ONE:
                raise ValueError("public key has a component of small order")
            return True
        if step < _TEETH:
            self._tooth(step, table == TABLES - 1)
        else:
            self._entry(table, step - _TEETH)
        self._steps += 1
        return False

    def _tooth(self, tooth, last_table):
        """Keep twice this tooth, and the sum of the last one minus all the others."""
        memory = self._memory
        _copy(memory, _OTHER, 0)
        if tooth < _TEETH - 1:
            _run(memory, MINUS_OTHER)
            _copy(memory, _NEXT, 0)
            _copy(memory, 0, _SUM)
            if tooth:
                _run(memory, ADDITION)
            else:
                _copy(memory, 0, _OTHER)
            _copy(memory, _SUM, 0)
            _copy(memory, 0, _NEXT)
            _run(memory, DOUBLE)
            _copy(memory, _SLOTS + 4 * tooth, 0)
            _run(memory, DOUBLINGS)
        else:
            if not last_table:
                _run(memory, DOUBLE)
                _run(memory, DOUBLINGS)
                _copy(memory, _NEXT, 0)
            _copy(memory, 0, _SUM)
            _run(memory, ADDITION)

    def _entry(self, table, number):
        """The entries in the order of Gray's code: each is the last one with one sign changed."""
        memory = self._memory
        gray = number ^ number >> 1
        if number:
            tooth = 0
            while not number >> tooth & 1:
                tooth += 1
            _copy(memory, _OTHER, _SLOTS + 4 * tooth)
            if not gray >> tooth & 1:
                _run(memory, MINUS_OTHER)
            _run(memory, ADDITION)
        _run(memory, FROZEN_Z)
        invert(0, 0, memory, 4)
        _run(memory, AFFINE)
        program = bytearray(STORE_AFFINE)
        _store(memory, program, table * _ENTRIES + gray, self._table)
        if number == _ENTRIES - 1:
            _copy(memory, 0, _NEXT)


def joint_multiple(public, base_scalar, scalar):
    """The encoding of base_scalar * B - scalar * A; None if `public` does not encode a point A."""
    memory = _memory
    if not _place_negated(memory, public):
        return None
    viper.octets[:] = viper.ONE
    _run(memory, NEUTRAL)
    program = bytearray(STORE_PROJECTIVE)
    for entry in range(9):
        if entry:
            _run(memory, ADDITION)
        _run(memory, PROJECTIVE)
        _store(memory, program, entry, _multiples)
    viper.comb_digits(base_scalar)
    viper.octets[:] = viper.ONE
    _place_digits(scalar)
    return viper.encoded(memory, WINDOWS, _digits, BASE, _multiples)


def _run(memory, program, table=BASE, octets=viper.octets):
    run(0, 0, memory, program, viper.digits, BASE, table, octets)


def _place_negated(memory, public):
    """Minus the point of a public key, as the running point and beside it; False if there is none.

    The key's y is in range and x is not zero: `strict.acceptable_point` saw to it.
    """
    octets = _octets
    octets[:32] = public
    octets[32:128] = ROOT_CONSTANTS
    _run(memory, ROOTS, BASE, octets)
    for root in range(2):
        if not any(octets[32 * root : 32 * root + 32]):
            break
    else:
        return False
    octets[:32] = octets[64 + 32 * root : 96 + 32 * root]
    is_point = octets[0] & 1 == public[31] >> 7
    octets[32:64] = public
    octets[64:] = POINT_CONSTANTS
    _run(memory, POINT, BASE, octets)
    if is_point:
        _run(memory, MINUS_OTHER)
        _copy(memory, 0, _OTHER)
    return True


def _copy(memory, target, source):
    program = bytearray(COPY)
    for element in range(4):
        program[4 * element + 1] = target + element
        program[4 * element + 2] = source + element
    _run(memory, program)


def _store(memory, program, entry, table):
    for operation in range(0, len(program) - 4, 4):  # the last one is the end
        program[operation + 2] = entry
    _run(memory, program, table)


def _place_digits(scalar):
    """The digits for WINDOWS: of `scalar`, -7 to 8, with the comb's where they join in."""
    carry = 0
    for window in range(_WINDOWS):
        digit = (scalar[window >> 1] >> (window & 1) * 4 & 15) + carry
        carry = digit > 8
        _windows[window] = 128 | 16 - digit if carry else digit
    place = combs = 0
    for window in range(_WINDOWS - 1, -1, -1):
        if window < _COLUMNS // 4:
            for _ in range(4 * TABLES):
                _digits[place] = viper.digits[combs]
                place += 1
                combs += 1
        _digits[place] = _windows[window]
        place += 1

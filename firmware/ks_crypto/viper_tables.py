"""For `viper`: how the table of a public key is made, and tried. Loaded when it is needed."""

from . import viper
from .strict import GROUP_ORDER
from .viper_base import COMB, TABLES
from .viper_field import invert
from .viper_making import AFFINE, DOUBLE, DOUBLINGS, FROZEN_Z, STORE_AFFINE
from .viper_points import OTHER, copy, joint_multiple, perform, place_negated, store
from .viper_programs import ADDITION, MINUS_OTHER

_MEMORY_BYTES = 48 * 80
_TEETH = 6
_ENTRIES = 32
_SLOTS = 20
_NEXT, _SUM = _SLOTS + 4 * 5, _SLOTS + 4 * 6


class Making:
    """Makes the table of minus a public key, piece by piece."""

    def __init__(self, public, table):
        """Raises ValueError if `public` is no point. Its y is known to be in range."""
        self._public = public
        self._table = table
        self._memory = bytearray(_MEMORY_BYTES)
        self._steps = 0
        if not place_negated(self._memory, public):
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
        copy(memory, OTHER, 0)
        if tooth < _TEETH - 1:
            perform(memory, MINUS_OTHER)
            copy(memory, _NEXT, 0)
            copy(memory, 0, _SUM)
            if tooth:
                perform(memory, ADDITION)
            else:
                copy(memory, 0, OTHER)
            copy(memory, _SUM, 0)
            copy(memory, 0, _NEXT)
            perform(memory, DOUBLE)
            copy(memory, _SLOTS + 4 * tooth, 0)
            perform(memory, DOUBLINGS)
        else:
            if not last_table:
                perform(memory, DOUBLE)
                perform(memory, DOUBLINGS)
                copy(memory, _NEXT, 0)
            copy(memory, 0, _SUM)
            perform(memory, ADDITION)

    def _entry(self, table, number):
        """The entries in the order of Gray's code: each is the last one with one sign changed."""
        memory = self._memory
        gray = number ^ number >> 1
        if number:
            tooth = 0
            while not number >> tooth & 1:
                tooth += 1
            copy(memory, OTHER, _SLOTS + 4 * tooth)
            if not gray >> tooth & 1:
                perform(memory, MINUS_OTHER)
            perform(memory, ADDITION)
        perform(memory, FROZEN_Z)
        invert(0, 0, memory, 4)
        perform(memory, AFFINE)
        program = bytearray(STORE_AFFINE)
        store(memory, program, table * _ENTRIES + gray, self._table)
        if number == _ENTRIES - 1:
            copy(memory, 0, _NEXT)


def is_valid(public, table):
    """Whether a table gives minus the key itself for the digits of one, and nothing for zero."""
    if _multiple(table, bytes(32)) != viper.ONE:
        return False
    made = _multiple(table, viper.ONE)
    return made[:31] == public[:31] and made[31] ^ 128 == public[31]


def _multiple(table, number):
    viper.comb_digits(number)
    viper.octets[:] = viper.ONE
    return viper.encoded(viper.memory, COMB, viper.digits, table, table)

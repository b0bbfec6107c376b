"""Ed25519 on native code (RFC 8032, pure). Call it through `ed25519`, which checks arguments.

Field elements, points and programs are described in `ks_viper.programs`: a program is a list of
operations that `viper_field.run` interprets in one call.
"""

from hashlib import sha256
from os import urandom

from .sha512 import sha512
from .strict import FIELD_PRIME, GROUP_ORDER
from .viper_base import (
    ADDITION,
    AFFINE,
    BASE,
    COMB,
    COPY,
    DOUBLE,
    DOUBLINGS,
    ENCODE,
    FROZEN_Z,
    JOINT,
    MINUS_OTHER,
    NEUTRAL,
    POINT,
    POINT_CONSTANTS,
    PROJECTIVE,
    ROOT_CONSTANTS,
    ROOTS,
    STORE_AFFINE,
    STORE_PROJECTIVE,
    TABLES,
    WINDOWS,
)
from .viper_field import invert, run
from .viper_scalar import comb_digits, muladd, reduce

NAME = "viper"
TABLE_BYTES = len(BASE)

_ELEMENT_BYTES = 80
_DIGITS = 48  # of a scalar in a comb
_COLUMNS = _DIGITS // TABLES
_TEETH = 6
_ENTRIES = 32
_WINDOWS = 64
_OTHER, _SLOTS = 13, 20
_NEXT, _SUM = _SLOTS + 4 * 5, _SLOTS + 4 * 6
_ONE = b"\1" + bytes(31)
_NO_BLIND = bytes(4)
_NO_DIGITS = bytes(2 * _DIGITS)

# Taken at import, while the heap is in one piece, and wiped after each use.
_memory = bytearray(13 * _ELEMENT_BYTES)
_digits = bytearray(2 * _DIGITS)
_octets = bytearray(32)
_scalar = bytearray(32)
_work = bytearray(320)

_key = None


class _Key:
    """What a seed stands for (RFC 8032, 5.1.5), in buffers that `forget` can wipe."""

    def __init__(self, seed):
        running = sha512(seed)
        digest = bytearray(running.digest())
        running.wipe()
        digest[0] &= 248
        digest[31] = digest[31] & 63 | 64
        self.seed = bytearray(seed)
        self.secret = digest
        self.scalar = memoryview(digest)[:32]
        self.prefix = memoryview(digest)[32:]
        self.public = _base_multiple(self.scalar)


def public_key(seed):
    """The 32-byte public key of a seed, which is kept expanded until another one or `forget`."""
    return _expanded(seed).public


def sign(seed, pieces):
    """The 64-byte signature over the concatenation of `pieces`, which are read twice."""
    key = _expanded(seed)
    nonce = bytearray(32)
    check = _reduced_hash(nonce, (key.prefix,), pieces, sha256())
    encoded_r = _base_multiple(nonce)
    if _reduced_hash(_scalar, (encoded_r, key.public), pieces, sha256()) != check:
        nonce[:] = bytes(32)
        raise ValueError("pieces were not the same when read again")
    muladd(_scalar, _scalar, key.scalar, nonce, _work)
    nonce[:] = bytes(32)
    return encoded_r + _scalar


def verify(public, pieces, signature):
    """Whether the equation holds, for any key: over three times the work of a prepared one."""
    memory = bytearray(20 * _ELEMENT_BYTES)
    if not _place_negated(memory, public):
        return False
    _reduced_hash(_scalar, (signature[:32], public), pieces)
    return _joint_multiple(memory, signature[32:], _scalar) == signature[:32]


def prepare(public, table=None, whole=False):
    """A `Prepared`."""
    return Prepared(public, table, whole)


def forget():
    """Wipe the private key that is kept expanded."""
    global _key  # noqa: PLW0603
    if _key is not None:
        _key.seed[:] = bytes(32)
        _key.secret[:] = bytes(64)
    _key = None


class Prepared:
    """A public key with its table: made piece by piece, or taken from where it was kept."""

    def __init__(self, public, table=None, whole=False):
        """Raises ValueError if `public` is no point, or if `table` is not TABLE_BYTES long."""
        self.public = public
        self.table = bytearray(TABLE_BYTES) if table is None else table
        self._memory = None
        if len(self.table) != TABLE_BYTES:
            raise ValueError("table must be %d bytes" % TABLE_BYTES)
        if not whole:
            self._memory = bytearray(48 * _ELEMENT_BYTES)
            self._steps = 0
            if not _place_negated(self._memory, public):
                raise ValueError("public key is not on the curve")

    def step(self):
        """Do one more piece of the table; True when it is whole (and ever after).

        Raises ValueError in the end for a key that is the sum of a proper one and a point of small
        order: a comb multiplies by the scalar plus some multiple of the group order, which gives
        another verdict for such a key than the equation has. `verify` without a table is right.
        """
        if self._memory is None:
            return True
        table, step = divmod(self._steps, _TEETH + _ENTRIES)
        if step < _TEETH:
            self._tooth(step, table == TABLES - 1)
        else:
            self._entry(table, step - _TEETH)
        self._steps += 1
        if self._steps < TABLES * (_TEETH + _ENTRIES):
            return False
        self._refuse_small_order_component()
        self._memory = None
        return True

    def is_valid(self):
        """Whether the table gives minus the key itself for the digits of one.

        It looks at some of the entries only: keep a hash beside the table as well.
        """
        comb_digits(_digits, _ONE, _NO_BLIND, TABLES, TABLES, _work)
        _octets[:] = _ONE
        made = _encoded(_memory, COMB, _digits, self.table, self.table)
        return made[:31] == self.public[:31] and made[31] ^ 128 == self.public[31]

    def verify(self, pieces, signature):
        """Whether the equation holds; the table must be whole."""
        _reduced_hash(_scalar, (signature[:32], self.public), pieces)
        comb_digits(_digits, signature[32:], _NO_BLIND, TABLES, 2 * TABLES, _work)
        key_digits = memoryview(_digits)[TABLES:]
        comb_digits(key_digits, _scalar, _NO_BLIND, TABLES, 2 * TABLES, _work)
        _octets[:] = _ONE
        return _encoded(_memory, JOINT, _digits, BASE, self.table) == signature[:32]

    def _refuse_small_order_component(self):
        _place_negated(self._memory, self.public)
        order = GROUP_ORDER.to_bytes(32, "little")
        if _joint_multiple(self._memory, bytes(32), order) != _ONE:
            raise ValueError("public key has a component of small order")

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
        store = bytearray(STORE_AFFINE)
        for operation in range(3):
            store[4 * operation + 2] = table * _ENTRIES + gray
        _run(memory, store, self.table)
        if number == _ENTRIES - 1:
            _copy(memory, 0, _NEXT)


def _expanded(seed):
    global _key  # noqa: PLW0603
    if _key is None or _key.seed != seed:
        forget()
        _key = _Key(seed)
    return _key


def _reduced_hash(target, heads, pieces, check=None):
    """SHA-512 of everything modulo L into `target`; the digest by `check` of the pieces."""
    running = sha512()
    for head in heads:
        running.update(head)
    for piece in pieces:
        running.update(piece)
        if check:
            check.update(piece)
    reduce(target, running.digest(), _work)
    running.wipe()
    return check and check.digest()


def _base_multiple(scalar):
    """The encoding of scalar * B, with a scalar and coordinates that differ from time to time."""
    comb_digits(_digits, scalar, urandom(4), TABLES, TABLES, _work)
    _octets[:] = urandom(32)
    _octets[0] |= 1  # not zero, whatever the source of randomness is worth
    return _encoded(_memory, COMB, _digits, BASE, BASE)


def _run(memory, program, table=BASE, octets=_octets):
    run(0, 0, memory, program, _digits, BASE, table, octets)


def _encoded(memory, program, digits, base, table):
    """The encoding of the point that a comb or windows give. In `_octets` is the first Z."""
    run(0, 0, memory, program, digits, base, table, _octets)
    invert(0, 0, memory, 4)
    run(0, 0, memory, ENCODE, _digits, BASE, BASE, _octets)
    _digits[:] = _NO_DIGITS
    return bytes(_octets)


def _place_negated(memory, public):
    """Minus the point of a public key, as the running point and beside it; False if there is none.

    The key's y is in range and x is not zero: `strict.acceptable` saw to it.
    """
    octets = bytearray(public + ROOT_CONSTANTS)
    _run(memory, ROOTS, BASE, octets)
    nothing = bytes(32)
    if octets[:32] == nothing:
        x = bytes(octets[64:96])
    elif octets[32:64] == nothing:
        x = bytes(octets[96:])
    else:
        return False
    if x[0] & 1 == public[31] >> 7:
        x = (FIELD_PRIME - int.from_bytes(x, "little")).to_bytes(32, "little")
    _run(memory, POINT, BASE, x + public + POINT_CONSTANTS)
    return True


def _copy(memory, target, source):
    program = bytearray(COPY)
    for element in range(4):
        program[4 * element + 1] = target + element
        program[4 * element + 2] = source + element
    _run(memory, program)


def _joint_multiple(memory, base_scalar, scalar):
    """The encoding of base_scalar * B + scalar * P, P being what _place_negated has placed."""
    multiples = bytearray(9 * 160)
    _octets[:] = _ONE
    _run(memory, NEUTRAL)
    store = bytearray(STORE_PROJECTIVE)
    for entry in range(9):
        if entry:
            _run(memory, ADDITION)
        _run(memory, PROJECTIVE)
        for operation in range(4):
            store[4 * operation + 2] = entry
        _run(memory, store, multiples)
    comb_digits(_digits, base_scalar, _NO_BLIND, TABLES, TABLES, _work)
    _octets[:] = _ONE
    return _encoded(memory, WINDOWS, _window_digits(scalar), BASE, multiples)


def _window_digits(scalar):
    """The digits for WINDOWS: of `scalar`, -7 to 8, with the comb's where they join in."""
    windows = bytearray(_WINDOWS)
    carry = 0
    for window in range(_WINDOWS):
        digit = (scalar[window >> 1] >> (window & 1) * 4 & 15) + carry
        carry = digit > 8
        windows[window] = 128 | 16 - digit if carry else digit
    digits = bytearray()
    for window in range(_WINDOWS - 1, -1, -1):
        if window < _COLUMNS // 4:
            first = (_COLUMNS // 4 - 1 - window) * 4 * TABLES
            digits += _digits[first : first + 4 * TABLES]
        digits.append(windows[window])
    return digits

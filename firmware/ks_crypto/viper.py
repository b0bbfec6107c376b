"""Ed25519 on native code (RFC 8032, pure). Call it through `ed25519`, which checks arguments.

Field elements, points and programs are described in `ks_viper.programs`: a program is a list of
operations that `viper_field.run` interprets in one call. What is seldom needed is in modules that
are loaded then: keys without a table in `viper_points`, the making of tables in `viper_tables`.
"""

from hashlib import sha256
from os import urandom

from .sha512 import sha512
from .viper_base import BASE, COMB, ENCODE, TABLES
from .viper_field import invert, run
from .viper_scalar import modular

NAME = "viper"
TABLE_BYTES = len(BASE)
ONE = b"\1" + bytes(31)

_DIGITS = 48  # of a scalar in a comb
NO_BLIND = bytes(4)
# What `modular` calculates, besides a comb's digits, for which it takes the number of tables.
_REDUCE, _MULADD = -1, 0

# Taken at import, while the heap is in one piece, and wiped after each use.
memory = bytearray(20 * 80)  # 13 elements for a comb, the others for `viper_points`
digits = bytearray(2 * _DIGITS)
octets = bytearray(32)
scalar = bytearray(32)
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
    try:
        check = reduced_hash(nonce, (key.prefix,), pieces, sha256())
        encoded_r = _base_multiple(nonce)
        if reduced_hash(scalar, (encoded_r, key.public), pieces, sha256()) != check:
            raise ValueError("pieces were not the same when read again")
        modular(_MULADD, 0, scalar, scalar, key.scalar, nonce, _work)
    finally:
        nonce[:] = bytes(32)
    return encoded_r + scalar


def verify(public, pieces, signature):
    """Whether the equation holds, for any key: over three times the work of a prepared one."""
    reduced_hash(scalar, (signature[:32], public), pieces)
    from . import viper_points

    return viper_points.joint_multiple(public, signature[32:], scalar) == signature[:32]


def prepare(public, table=None, whole=False):
    """A `Prepared`, whose code is loaded for the first one."""
    from .viper_prepared import Prepared

    return Prepared(public, table, whole)


def forget():
    """Wipe the private key that is kept expanded."""
    global _key  # noqa: PLW0603
    if _key is not None:
        _key.seed[:] = bytes(32)
        _key.secret[:] = bytes(64)
    _key = None


def comb_digits(number, blind=NO_BLIND, target=digits, stride=TABLES):
    """The digits of a scalar (32 bytes) for a comb, `stride` bytes from column to column."""
    modular(TABLES, stride, target, number, blind, number, _work)


def encoded(elements, program, comb, base, table):
    """The encoding of the point that a comb or windows give. In `octets` is the first Z."""
    run(0, 0, elements, program, comb, base, table, octets)
    invert(0, 0, elements, 4)
    run(0, 0, elements, ENCODE, comb, base, table, octets)
    digits[:] = bytes(2 * _DIGITS)
    return bytes(octets)


def _expanded(seed):
    global _key  # noqa: PLW0603
    if _key is None or _key.seed != seed:
        forget()
        _key = _Key(seed)
    return _key


def reduced_hash(target, heads, pieces, check=None):
    """SHA-512 of everything modulo L into `target`; the digest by `check` of the pieces."""
    running = sha512()
    for head in heads:
        running.update(head)
    for piece in pieces:
        running.update(piece)
        if check:
            check.update(piece)
    digest = running.digest()
    modular(_REDUCE, 0, target, digest, digest, digest, _work)
    running.wipe()
    return check and check.digest()


def _base_multiple(number):
    """The encoding of number * B, with a scalar and coordinates that differ every time."""
    comb_digits(number, urandom(4))
    octets[:] = urandom(32)
    octets[0] |= 1  # not zero, whatever the source of randomness is worth
    return encoded(memory, COMB, digits, BASE, BASE)

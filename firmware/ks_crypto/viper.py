"""Ed25519 on native code; arguments have been checked by `ed25519`."""

from hashlib import sha256
from os import urandom

from .sha512 import sha512
from .viper_base import BASE, COMB, ENCODE, JOINT, NEUTRAL, TABLES
from .viper_field import invert, run
from .viper_scalar import comb_digits, muladd, reduce

_NO_BLIND = bytes(4)
_memory = bytearray(13 * 80)
_digits = bytearray(96)
_octets = bytearray(32)
_work = bytearray(600)


_key = None


class _Key:
    def __init__(self, seed):
        digest = sha512(seed).digest()
        self.seed = seed
        scalar = bytearray(digest[:32])
        scalar[0] &= 248
        scalar[31] = scalar[31] & 63 | 64
        self.scalar = scalar
        self.prefix = digest[32:]
        self.public = _base_multiple(scalar)


def public_key(seed):
    return _expanded(seed).public


def sign(seed, pieces):
    key = _expanded(seed)
    hash_r = sha512(key.prefix)
    for piece in pieces:
        hash_r.update(piece)
    nonce = bytearray(32)
    reduce(nonce, hash_r.digest(), _work)
    encoded_r = _base_multiple(nonce)
    challenge = sha512(encoded_r)
    challenge.update(key.public)
    for piece in pieces:
        challenge.update(piece)
    h = bytearray(32)
    reduce(h, challenge.digest(), _work)
    s = bytearray(32)
    muladd(s, h, key.scalar, nonce, _work)
    return encoded_r + s


def verify_prepared(prepared, pieces, signature):
    encoded_r = signature[:32]
    challenge = sha512(encoded_r)
    challenge.update(prepared.public)
    for piece in pieces:
        challenge.update(piece)
    h = bytearray(32)
    reduce(h, challenge.digest(), _work)
    comb_digits(_digits, signature[32:], _NO_BLIND, TABLES, 2 * TABLES, _work)
    comb_digits(memoryview(_digits)[TABLES:], h, _NO_BLIND, TABLES, 2 * TABLES, _work)
    return _encoded(JOINT, b"\1" + bytes(31), prepared.table) == encoded_r


def _expanded(seed):
    global _key
    if _key is None or _key.seed != seed:
        _key = _Key(seed)
    return _key


def _base_multiple(scalar):
    comb_digits(_digits, scalar, urandom(4), TABLES, TABLES, _work)
    return _encoded(COMB, urandom(32), BASE)


def _encoded(program, scale, table):
    _memory[:] = bytes(len(_memory))
    _octets[:] = scale
    run(0, 0, _memory, NEUTRAL, _digits, BASE, table, _octets)
    run(0, 0, _memory, program, _digits, BASE, table, _octets)
    invert(0, 0, _memory, 4)
    run(0, 0, _memory, ENCODE, _digits, BASE, table, _octets)
    return bytes(_octets)

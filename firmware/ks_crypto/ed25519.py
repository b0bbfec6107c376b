"""Ed25519 (RFC 8032, pure), with the strict verification of docs/protocol.md, section 2.

ENGINE names what does the arithmetic, chosen once, at import:

"viper"      native code for the processor (made by `ks_viper`), where its .mpy files are installed
"libsodium"  PyNaCl, on CPython
"bigint"     plain Python, anywhere

What is protected with "viper" against somebody who times a terminal, or sees what it allocates:
the path of a private key or nonce has no branch, no loop length and no allocation that depends on
it. Scalars are blinded by 32 bits (a random multiple of the group order is added) and points start
with random coordinates, so that the same key is never computed with in the same way twice. Secrets
are wiped from the buffers after use; the expanded key stays until `forget`.

What is not: two addresses depend on the scalar, that of the table entry which is read, and which of
two neighbouring elements a sum and a difference are written to. That shows where memory is cached
(on an ESP32: in PSRAM, not in its internal memory). A multiple of the order
of 32 bits leaves some 90 bits in the middle of a scalar as they are: blinding makes averaging over
traces harder, no more. The product of the private scalar and the challenge is not blinded. Power
analysis by somebody with the chip on the bench is not withstood, nor is a read of its memory: the
stack and freed objects (the nonce's hash among them) keep what was there until it is overwritten.
Faults: a message that reads differently the second time is refused, and `sign(..., check=True)`
verifies what it made. "bigint" protects nothing: see there.
"""

import sys

from .strict import (
    PUBLIC_KEY_BYTES,
    SEED_BYTES,
    SIGNATURE_BYTES,
    acceptable,
    acceptable_point,
    octets,
    piece_octets,
    reiterable,
)

_PACKAGE = "ks_crypto"
_SELDOM = ("kept_table", "viper_tables", "viper_making", "viper_points", "viper_programs")


def _without_native_code():
    try:
        import nacl  # noqa: F401
    except ImportError:
        from . import bigint

        return bigint
    from . import sodium

    return sodium


try:
    from . import viper_field  # noqa: F401, I001 -- missing, or for another processor
    from . import viper as _engine
except (ImportError, ValueError):
    _engine = _without_native_code()

ENGINE = _engine.NAME
# Of memory that `prepare` fills for a public key: 0 where an engine has no tables.
TABLE_BYTES = _engine.TABLE_BYTES


class FaultError(Exception):
    """A signature just made does not verify: the computation went wrong. Nothing was revealed."""


def public_key(seed):
    """The 32-byte public key of a 32-byte seed. Raises ValueError for anything else."""
    return _engine.public_key(octets(seed, SEED_BYTES, "seed"))


def sign(seed, pieces, check=False):
    """The 64-byte signature, by the key of `seed`, over the concatenation of `pieces`.

    `pieces` is read twice and never joined. With `check` the signature is verified before it is
    given out. Raises ValueError if the seed is not 32 bytes, if `pieces` cannot be read twice, did
    not read the same both times, or holds what is not bytes; and FaultError.
    """
    seed = octets(seed, SEED_BYTES, "seed")
    signature = _engine.sign(seed, _Pieces(reiterable(pieces)))
    if check and not verify(_engine.public_key(seed), pieces, signature):
        raise FaultError("a signature made just now does not verify")
    return signature


def verify(public, pieces, signature, prepared=None):
    """Whether `signature` (64 bytes) by `public` (32 bytes) covers the concatenation of `pieces`.

    Any content gives True or False; a wrong length or type raises ValueError. `prepared`, whole
    and of this very key, makes it several times faster; of another key it is not used.
    """
    public = octets(public, PUBLIC_KEY_BYTES, "public key")
    signature = octets(signature, SIGNATURE_BYTES, "signature")
    pieces = _Pieces(reiterable(pieces))
    if not acceptable(public, signature):
        return False
    if prepared is not None and prepared.public == public:
        return prepared.verify(pieces, signature)
    return _engine.verify(public, pieces, signature)


def prepare(public, table=None, whole=False):
    """A prepared key: call its `step()` until that is True, a few milliseconds of work each time.

    `table` is a bytearray of TABLE_BYTES to be filled, and a new one if it is None. `whole` says
    that it is the table of this key already: then ask `is_valid()` before trusting it, and keep a
    hash beside it, since that looks at some entries only. Raises ValueError for a key that no
    signature can be valid for.
    """
    public = octets(public, PUBLIC_KEY_BYTES, "public key")
    if not acceptable_point(public):
        raise ValueError("public key is not a point that may be used")
    return _engine.prepare(public, table, whole)


def forget():
    """Drop, and wipe where that is possible, the expanded private key that is kept."""
    _engine.forget()


def load():
    """Load the code for keys without a table now, while there is room for it in one piece."""
    if ENGINE == "viper":
        from . import viper_points  # noqa: F401


def let_go():
    """Let go of code that is seldom needed, to leave its memory to others; it is loaded again.

    None of it is native code, which may not be loaded twice.
    """
    package = sys.modules[_PACKAGE]
    for name in _SELDOM:
        if sys.modules.pop(_PACKAGE + "." + name, None):
            delattr(package, name)


class _Pieces:
    """Pieces, each checked when it is read: an engine must never meet a str, or an int."""

    def __init__(self, pieces):
        self._pieces = pieces

    def __iter__(self):
        for piece in self._pieces:
            yield piece_octets(piece)

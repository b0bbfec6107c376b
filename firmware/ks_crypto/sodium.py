"""The libsodium engine of `ed25519`, for CPython with PyNaCl; ImportError where that is missing.

The functions take what the facade has checked, as those of `bigint` do. libsodium runs in constant
time and wipes what it used, but the key pair of the last seed stays in memory until `forget`.
"""

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from .strict import SIGNATURE_BYTES, acceptable, piece_octets

NAME = "libsodium"
TABLE_BYTES = 0

# libsodium takes a message in one piece, so it is joined; the protocol's are below 64 KiB.
MESSAGE_LIMIT_BYTES = 1 << 20

_pair = None


class Prepared:
    """What `prepare` gives: this engine has no tables that are kept, so there is nothing to do."""

    table = b""

    def __init__(self, public):
        self.public = public

    def step(self):
        """Do one more piece of work; True when all is done."""
        return True

    def is_valid(self):
        """Whether the table fits the key."""
        return True

    def verify(self, pieces, signature):
        """As `verify` for the key."""
        return verify(self.public, pieces, signature)


def public_key(seed):
    """The 32-byte public key of a seed."""
    return _key_pair(seed)[1]


def sign(seed, pieces):
    """The 64-byte signature, by the key of `seed`, over the concatenation of `pieces`.

    Raises ValueError for a piece that is not bytes, bytearray or memoryview, and for more than
    MESSAGE_LIMIT_BYTES.
    """
    secret_key = _key_pair(seed)[2]
    message = _joined(pieces)
    if _joined(pieces) != message:  # as on a terminal, whose engines cannot keep it
        raise ValueError("pieces were not the same when read again")
    return crypto_sign(message, secret_key)[:SIGNATURE_BYTES]


def verify(public, pieces, signature):
    """Whether `signature` by `public` covers the concatenation of `pieces`.

    Raises ValueError as `sign` does.
    """
    message = _joined(pieces)
    if not acceptable(public, signature):
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def prepare(public, table=None, whole=False):
    """A `Prepared` for a public key."""
    return Prepared(public)


def forget():
    """Drop the key pair that is kept from the last seed used (for a wipe)."""
    global _pair  # noqa: PLW0603
    _pair = None


def _key_pair(seed):
    """(seed, public key, libsodium's secret key), kept for the last seed."""
    global _pair  # noqa: PLW0603
    pair = _pair
    if pair is None or pair[0] != seed:
        pair = _pair = (seed, *crypto_sign_seed_keypair(seed))
    return pair


def _joined(pieces):
    message = bytearray()
    for piece in pieces:
        message += piece_octets(piece)
        if len(message) > MESSAGE_LIMIT_BYTES:
            raise ValueError("the message is longer than %d bytes" % MESSAGE_LIMIT_BYTES)
    return bytes(message)

"""What every crypto port takes and refuses before any arithmetic, so that all give one verdict.

The protocol's rule (docs/protocol.md, section 2) is: S < L, canonical encodings, no small-order
points. `acceptable` is that rule for the encodings; the equation itself stays with the port and is
the cofactorless one, R = S*B - h*A with h reduced modulo L, compared byte by byte.

libsodium 1.0.18 and its PyNaCl builds refuse exactly the same inputs by themselves. The rule is
stated here all the same, because other builds are more lenient (ED25519_COMPAT, RFC 8032's own
sample code) and a port must not depend on which one it met.

Mixed-order points (a point of the large group plus one of small order) are not refused: telling
them apart costs a scalar multiplication, and both ports decide them by the same equation.
"""

FIELD_PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493

PUBLIC_KEY_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES = 64

_Y_MASK = 2**255 - 1
# The y of the eight points whose order divides 8; x and -x share one y. Both points with x = 0 are
# here, so the encoding of "minus zero" is refused as well.
_SMALL_ORDER_Y = (
    0,
    1,
    FIELD_PRIME - 1,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
)

# The highest bytes of these, of p and above, and of L: others need no arithmetic to be told.
_SUSPECT_TOPS = (0, 5, 0x7A, 0x7F)
_ORDER_TOP = 0x10

_OCTETS = (bytes, bytearray, memoryview)


def acceptable(public, signature):
    """Whether an Ed25519 public key and signature (bytes) may be put into the equation at all.

    False for a wrong length, S >= L, a y of A or R that is not below the field prime, and a small
    order A or R. True promises nothing else: A and R need not be points of the curve.
    """
    if len(public) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    if signature[63] >= _ORDER_TOP and int.from_bytes(signature[32:], "little") >= GROUP_ORDER:
        return False
    return acceptable_point(public) and acceptable_point(signature[:32])


def octets(value, length, name):
    """`value` as `bytes` of exactly `length`; ValueError, naming `name` and never the content."""
    # A view of wider items has more bytes than its length says.
    if not isinstance(value, _OCTETS) or len(value) != length or len(bytes(value)) != length:
        raise ValueError("%s must be %d bytes" % (name, length))
    return value if isinstance(value, bytes) else bytes(value)


def reiterable(pieces):
    """`pieces` if it is a message that can be read twice: not one bytes object, not an iterator.

    A generator would be empty when signing reads it again, and two signatures that share R with
    different messages give the private key away. Raises ValueError.
    """
    if isinstance(pieces, (bytes, bytearray, memoryview, str)):
        raise ValueError("pieces must be a list of bytes objects, not one object")
    try:
        iterator = iter(pieces)
    except TypeError:
        raise ValueError("pieces must be iterable") from None
    if iterator is pieces:
        raise ValueError("pieces must start afresh each time they are iterated")
    return pieces


def piece_octets(piece):
    """`piece` itself if it is bytes, bytearray or memoryview; otherwise ValueError."""
    if not isinstance(piece, _OCTETS):
        raise ValueError("each piece must be bytes, bytearray or memoryview")
    if isinstance(piece, memoryview) and len(bytes(piece[:1])) > 1:
        raise ValueError("each piece must be of bytes, not of wider items")
    return piece


def acceptable_point(encoded):
    """Whether 32 bytes may be looked at as a point: its y is canonical and not of small order."""
    if encoded[31] & 127 not in _SUSPECT_TOPS:
        return True
    y = int.from_bytes(encoded, "little") & _Y_MASK
    return y < FIELD_PRIME and y not in _SMALL_ORDER_Y

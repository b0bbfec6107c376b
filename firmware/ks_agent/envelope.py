"""A message as bytes, and the signature over it (PROTOCOL sections 1 and 2).

`crypto` is the crypto port everywhere: public_key, sign, verify, sha256.
"""

import binascii

from . import tokens, toon
from .errors import BadSignature, Malformed
from .message import Canonical, check_names

TOON = "text/toon"
LINES = "text/plain"


def b64(raw):
    return binascii.b2a_base64(raw).decode().strip()


def unb64(text, length=None):
    """Strict base64: what does not encode back to the same text is Malformed."""
    try:
        raw = binascii.a2b_base64(text.encode())
    except ValueError:
        raise Malformed("not base64")
    if b64(raw) != text or (length is not None and len(raw) != length):
        raise Malformed("not base64 of the right length")
    return raw


def hex_text(raw):
    return binascii.hexlify(raw).decode()


def sha256_hex(crypto, data):
    digest = crypto.sha256()
    digest.update(data)
    return hex_text(digest.digest())


def key_id(crypto, public):
    """KID: the first 8 hex digits of SHA-256 of the raw key (PROTOCOL section 2)."""
    return sha256_hex(crypto, public)[:8]


def sign_pieces(crypto, seed, pieces):
    return b64(crypto.sign(seed, pieces))


def verify_pieces(crypto, public, pieces, signature):
    """Raises BadSignature unless the base64 `signature` is strictly valid."""
    try:
        raw = unb64(signature, 64)
    except Malformed:
        raise BadSignature("a signature that is not one")
    if not crypto.verify(public, pieces, raw):
        raise BadSignature("wrong signature")


def sign_message(crypto, seed, message, field="SIG1"):
    message[field] = sign_pieces(crypto, seed, Canonical(message))


def verify_message(crypto, public, message, field):
    signature = message.get(field)
    if not isinstance(signature, str):
        raise BadSignature("no " + field)
    verify_pieces(crypto, public, Canonical(message), signature)


def request_digest(crypto, message):
    """RQ: binds an answer to the signed request it answers."""
    digest = crypto.sha256()
    for piece in Canonical(message):
        digest.update(piece)
    digest.update(b"\n")
    digest.update(message["SIG1"].encode())
    return hex_text(digest.digest())[:32]


def compose(message, content_type):
    """The message in its transfer syntax; anything but TOON is token lines."""
    if content_type == TOON:
        return toon.encode(message, tokens.kind_of)
    from . import lines

    return lines.encode(message)


def parse(data, content_type, max_bytes, max_tokens=tokens.MESSAGE_MAX_TOKENS, max_rows=256):
    """The message in the bytes of either syntax. Raises Malformed (ToonError, LinesError)."""
    if content_type != TOON:
        from . import lines

        return lines.decode(data, max_bytes, max_tokens, max_rows)
    message = toon.decode(data, max_bytes, max_tokens, max_rows)
    check_names(message)
    return message

"""Signatures, their contexts, and messages as bytes (PROTOCOL section 2).

`crypto` is the crypto port everywhere: public_key, sign, verify, sha256.
"""

import binascii

from . import tokens, toon
from .errors import BadSignature, Malformed
from .message import Canonical, canonical, check_names

TOON = "text/toon"
LINES = "text/plain"

_PEM_BEGIN = b"-----BEGINPUBLICKEY-----"
_PEM_END = b"-----ENDPUBLICKEY-----"
# RFC 8410 section 4: SubjectPublicKeyInfo of an Ed25519 key is this prefix and the 32 raw bytes.
_SPKI_PREFIX = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"


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


def decode_public_key(text):
    """The 32 bytes of D3, PK1 or KEY: base64 of the raw key or of its PEM. Raises Malformed."""
    raw = unb64(text)
    if len(raw) == 32:
        return raw
    # Without its blanks, as each writer breaks and ends lines in its own way.
    for blank in (b"\r", b"\n", b" "):
        raw = raw.replace(blank, b"")
    if not raw.startswith(_PEM_BEGIN) or not raw.endswith(_PEM_END):
        raise Malformed("not a public key")
    try:
        der = unb64(str(raw[len(_PEM_BEGIN) : -len(_PEM_END)], "utf-8"))
    except UnicodeError:
        raise Malformed("not a public key")
    if len(der) != 44 or der[:12] != _SPKI_PREFIX:
        raise Malformed("not an Ed25519 public key")
    return der[12:]


def hex_text(raw):
    return binascii.hexlify(raw).decode()


def sha256_hex(crypto, data):
    digest = crypto.sha256()
    digest.update(data)
    return hex_text(digest.digest())


def key_id(crypto, public):
    """KID: the first 8 hex digits of SHA-256 of the raw key (PROTOCOL section 2)."""
    return sha256_hex(crypto, public)[:8]


def command_prefix(crypto, d1):
    """What every command id of this device begins with, before its dash (CMD1)."""
    return sha256_hex(crypto, d1.encode())[:16]


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


def _only(row, keys):
    return {key: row[key] for key in keys if key in row}


def sign_command(crypto, seed, row):
    row["SIG_SERV"] = sign_pieces(crypto, seed, Canonical(_only(row, tokens.COMMAND_SIGNED)))


def verify_command(crypto, public, row):
    for key in tokens.COMMAND_REQUIRED:
        if key not in row:
            raise BadSignature("a command without " + key)
    signed = Canonical(_only(row, tokens.COMMAND_SIGNED))
    verify_pieces(crypto, public, signed, row.get("SIG_SERV", ""))


_RELEASE_SIGNED = ("FW1", "FW2", "FW4", "FW5")


def _release_pieces(release):
    for key in _RELEASE_SIGNED:
        if key not in release:
            raise BadSignature("a release without " + key)
    return Canonical(_only(release, _RELEASE_SIGNED))


def sign_release(crypto, seed, release):
    return sign_pieces(crypto, seed, _release_pieces(release))


def verify_release(crypto, public, release):
    verify_pieces(crypto, public, _release_pieces(release), release.get("FW_SIG", ""))


def sign_text(crypto, seed, text):
    return sign_pieces(crypto, seed, (text.encode(),))


def verify_text(crypto, public, text, signature):
    verify_pieces(crypto, public, (text.encode(),), signature)


def manifest_text(crypto, manifest_bytes):
    return manifest_hash_text(sha256_hex(crypto, manifest_bytes))


def manifest_hash_text(manifest_hash):
    return "KS-MANIFEST-1|" + manifest_hash


def admin_text(row, d1):
    """What each administrator signs: the command and the one device it is for."""
    signed = _only(row, ("CMD1", "CMD2", "CMD3", "CMD5"))
    signed["D1"] = d1
    return "KS-ADMIN-1|" + canonical(signed).decode()


def link_text(seq, key_text):
    """What the previous server key signs of its successor; `seq` is the successor's number."""
    return "KS-LINK-1|SEQ:%d|KEY:%s" % (seq, key_text)


def proof_text(d1, public_text, challenge_hex, nonce_hex):
    return "|".join(("KS-PROOF-1", d1, public_text, challenge_hex, nonce_hex))


def trust_text(role, key_text):
    """What a release key signs to let another key into the role `release`."""
    return "KS-TRUST-1|KEY:%s|ROLE:%s" % (key_text, role)


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

"""The contexts of signatures other than a message's own (PROTOCOL section 2).

`crypto` is the crypto port everywhere: public_key, sign, verify, sha256.
"""

from . import tokens
from .envelope import (
    LINES,
    TOON,
    b64,
    compose,
    hex_text,
    key_id,
    parse,
    request_digest,
    sha256_hex,
    sign_message,
    sign_pieces,
    unb64,
    verify_message,
    verify_pieces,
)
from .errors import BadSignature, Malformed
from .message import Canonical, canonical

# With what a message's own signature takes: who signs finds all of it here.
__all__ = (
    "LINES",
    "TOON",
    "admin_text",
    "b64",
    "command_prefix",
    "compose",
    "decode_public_key",
    "hex_text",
    "key_id",
    "link_text",
    "manifest_hash_text",
    "manifest_text",
    "parse",
    "proof_text",
    "request_digest",
    "sha256_hex",
    "sign_command",
    "sign_message",
    "sign_pieces",
    "sign_release",
    "sign_text",
    "trust_text",
    "unb64",
    "verify_command",
    "verify_message",
    "verify_pieces",
    "verify_release",
    "verify_text",
)

_PEM_BEGIN = b"-----BEGINPUBLICKEY-----"
_PEM_END = b"-----ENDPUBLICKEY-----"
# RFC 8410 section 4: SubjectPublicKeyInfo of an Ed25519 key is this prefix and the 32 raw bytes.
_SPKI_PREFIX = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"


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


def command_prefix(crypto, d1):
    """What every command id of this device begins with, before its dash (CMD1)."""
    return sha256_hex(crypto, d1.encode())[:16]


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

"""The head of a release's bundle, and its manifest.

    bundle = head (128 bytes) + manifest + the files' bytes in the manifest's order
    head   = `KS-BUNDLE-1 LEN:<manifest bytes> SIG:<release signature>`, spaces, LF

The manifest is a TOON record; its release signature covers signing.manifest_text.
"""

from . import signing, tokens, toon
from .errors import Malformed

HEAD_BYTES = 128
MANIFEST_MAX_BYTES = 8192
MAX_FILES = 96
APPLICATION = "application"

_MAGIC = "KS-BUNDLE-1 LEN:"
_SIGNATURE = " SIG:"
_IDENTIFIER = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"
_PATH = _IDENTIFIER + "_./"
_REQUIRED = ("KIND", "FW1", "FW2", "COUNTER", "BUILT", "EXPIRES", "TYPES", "FILE")
RESERVED = ("manifest.toon", "manifest.sig")


def make_head(manifest_bytes, signature):
    head = "%s%d%s%s" % (_MAGIC, len(manifest_bytes), _SIGNATURE, signature)
    return (head + " " * (HEAD_BYTES - 1 - len(head)) + "\n").encode()


def parse_head(head):
    """(manifest length in bytes, base64 signature). Raises Malformed."""
    try:
        text = bytes(head).decode()
    except UnicodeError:
        raise Malformed("not a bundle")
    if len(head) != HEAD_BYTES or not text.startswith(_MAGIC) or text[-1] != "\n":
        raise Malformed("not a bundle")
    length, found, signature = text[len(_MAGIC) : -1].partition(_SIGNATURE)
    signature = signature.rstrip(" ")
    if not found or not tokens.is_integer(length) or not 0 < int(length) <= MANIFEST_MAX_BYTES:
        raise Malformed("bad manifest length")
    signing.unb64(signature, 64)
    return int(length), signature


def parse_manifest(data):
    """The manifest, with everything in it of the right form. Raises Malformed."""
    manifest = toon.decode(data, MANIFEST_MAX_BYTES, max_tokens=1024, max_rows=MAX_FILES)
    for key in _REQUIRED:
        if key not in manifest:
            raise Malformed("a manifest without " + key)
    for key, value in manifest.items():
        if key == "FILE":
            if isinstance(value, str):
                raise Malformed("FILE is a list")
        elif not isinstance(value, str):
            raise Malformed(key + " is not a list")
        else:
            tokens.check_value(key, value)
    version(manifest["FW2"])
    if int(manifest["COUNTER"]) < 0:
        raise Malformed("a negative counter")
    paths = set()
    for row in manifest["FILE"]:
        _check_file(row)
        if row["PATH"] in paths:
            raise Malformed("a file twice")
        paths.add(row["PATH"])
    for path in paths:
        folder = path
        while "/" in folder:
            folder = folder[: folder.rfind("/")]
            if folder in paths:
                raise Malformed("a file that is a folder")
    return manifest


def _check_file(row):
    if len(row) != 3:
        raise Malformed("a file has PATH, SHA256 and SIZE")
    path = row.get("PATH", "")
    if not 1 <= len(path) <= 96 or path.strip(_PATH) or path in RESERVED:
        raise Malformed("bad path of a file")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise Malformed("bad path of a file")
    tokens.check_value("FW4", row.get("SHA256", ""))
    size = row.get("SIZE", "")
    if not tokens.is_integer(size) or int(size) < 0:
        raise Malformed("bad size of a file")


def total_bytes(manifest, manifest_length):
    """The size that a bundle with this manifest must have: FW5."""
    return HEAD_BYTES + manifest_length + sum([int(row["SIZE"]) for row in manifest["FILE"]])


def version(text):
    """A semver version as a key for comparing (semver.org, section 11). Raises Malformed."""
    text, plus, build = text.partition("+")
    if plus:
        _identifiers(build)
    numbers, dash, before = text.partition("-")
    parts = numbers.split(".")
    if len(parts) != 3:
        raise Malformed("not a version")
    key = [_number(part) for part in parts]
    if not dash:
        return (key, 1, [])
    tail = []
    for part in _identifiers(before):
        if part.strip("0123456789"):
            tail.append((1, 0, part))
        else:
            tail.append((0, _number(part), ""))
    return (key, 0, tail)


def _identifiers(text):
    parts = text.split(".")
    for part in parts:
        if not part or part.strip(_IDENTIFIER):
            raise Malformed("not a version")
    return parts


def _number(text):
    if not tokens.is_integer(text) or text[0] == "-":
        raise Malformed("not a version")
    return int(text)

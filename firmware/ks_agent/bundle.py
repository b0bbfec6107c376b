"""The head of a release's bundle, and its manifest.

    bundle = head (128 bytes) + manifest + the files' bytes, as packed, in the manifest's order
    head   = `KS-BUNDLE-1 LEN:<manifest bytes> SIG:<release signature>`, spaces, LF

The manifest is a TOON record; its release signature covers signing.manifest_text. A row of FILE
has PATH, SHA256 and SIZE of the file, and where files are packed, PACKED: its bytes in the bundle.
Fewer than SIZE are raw deflate with a window of 2^WBITS bytes, as many are the file itself.
"""

from . import envelope, tokens, toon, utf8
from .errors import Malformed

HEAD_BYTES = 128
MANIFEST_MAX_BYTES = 12288
MAX_FILES = 112
# Kinds of releases that a terminal installs.
APPLICATION = "application"
IMAGE = "image"

_MAGIC = "KS-BUNDLE-1 LEN:"
_SIGNATURE = " SIG:"
_IDENTIFIER = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"
_PATH = _IDENTIFIER + "_./"
_REQUIRED = ("KIND", "FW1", "FW2", "COUNTER", "BUILT", "EXPIRES", "TYPES")
_TABLE = b"FILE["
# What stage 0 reads, to the letter: its TABLES.
_COLUMNS = b"]{PATH,SHA256,SIZE}:"
_WITH_PACKED = b"]{PATH,SHA256,SIZE,PACKED}:"
_CELLS = ("PATH", "SHA256", "SIZE", "PACKED")
_INTEGERS = {"COUNTER": (0, 1 << 50), "STAGE0": (1, 99), "WBITS": (8, 12)}
_VERSIONS = ("FW2", "IMAGE_MIN", "IMAGE_MAX", "IMAGE")
RESERVED = ("manifest.toon", "manifest.sig")
# Where a slot's manifest is, in its folder.
MANIFEST = "/manifest.toon"
PIECE_BYTES = 256


OTHER = {"a": "b", "b": "a"}


def folder(slot):
    return "slot_" + slot


def inactive(partition):
    """The slot that updates go to; in recovery, which runs from none, there are two of them."""
    return OTHER.get(partition.running, "a")


def pieces_of(fs, path):
    with fs.open(path, "rb") as file:
        while True:
            piece = file.read(PIECE_BYTES)
            if not piece:
                return
            yield piece


def digest_of(fs, crypto, path):
    """Hex SHA-256 of a file. Raises OSError where there is none."""
    digest = crypto.sha256()
    for piece in pieces_of(fs, path):
        digest.update(piece)
    return envelope.hex_text(digest.digest())


def make_head(manifest, signature):
    return head_of(len(manifest), signature)


def head_of(manifest_bytes, signature):
    """The one head for a manifest of so many bytes."""
    head = "%s%d%s%s" % (_MAGIC, manifest_bytes, _SIGNATURE, signature)
    return (head + " " * (HEAD_BYTES - 1 - len(head)) + "\n").encode()


def parse_head(head):
    """(manifest length in bytes, base64 signature). Raises Malformed."""
    try:
        text = bytes(head).decode()
    except UnicodeError:
        raise Malformed("not a bundle")
    if len(head) != HEAD_BYTES or not text.startswith(_MAGIC) or text[-1:] != "\n":
        raise Malformed("not a bundle")
    length, found, signature = text[len(_MAGIC) : -1].partition(_SIGNATURE)
    signature = signature.rstrip(" ")
    if not found or not tokens.is_integer(length) or not 0 < int(length) <= MANIFEST_MAX_BYTES:
        raise Malformed("bad manifest length")
    envelope.unb64(signature, 64)
    return int(length), signature


class Manifest:
    """A manifest read line by line: the whole of it would fill a terminal's memory.

    `lines()` gives its lines as bytes, from the start each time. `manifest[key]` is one of its
    texts. Raises Malformed for anything of the wrong form, a row's form when it is read.
    """

    def __init__(self, lines):
        self._lines = lines
        self._columns = b""
        self.packed = False
        self._count = 0
        around = []
        left = 0
        for line in lines():
            if left:
                left -= 1
            elif line.startswith(_TABLE) and not self._columns:
                left = self._begin_table(line)
            else:
                around.append(line)
        if left or not self._columns:
            raise Malformed("a manifest without all of FILE")
        self._fields = toon.decode(b"\n".join(around), MANIFEST_MAX_BYTES)
        self._check_fields()

    def _begin_table(self, line):
        end = line.find(b"]")
        try:
            count = line[len(_TABLE) : end].decode()
        except UnicodeError:  # a damaged one, of a slot that does not run
            raise Malformed("a bad number of files")
        if not tokens.is_integer(count) or not 0 <= int(count) <= MAX_FILES:
            raise Malformed("a bad number of files")
        self._count = int(count)
        self._columns = line[end:]
        self.packed = self._columns == _WITH_PACKED
        if not self.packed and self._columns != _COLUMNS:
            raise Malformed("other columns of FILE than stage 0 reads")
        return self._count

    def _check_fields(self):
        for key in _REQUIRED:
            if key not in self._fields:
                raise Malformed("a manifest without " + key)
        for key, value in self._fields.items():
            if not isinstance(value, str):
                raise Malformed(key + " is not a list")
            tokens.check_value(key, value)
        for key, (least, most) in _INTEGERS.items():
            text = self._fields.get(key, str(least))
            if not tokens.is_integer(text) or not least <= int(text) <= most:
                raise Malformed("bad " + key)
        for key in _VERSIONS:
            if key in self._fields:
                version(self._fields[key])
        if ("WBITS" in self._fields) != self.packed:
            raise Malformed("WBITS and PACKED belong together")

    def __getitem__(self, key):
        return self._fields[key]

    def get(self, key, default=None):
        return self._fields.get(key, default)

    def fields(self):
        return dict(self._fields)

    def files(self):
        """The rows of FILE, in the order of their paths; so none is there twice, or in a file."""
        left = -1
        before = [""]  # the last path, after those that it goes on from
        for line in self._lines():
            if left < 0:
                if line.startswith(_TABLE):
                    left = self._count
                continue
            if not left:
                return
            left -= 1
            row = self._row(line)
            _check_file(row)
            _check_order(row["PATH"], before)
            yield row

    def _row(self, line):
        """Read as stage 0 reads it: what is in a row needs no escapes, and TOON's reader room."""
        try:
            cells = line.decode().split(",")
        except UnicodeError:
            raise Malformed("a bad row of a file")
        if cells[0][:2] != "  " or len(cells) != self._columns.count(b",") + 1:
            raise Malformed("a bad row of a file")
        cells[0] = cells[0][2:]
        return dict(zip(_CELLS, [_cell(text) for text in cells]))

    def bundle_bytes(self, manifest_bytes):
        """The size that a bundle with this manifest must have: FW5."""
        return HEAD_BYTES + manifest_bytes + sum(packed_bytes(row) for row in self.files())

    def slot_bytes(self):
        """What its files take when they are unpacked."""
        return sum(int(row["SIZE"]) for row in self.files())


def _cell(text):
    if text == "null":
        raise Malformed("a row of a file with an empty cell")
    return text[1:-1] if len(text) > 1 and text[:1] == text[-1:] == '"' else text


def packed_bytes(row):
    """What a file takes in the bundle."""
    return int(row.get("PACKED", row["SIZE"]))


def read_manifest(fs, path):
    """The Manifest in a file. Raises Malformed, and OSError where there is none."""
    if fs.stat(path) > MANIFEST_MAX_BYTES:
        raise Malformed("a manifest that is too long")

    def lines():
        with fs.open(path, "rb") as file:
            while True:
                line = file.readline()
                if not line:
                    return
                yield line.rstrip(b"\n")

    return Manifest(lines)


def parse_manifest(data):
    """The whole manifest as a message. Raises Malformed."""
    if len(data) > MANIFEST_MAX_BYTES:
        raise Malformed("a manifest that is too long")
    utf8.check(data)
    manifest = Manifest(lambda: iter(bytes(data).split(b"\n")))
    message = manifest.fields()
    message["FILE"] = list(manifest.files())
    return message


def _check_file(row):
    path = row["PATH"]
    if not 1 <= len(path) <= 96 or path.strip(_PATH) or path[:1] == ".":
        raise Malformed("bad path of a file")
    if path.partition("/")[0] in RESERVED:
        raise Malformed("bad path of a file")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise Malformed("bad path of a file")
    tokens.check_value("FW4", row["SHA256"])
    size = row["SIZE"]
    stored = row.get("PACKED", size)
    for text in (size, stored):
        if not tokens.is_integer(text) or text[:1] == "-":
            raise Malformed("bad size of a file")
    if not min(int(size), 1) <= int(stored) <= int(size):
        raise Malformed("bad size of a packed file")


def _check_order(path, before):
    """`before` ends in the last path; what stays of it are the paths that this one goes on from."""
    if path <= before[-1]:
        raise Malformed("files out of order")
    while not path.startswith(before[-1]):
        before.pop()
    for earlier in before:
        if earlier and path[len(earlier) :].startswith("/"):
            raise Malformed("a file that is a folder")
    before.append(path)


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
    if not tokens.is_integer(text) or text[:1] == "-":
        raise Malformed("not a version")
    return int(text)

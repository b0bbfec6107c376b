"""Stage 0: picks the application slot and checks its files. Never updated over the air.

Signatures were checked when a slot was installed. Here the manifest must have the hash in the boot
record, and the files those in the manifest. Imports nothing of what it judges.
"""

import binascii
import hashlib
import os
import sys

RECORD = "data/state/boot.toon"
MAX_TRIES, MAX_BYTES = 3, 12288
PATH = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-"
TABLE = "FILE[%d]{PATH,SHA256,SIZE}:"
OTHER = {"a": "b", "b": "a"}


class Refused(Exception):
    """A record, manifest or file that must not be used; the text says why."""


def choose(fs, sha256):
    """The slot to start, "a" or "b"; SystemExit with a line for a person when none is good.

    `fs` is the agent's port, `sha256` makes a hash object. A try is on flash before it begins.
    """
    record = read_record(fs)
    if record is None:
        return first_good(fs, sha256, [("a", None), ("b", None)])[0]
    given = (record["SLOT"], record["MANIFEST"])
    candidates = [given, (OTHER[given[0]], record.get("PREVIOUS_MANIFEST"))]
    on_trial = record.get("TRIAL") == "true"
    given_up = on_trial and int(record["TRIES"]) >= MAX_TRIES
    if given_up:
        candidates.reverse()
    found = first_good(fs, sha256, candidates)
    if found != given:
        gone = {"ROLLED_BACK": given[1], "REASON": "crash" if given_up else "damaged"}
        write_record(fs, dict(gone, SLOT=found[0], MANIFEST=found[1]))
    elif on_trial and not given_up:
        write_record(fs, dict(record, TRIES=str(int(record["TRIES"]) + 1)))
    return found[0]


def first_good(fs, sha256, candidates):
    """The first of the (slot, manifest hash or None) that can be started, with its hash."""
    problems = []
    for slot, manifest_hash in candidates:
        try:
            return slot, verify(fs, sha256, slot, manifest_hash)
        except (Refused, OSError) as reason:
            problems.append("slot %s: %s" % (slot, reason))
            print("stage 0:", problems[-1])
    raise SystemExit("stage 0: no slot can be started (" + "; ".join(problems) + ")")


def verify(fs, sha256, slot, manifest_hash):
    """The hash of the slot's manifest, once everything matches. Raises Refused or OSError."""
    folder = "slot_" + slot + "/"
    found = hash_file(fs, sha256, folder + "manifest.toon")
    if found != (manifest_hash or found):
        raise Refused("another manifest than the boot record's")
    manifest, files = parse(read(fs, folder + "manifest.toon"))
    if manifest.get("KIND") != "application" or "main.py" not in files:
        raise Refused("not the manifest of an application")
    for name in files:
        size = str(fs.stat(folder + name))
        if (hash_file(fs, sha256, folder + name), size) != files[name]:
            raise Refused(name + " is not what the manifest says")
    return found


def hash_file(fs, sha256, path):
    hasher = sha256()
    with fs.open(path, "rb") as file:
        while piece := file.read(1024):
            hasher.update(piece)
    return binascii.hexlify(hasher.digest()).decode()


def read(fs, path):
    with fs.open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Refused(path + " is too large")
    return data


def read_record(fs):
    """The boot record, or None at the first boot and where what it said is lost."""
    try:
        data = read(fs, RECORD)
        if data[-17:] != trailer(data[:-17]):
            raise Refused("the checksum is wrong")
        record, _ = parse(data[:-17])
        tries = record.setdefault("TRIES", "0")
        if record.get("SLOT") not in OTHER or not is_hash(record.get("MANIFEST")):
            raise Refused("bad slot or hash")
        if len(tries) != 1 or tries.strip("0123456789"):
            raise Refused("bad tries")
        return record
    except (Refused, OSError) as reason:
        print("stage 0: without a boot record:", reason)
        return None


def write_record(fs, record):
    """Old or new after any interruption: written beside, synced, renamed over."""
    data = "".join(['%s: "%s"\n' % (key, record[key]) for key in sorted(record)]).encode()
    with fs.open(RECORD + ".new", "wb") as file:
        file.write(data + trailer(data))
        fs.sync(file)
    fs.rename(RECORD + ".new", RECORD)


def trailer(data):
    return b"# crc32:%08x\n" % (binascii.crc32(data) & 0xFFFFFFFF)


def parse(data):
    """(scalars, files) of `KEY: value` lines and the table FILE: path -> (hash, size)."""
    text = data.replace(b"\n", b" ") + b" "
    if min(text) < 32 or max(text) > 126:
        raise Refused("a byte that is not for records")
    scalars, files, header = {}, {}, None
    for line in data.decode().rstrip("\n").split("\n"):
        if line[:2] == "  " and header:
            files.update([file_row(line[2:])])
        elif line[:5] == "FILE[" and not header:
            header = line
        else:
            name, found, value = line.partition(": ")
            if not found or name in scalars:
                raise Refused("bad line")
            scalars[name] = unquote(value)
    if header and header != TABLE % len(files):
        raise Refused("bad table of files, or one twice")
    return scalars, files


def file_row(row):
    cells = [unquote(cell) for cell in row.split(",")]
    strays = [part for part in cells[0].split("/") if part in ("", ".", "..")]
    if len(cells) != 3 or strays or cells[0].strip(PATH) or not is_hash(cells[1]):
        raise Refused("bad row")
    return cells[0], (cells[1], cells[2])


def unquote(text):
    if text[:1] == '"' and text[-1:] == '"':
        text = text[1:-1]
    if not text or '"' in text or "\\" in text:
        raise Refused("bad value")
    return text


def is_hash(text):
    return text is not None and len(text) == 64 and not text.strip("0123456789abcdef")


class Disk:
    """The little of the agent's `fs` port that is used here, in the working folder."""

    open = staticmethod(open)
    rename = staticmethod(getattr(os, "replace", os.rename))

    def stat(self, path):
        return os.stat(path)[6]

    def sync(self, file):
        file.flush()  # which is all of it on MicroPython
        if hasattr(os, "fsync"):
            os.fsync(file.fileno())


def enter(root):
    """The slot to start in the folder `root`, which is the working folder from here on, with the
    slot first in the module path; None when there is none, and a line has said why.
    """
    os.chdir(root)
    try:
        slot = choose(Disk(), hashlib.sha256)
    except SystemExit as problem:
        print(problem, file=sys.stderr)
        return None
    if hasattr(sys, "dont_write_bytecode"):
        sys.dont_write_bytecode = True  # a slot holds what its manifest names
    sys.path.insert(0, "slot_" + slot)
    return slot

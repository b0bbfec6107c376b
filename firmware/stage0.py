"""Stage 0: picks the slot and checks its files, whose signatures were checked at installation."""

import hashlib
import os
import sys
from binascii import crc32, hexlify

VERSION, OTHER = 1, {"a": "b", "b": "a"}
RECORD = "data/state/boot.toon"
MAX_CRASHES, MAX_RESETS, MAX_BYTES = 3, 10, 12288
TABLES = ("FILE[%d]{PATH,SHA256,SIZE}:", "FILE[%d]{PATH,SHA256,SIZE,PACKED}:")


def choose(fs, sha256):
    """The slot to start, "a" or "b"; SystemExit with a line for a person when none is good."""
    record = read_record(fs)
    if record is None:
        return first_good(fs, sha256, [("a", None), ("b", None)])[0]
    given, reason = (record["SLOT"], record["MANIFEST"]), "damaged"
    candidates = [given, (OTHER[given[0]], record.get("PREVIOUS_MANIFEST"))]
    on_trial = record.get("TRIAL") == "true"
    if "ROLLED_BACK" in record:
        candidates.pop()  # rather recovery than what was given up
    if on_trial and int(record["CRASHES"]) >= MAX_CRASHES:
        reason, candidates = "crash", candidates[1:]  # rather recovery than what always crashes
    elif on_trial and int(record["RESETS"]) >= MAX_RESETS:
        reason, candidates = "resets", candidates[::-1]
    found = first_good(fs, sha256, candidates)
    if found != given:
        gone = {"ROLLED_BACK": given[1], "REASON": reason, "CRASH": record.get("CRASH", "-")}
        write_record(fs, dict(gone, SLOT=found[0], MANIFEST=found[1]))
    elif on_trial and reason == "damaged":  # a start that a reset ends, until `crashed` is called
        write_record(fs, dict(record, RESETS=str(int(record["RESETS"]) + 1)))
    return found[0]


def crashed(fs, error=""):
    """The start on trial that this exception has just ended was not ended by a reset."""
    record = read_record(fs)
    if record and record.get("TRIAL") == "true" and int(record["RESETS"]):
        text = "".join([c for c in repr(error) if " " <= c <= "~" and c not in '"\\'])
        counts = {"CRASHES": int(record["CRASHES"]) + 1, "RESETS": int(record["RESETS"]) - 1}
        write_record(fs, dict(dict(record, CRASH=text[:90]), **counts))


def first_good(fs, sha256, candidates):
    """The first of the (slot, manifest hash or None) that can be started, with its hash."""
    said = ""
    for slot, manifest_hash in candidates:
        try:
            return slot, verify(fs, sha256, slot, manifest_hash)
        except (ValueError, OSError) as reason:
            said += "slot %s: %s; " % (slot, reason)
            print("stage 0:", said)
    raise SystemExit("stage 0: no slot can be started: " + said)


def verify(fs, sha256, slot, manifest_hash):
    """The hash of the slot's manifest, once all matches. Raises ValueError or OSError."""
    folder = "slot_" + slot + "/"
    with fs.open(folder + "manifest.toon", "rb") as file:
        data = file.read(MAX_BYTES)
    found = hexlify(sha256(data).digest()).decode()
    if found != (manifest_hash or found):
        raise ValueError("another manifest than the boot record's")
    manifest, files = parse(data)
    if manifest.get("KIND") != "application" or "main.py" not in files:
        raise ValueError("not the manifest of an application")
    for name in files:
        hasher, size = sha256(), 0
        with fs.open(folder + name, "rb") as file:
            while piece := file.read(1024):
                hasher.update(piece)
                size += len(piece)
        if [hexlify(hasher.digest()).decode(), str(size)] != files[name]:
            raise ValueError(name + " is not what the manifest says")
    return found


def read_record(fs):
    """The boot record, or None at the first boot and where what it said is lost."""
    try:
        with fs.open(RECORD, "rb") as file:
            data = file.read(MAX_BYTES)
        record, _ = parse(data[:-17])
        counts = record.setdefault("CRASHES", "0") + record.setdefault("RESETS", "0")
        if data[-17:] != trailer(data[:-17]) or record.get("SLOT") not in OTHER:
            raise ValueError("bad checksum or slot")
        if len(record.get("MANIFEST", "")) != 64 or len(counts) > 4 or counts.strip("0123456789"):
            raise ValueError("bad hash or count")
        return record
    except (ValueError, OSError) as reason:
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
    return b"# crc32:%08x\n" % (crc32(data) & 0xFFFFFFFF)


def parse(data):
    """(scalars, files) of `KEY: value` lines and the table FILE: path -> [hash, size]."""
    if len(data) == MAX_BYTES or any((c < 32 and c != 10) or c > 126 for c in data):
        raise ValueError("too large, or a byte that is not for records")
    scalars, files, header = {}, {}, ""
    for line in data.decode().rstrip("\n").split("\n"):
        name, found, value = line.partition(": ")
        if line[:2] == "  " and header:
            cells = [unquote(cell) for cell in line[2:].split(",")]
            files[cells[0]] = cells[1:3] if len(cells) == header.count(",") + 1 else None
        elif line[:5] == "FILE[" and not header:
            header = line
        elif found and name not in scalars:
            scalars[name] = unquote(value)
        else:
            raise ValueError("bad line")
    if header and header not in [table % len(files) for table in TABLES]:
        raise ValueError("bad table of files")
    return scalars, files


def unquote(text):
    if text[:1] == '"' and text[-1:] == '"':
        text = text[1:-1]
    if not text or '"' in text or "\\" in text:
        raise ValueError("bad value")
    return text


class Disk:  # the little of the `fs` port that is used here, in the working folder
    open, rename = staticmethod(open), staticmethod(getattr(os, "replace", os.rename))

    def sync(self, file):
        file.flush()  # which is all of it on MicroPython
        if hasattr(os, "fsync"):
            os.fsync(file.fileno())


def enter():
    """The slot to start, first in the module path from here on, "" for recovery; our version."""
    len(sys.argv) > 1 and os.chdir(sys.argv[1])  # a chip: "data" is what is mounted
    if hasattr(sys, "dont_write_bytecode"):
        sys.dont_write_bytecode = True  # a slot holds what its manifest names
    slot = ""
    try:
        slot = choose(Disk(), hashlib.sha256)
    except SystemExit as problem:
        print(problem, file=sys.stderr)
    sys.path.insert(0, "slot_" + slot if slot else "recovery")
    return slot, VERSION


def status(slot, outcome):
    """The exit status after what the application in the slot returned or raised."""
    if not isinstance(outcome, BaseException):
        return 75 if outcome == "restart" else 0
    (getattr(sys, "print_exception", None) or __import__("traceback").print_exception)(outcome)
    try:
        if slot:
            crashed(Disk(), outcome)
    finally:
        return 1 if slot else 78  # noqa: B012 -- whatever the flash says

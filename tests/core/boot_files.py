"""Slots in memory for the tests of stage 0; runs on both interpreters."""

import binascii
import hashlib

import stage0

FILES = {"main.py": b"def main(root, slot, stage0): pass\n", "ks_agent/toon.py": b"x = 1\n" * 400}


class Reader:
    def __init__(self, data):
        self._data = data
        self._place = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def read(self, count):
        piece = self._data[self._place : self._place + count]
        self._place += len(piece)
        return piece


class Writer:
    def __init__(self, fs, path):
        self._fs = fs
        self._path = path
        fs.files[path] = b""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def write(self, data):
        self._fs.step()
        self._fs.files[self._path] += data


class PowerCut(Exception):
    pass


class Files:
    """The part of the `fs` port that stage 0 uses; `power` is the number of writes left to do."""

    def __init__(self):
        self.files = {}
        self.power = 1000

    def step(self):
        if not self.power:
            raise PowerCut
        self.power -= 1

    def open(self, path, mode):
        if mode == "wb":
            self.step()
            return Writer(self, path)
        if path not in self.files:
            raise OSError(2)
        return Reader(self.files[path])

    def sync(self, file):
        self.step()

    def rename(self, old, new):
        self.step()
        self.files[new] = self.files.pop(old)


def hexdigest(data):
    return binascii.hexlify(hashlib.sha256(data).digest()).decode()


def manifest_of(files, version="1.0.0"):
    lines = ['BUILT: "2026-11-20T10:00:00.000Z"', "COUNTER: 7"]
    lines.append("FILE[%d]{PATH,SHA256,SIZE}:" % len(files))
    for path in sorted(files):
        lines.append("  %s,%s,%d" % (path, hexdigest(files[path]), len(files[path])))
    lines += ["FW1: app-" + version, "FW2: " + version, "KIND: application"]
    return "\n".join(lines).encode()


def install(fs, slot, version="1.0.0", files=FILES):
    """Fill a slot; the hash of its manifest."""
    manifest = manifest_of(files, version)
    for path in files:
        fs.files["slot_" + slot + "/" + path] = files[path]
    fs.files["slot_" + slot + "/manifest.toon"] = manifest
    return hexdigest(manifest)


def write(fs, **record):
    stage0.write_record(fs, record)


def choose(fs):
    return stage0.choose(fs, hashlib.sha256)


def both():
    """Two good slots: (fs, hash of a, hash of b)."""
    fs = Files()
    return fs, install(fs, "a"), install(fs, "b", "2.0.0")


def trial(fs, hash_a, hash_b, crashes, resets=0):
    write(
        fs,
        SLOT="b",
        MANIFEST=hash_b,
        TRIAL="true",
        CRASHES=str(crashes),
        RESETS=str(resets),
        PREVIOUS="a",
        PREVIOUS_MANIFEST=hash_a,
    )

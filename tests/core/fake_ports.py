"""The seven ports in memory, for the core's own tests."""

import hashlib
import io

from ks_driver.inflate import Inflater

NOW_MS = 1795000000000
BUILD_MS = NOW_MS - 400 * 86400000
SHOWN_KEPT = 20


class QuickCrypto:
    """Signatures that are hashes, so that thousands are made in a moment: the logic around them is
    under test here, the real ones are elsewhere. Anybody could forge these.
    """

    def public_key(self, seed):
        return self._hash(b"public", (seed,))

    def sign(self, seed, pieces):
        return self._signature(self.public_key(seed), pieces)

    def verify(self, public, pieces, signature):
        return signature == self._signature(public, pieces)

    def sha256(self):
        return hashlib.sha256()

    def prepare(self, public):
        return True

    def make_room(self):
        pass

    def forget(self):
        pass

    def _signature(self, public, pieces):
        return self._hash(b"1" + public, pieces) + self._hash(b"2" + public, pieces)

    def _hash(self, context, pieces):
        digest = hashlib.sha256(context)
        for piece in pieces:
            digest.update(piece)
        return digest.digest()


CRYPTO = QuickCrypto()


class Clock:
    build_ms = BUILD_MS

    def __init__(self):
        self.ticks = 0

    def ticks_ms(self):
        return self.ticks


class Rng:
    """Not random at all: a counter, hashed."""

    def __init__(self, seed=b"rng"):
        self._seed = seed
        self._count = 0
        self.ready = True

    def is_ready(self):
        return self.ready

    def random_bytes(self, count):
        out = b""
        while len(out) < count:
            self._count += 1
            digest = CRYPTO.sha256()
            digest.update(self._seed + str(self._count).encode())
            out += digest.digest()
        return out[:count]


class File:
    def __init__(self, fs, path, data, writing):
        self._fs = fs
        self._path = path
        self._data = data
        self._writing = writing
        self._position = 0

    def read(self, count=-1):
        end = len(self._data) if count < 0 else self._position + count
        piece = bytes(self._data[self._position : end])
        self._position += len(piece)
        return piece

    def readinto(self, buffer):
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def seek(self, position):
        self._position = position

    def readline(self):
        end = self._data.find(b"\n", self._position) + 1
        return self.read(end - self._position if end else -1)

    def write(self, data):
        end = self._position + len(data)
        if self._position == len(self._data):
            self._data.extend(data)
        else:
            self._data[self._position : end] = data
        self._position = end
        return len(data)

    def save(self):
        if self._writing:
            self._fs.files[self._path] = bytes(self._data)

    def close(self):
        self.save()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class PowerCut(BaseException):
    """Nothing that runs on a terminal notices it."""


class Fs:
    """Files in a dict. `operations_left` counts changes down to a power cut."""

    def __init__(self):
        self.files = {}
        self.folders = {""}
        self.operations_left = -1
        self.total_bytes = 960 * 1024

    def room(self):
        """Total and free bytes; each file takes whole blocks."""
        used = 0
        for data in self.files.values():
            used += (len(data) + 4095) // 4096 * 4096
        return self.total_bytes, self.total_bytes - used

    def _change(self):
        if self.operations_left == 0:
            raise PowerCut()
        self.operations_left -= 1

    def open(self, path, mode):
        if mode == "rb":
            if path not in self.files:
                raise OSError(2)
            return File(self, path, self.files[path], False)
        if mode == "r+b":
            if path not in self.files:
                raise OSError(2)
            return File(self, path, bytearray(self.files[path]), True)
        if mode == "ab":
            if path not in self.files:
                self._change()
                self.files[path] = b""
            file = File(self, path, bytearray(self.files[path]), True)
            file.seek(len(self.files[path]))
            return file
        self._change()
        self.files[path] = b""
        return File(self, path, bytearray(), True)

    def sync(self, file):
        self._change()
        file.save()

    def rename(self, before, after):
        self._change()
        self.files[after] = self.files.pop(before)

    def remove(self, path):
        if path not in self.files:
            raise OSError(2)
        self._change()
        del self.files[path]

    def rmdir(self, path):
        self._change()
        self.folders.discard(path)

    def mkdir(self, path):
        self._change()
        self.folders.add(path)

    def is_dir(self, path):
        return path in self.folders

    def stat(self, path):
        if path not in self.files:
            raise OSError(2)
        return len(self.files[path])

    def listdir(self, path):
        if path not in self.folders:
            raise OSError(2)
        prefix = path + "/"
        names = set()
        for name in list(self.files) + list(self.folders):
            if name.startswith(prefix):
                names.add(name[len(prefix) :].split("/")[0])
        return sorted(names)


class Vault:
    def __init__(self, fs):
        self._fs = fs
        self.values = {}

    def get(self, name):
        return self.values.get(name)

    def set(self, name, value):
        self._fs._change()
        self.values[name] = bytes(value)

    def erase(self, name):
        if name in self.values:
            self._fs._change()
            del self.values[name]


class Partition:
    running = "a"
    images = None
    stage0 = 1


class Board:
    name = None
    free_bytes = None
    reads = True

    def __init__(self):
        self.shown = []
        self.counts = {}

    def temperature_c(self):
        return "41.5"

    def memory_used_bytes(self):
        return 81920

    def memory_free_bytes(self):
        return self.free_bytes

    def reader_ok(self):
        return self.reads

    def inflate(self, file, window_bits):
        # MicroPython's reads from its own kind of file only.
        return Inflater(io.BytesIO(file.read()), window_bits)

    def unload(self, names):
        pass

    def show(self, event, detail):
        self.counts[event] = self.counts.get(event, 0) + 1
        self.shown = self.shown[-SHOWN_KEPT:] + [(event, detail)]

    def events(self):
        return [event for event, _ in self.shown]

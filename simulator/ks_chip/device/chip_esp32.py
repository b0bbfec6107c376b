"""`esp32` of MicroPython's ESP32 port, as far as terminals use it, on the CHIP of start.py.

NVS lies in the partition of the flash file in a form of its own: two copies, each with its number
and a checksum, of which the newer whole one counts. It goes with the flash, and with it alone.
"""

import binascii

chip = CHIP
BLOCK_BYTES = 4096
NOT_FOUND = -0x1102
NO_PARTITION, INVALID_SIZE, VALIDATE_FAILED = -0x105, -0x104, -0x1503
MAGIC = b"KSNV"
HEAD_BYTES = 16


HEAP_DATA, HEAP_EXEC = 4, 1


def idf_heap_info(capabilities):
    """Region by region: (total, free, largest free, least free ever)."""
    return [(300000, 90000, 60000, 50000)]


def mcu_temperature():
    return 41


def wake_on_ext0(pin=None, level=None):
    pass


class NVS:
    """What is set counts once it is committed, all of it or nothing."""

    def __init__(self, namespace):
        self._namespace = namespace
        self._found, self._number, self._copy = _newest()

    def get_blob(self, key, buffer):
        value = self._get("b", key)
        if len(value) > len(buffer):
            raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(value)] = value
        return len(value)

    def set_blob(self, key, value):
        self._set("b", key, bytes(value))

    def get_i32(self, key):
        return int(self._get("i", key).decode())

    def set_i32(self, key, value):
        self._set("i", key, str(value).encode())

    def erase_key(self, key):
        if self._found.pop(self._name(key), None) is None:
            raise OSError(NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")

    def commit(self):
        # Others may have written since: what is theirs stays.
        found, number, copy = _newest()
        mine = self._namespace + "/"
        merged = {name: found[name] for name in found if not name.startswith(mine)}
        merged.update({name: self._found[name] for name in self._found if name.startswith(mine)})
        self._found = merged
        if merged == found:
            return
        rows = [name + " " + binascii.hexlify(merged[name]).decode() for name in sorted(merged)]
        data = "\n".join(rows).encode()
        start, size = _partition()
        half = size // 2 // BLOCK_BYTES * BLOCK_BYTES
        if HEAD_BYTES + len(data) > half:
            raise OSError(-0x1105, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
        at = start + (1 - copy) * half
        chip.erase(at, -(-(HEAD_BYTES + len(data)) // BLOCK_BYTES) * BLOCK_BYTES)
        chip.program(at + HEAD_BYTES, data)
        head = MAGIC + (number + 1).to_bytes(4, "little") + len(data).to_bytes(4, "little")
        crc = binascii.crc32(data, binascii.crc32(head))
        chip.program(at, head + (crc & 0xFFFFFFFF).to_bytes(4, "little"))

    def _name(self, key):
        if not 0 < len(key) <= 15:
            raise OSError(-0x1109, "ESP_ERR_NVS_KEY_TOO_LONG")
        return self._namespace + "/" + key

    def _get(self, kind, key):
        value = self._found.get(self._name(key))
        if value is None or value[:1] != kind.encode():
            raise OSError(NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        return value[1:]

    def _set(self, kind, key, value):
        self._found[self._name(key)] = kind.encode() + value


def _partition():
    for kind, subtype, offset, size, _, _ in chip.partitions:
        if (kind, subtype) == (1, 2):
            return offset, size
    raise OSError(NO_PARTITION, "no nvs")


def _newest():
    """(contents, number, copy) of the newer whole copy; ({}, 0, 1) where there is none."""
    start, size = _partition()
    half = size // 2 // BLOCK_BYTES * BLOCK_BYTES
    best = ({}, 0, 1)
    for copy in (0, 1):
        head = bytearray(HEAD_BYTES)
        chip.read(start + copy * half, head)
        number = int.from_bytes(head[4:8], "little")
        length = int.from_bytes(head[8:12], "little")
        if head[:4] != MAGIC or number <= best[1] or length > half - HEAD_BYTES:
            continue
        data = bytearray(length)
        chip.read(start + copy * half + HEAD_BYTES, data)
        if binascii.crc32(data, binascii.crc32(head[:12])) == int.from_bytes(head[12:], "little"):
            rows = [row.split(" ") for row in data.decode().split("\n") if row]
            best = ({row[0]: binascii.unhexlify(row[1]) for row in rows}, number, copy)
    return best


class Partition:
    TYPE_APP, TYPE_DATA = 0, 1
    BOOT, RUNNING = 0, 1

    def __init__(self, which, block_size=BLOCK_BYTES):
        if which in (self.BOOT, self.RUNNING):
            which = chip.running if which == self.RUNNING else chip.booting()
        found = [row for row in chip.partitions if row[4] == which]
        if not found:
            raise OSError(2, "no partition")
        self._row = found[0]

    @staticmethod
    def find(type=0, subtype=0xFF, label=None, block_size=BLOCK_BYTES):
        return [
            Partition(row[4])
            for row in chip.partitions
            if row[0] == type and subtype in (0xFF, row[1]) and label in (None, row[4])
        ]

    def info(self):
        return self._row

    def readblocks(self, number, buffer, offset=0):
        chip.read(self._address(number * BLOCK_BYTES + offset, len(buffer)), buffer)

    def writeblocks(self, number, data, offset=None):
        at = self._address(number * BLOCK_BYTES + (offset or 0), len(data))
        if offset is None:
            chip.erase(at, -(-len(data) // BLOCK_BYTES) * BLOCK_BYTES)
        chip.program(at, data)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._row[3] // BLOCK_BYTES
        if operation == 5:
            return BLOCK_BYTES
        if operation == 6:
            chip.erase(self._address(argument * BLOCK_BYTES, BLOCK_BYTES))
        return 0

    def get_next_update(self):
        others = [row for row in chip.partitions if row[0] == 0 and row[1] & 0xF0 == 0x10]
        others = [row for row in others if row[4] != chip.running]
        if not others:
            raise OSError(2, "no partition")
        return Partition(others[0][4])

    def set_boot(self):
        from otaboot import set_boot

        set_boot(chip, self._row)

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        from otaboot import mark_valid

        mark_valid(chip)

    def _address(self, offset, size):
        if offset + size > self._row[3]:
            raise OSError(INVALID_SIZE, "past the end of the partition")
        return self._row[2] + offset

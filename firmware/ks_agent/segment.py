"""One segment of the journal: a header and the records after it (docs/architecture.md).

    header   "KSJ1"  JID, 8 bytes  SEQ before its first record, 4  PREV of that record, 8  CRC-32, 4
    record   flags   length of E1, and bit 7 for an anchor
             with an anchor: BOOT, UP as varints, A3 as 6 bytes of ms since 1970
             without:        UP since the record before, as a varint; BOOT and the clock's offset
                             are those of the record before
             E1, upper-case hex in half of its bytes
             the first 2 bytes of the punch's hash, which covers all punches before it

What a record leaves out follows from the one before it. The first record has an anchor.
"""

import binascii

from .punch import DIRECTIONS, METHODS, prev_of
from .timetext import format_ms

MAGIC = b"KSJ1"
HEADER_BYTES = 28
E1_MAX_BYTES = 64
TIME_BYTES = 6
# BOOT and UP are below these, whatever the flash says: the protocol could not write them.
BOOT_END = 1000000000
UP_END_MS = 1000000000000000
CHECK_BYTES = 2
# With two varints of 15 digits.
RECORD_MAX_BYTES = 2 + 8 + 8 + TIME_BYTES + E1_MAX_BYTES + CHECK_BYTES
SYNCED = 64
PACKED = 128
ANCHOR = 128


class Tail:
    """Where a journal stands after a punch, or at the head of a segment (`boot` is None)."""

    def __init__(self, jid, seq, prev, boot=None, up_ms=0, time_ms=0):
        self.jid = jid
        self.seq = seq
        self.prev = prev
        self.boot = boot
        self.up_ms = up_ms
        self.time_ms = time_ms

    def punch(self, e1, a2, method, synced, boot, up_ms, time_ms):
        """The punch that follows, as the protocol's tokens."""
        seq = str(self.seq + 1)
        return {
            "A1": self.jid + "-" + seq,
            "A2": a2,
            "A3": format_ms(time_ms),
            "BOOT": str(boot),
            "CLK": "SYNCED" if synced else "UNSYNCED",
            "E1": e1,
            "JID": self.jid,
            "METHOD": method,
            "PREV": self.prev,
            "SEQ": seq,
            "UP": str(up_ms),
        }

    def after(self, digest, boot, up_ms, time_ms):
        return Tail(self.jid, self.seq + 1, prev_of(digest), boot, up_ms, time_ms)


def header(tail):
    """The first bytes of a segment whose records follow `tail`."""
    data = bytearray(MAGIC)
    data.extend(binascii.unhexlify(tail.jid))
    data.extend(tail.seq.to_bytes(4, "big"))
    data.extend(binascii.unhexlify(tail.prev or "0" * 16))
    data.extend(binascii.crc32(data).to_bytes(4, "big"))
    return data


def record(tail, digest, e1, a2, method, synced, boot, up_ms, time_ms):
    """The bytes of the record that follows `tail`; `digest` is the punch's hash."""
    flags = DIRECTIONS.index(a2) | METHODS.index(method) << 3
    if synced:
        flags |= SYNCED
    text = e1.encode()
    packed = _packed(e1)
    if packed is not None:
        flags |= PACKED
        text = packed
    same_clock = boot == tail.boot and time_ms - tail.time_ms == up_ms - tail.up_ms
    if same_clock and up_ms >= tail.up_ms:
        data = bytearray((flags, len(text)))
        _put_varint(data, up_ms - tail.up_ms)
    else:
        data = bytearray((flags, len(text) | ANCHOR))
        _put_varint(data, boot)
        _put_varint(data, up_ms)
        data.extend(time_ms.to_bytes(TIME_BYTES, "big"))
    data.extend(text)
    data.extend(digest[:CHECK_BYTES])
    return data


def _packed(text):
    """The bytes that the text is the upper-case hex of; None for any other."""
    try:
        raw = binascii.unhexlify(text)
    except ValueError:
        return None
    return raw if binascii.hexlify(raw).decode().upper() == text else None


def _put_varint(data, number):
    """Seven bits a byte, the lowest first, bit 7 where more follow."""
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)

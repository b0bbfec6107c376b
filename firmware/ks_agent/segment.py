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

from .errors import Corrupt
from .punch import DIRECTIONS, METHODS, prev_of, punch_hash
from .timetext import format_ms

MAGIC = b"KSJ1"
HEADER_BYTES = 28
E1_MAX_BYTES = 64
TIME_BYTES = 6
CHECK_BYTES = 2
# With two varints of 15 digits.
RECORD_MAX_BYTES = 2 + 8 + 8 + TIME_BYTES + E1_MAX_BYTES + CHECK_BYTES
_SYNCED = 64
_PACKED = 128
_ANCHOR = 128


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


def parse_header(data):
    """The Tail that a segment's records follow. Raises Corrupt."""
    crc = binascii.crc32(data[: HEADER_BYTES - 4]).to_bytes(4, "big")
    if len(data) < HEADER_BYTES or data[:4] != MAGIC or data[HEADER_BYTES - 4 :] != crc:
        raise Corrupt("no head of a segment")
    seq = int.from_bytes(data[12:16], "big")
    return Tail(_hex(data[4:12]), seq, _hex(data[16:24]) if seq else "")


def record(tail, digest, e1, a2, method, synced, boot, up_ms, time_ms):
    """The bytes of the record that follows `tail`; `digest` is the punch's hash."""
    flags = DIRECTIONS.index(a2) | METHODS.index(method) << 3
    if synced:
        flags |= _SYNCED
    text = e1.encode()
    packed = _packed(e1)
    if packed is not None:
        flags |= _PACKED
        text = packed
    same_clock = boot == tail.boot and time_ms - tail.time_ms == up_ms - tail.up_ms
    if same_clock and up_ms >= tail.up_ms:
        data = bytearray((flags, len(text)))
        _put_varint(data, up_ms - tail.up_ms)
    else:
        data = bytearray((flags, len(text) | _ANCHOR))
        _put_varint(data, boot)
        _put_varint(data, up_ms)
        data.extend(time_ms.to_bytes(TIME_BYTES, "big"))
    data.extend(text)
    data.extend(digest[:CHECK_BYTES])
    return data


def parse_record(data, tail, sha256):
    """The record at the beginning of `data`: (punch, Tail after it, its length in bytes).

    Raises Corrupt for what no append has written there, also where `data` ends early.
    """
    try:
        flags = data[0]
        length = data[1] & 127
        if data[1] & _ANCHOR:
            boot, at = _varint(data, 2)
            up_ms, at = _varint(data, at)
            time_ms = int.from_bytes(data[at : at + TIME_BYTES], "big")
            at += TIME_BYTES
        else:
            boot = tail.boot
            passed_ms, at = _varint(data, 2)
            up_ms = tail.up_ms + passed_ms
            time_ms = tail.time_ms + passed_ms
        text = bytes(data[at : at + length])
        end = at + length + CHECK_BYTES
        e1 = _hex(text).upper() if flags & _PACKED else text.decode()
        a2 = DIRECTIONS[flags & 7]
        method = METHODS[flags >> 3 & 7]
        check = bytes(data[end - CHECK_BYTES : end])
        punch = tail.punch(e1, a2, method, flags & _SYNCED, boot, up_ms, time_ms)
        digest = punch_hash(sha256, punch)
    except (IndexError, ValueError, OverflowError, TypeError):
        raise Corrupt("no record")
    if boot is None or end > len(data) or check != digest[:CHECK_BYTES]:
        raise Corrupt("no record")
    return punch, tail.after(digest, boot, up_ms, time_ms), end


def _packed(text):
    """The bytes that the text is the upper-case hex of; None for any other."""
    try:
        raw = binascii.unhexlify(text)
    except ValueError:
        return None
    return raw if _hex(raw).upper() == text else None


def _hex(raw):
    return binascii.hexlify(raw).decode()


def _put_varint(data, number):
    """Seven bits a byte, the lowest first, bit 7 where more follow."""
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)


def _varint(data, at):
    """(number, index after it). IndexError where the data ends, Corrupt for one of 8 bytes."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at += 1
        shift += 7
        if byte < 128:
            return number, at
        if shift > 49:
            raise Corrupt("no number")

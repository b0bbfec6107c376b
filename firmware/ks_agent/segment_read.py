"""Reading what ks_agent.segment writes."""

import binascii

from .errors import Corrupt
from .punch import DIRECTIONS, METHODS, punch_hash
from .segment import (
    ANCHOR,
    BOOT_END,
    CHECK_BYTES,
    HEADER_BYTES,
    MAGIC,
    PACKED,
    SYNCED,
    TIME_BYTES,
    UP_END_MS,
    Tail,
)
from .timetext import LAST_MS


def parse_header(data):
    """The Tail that a segment's records follow. Raises Corrupt."""
    crc = binascii.crc32(data[: HEADER_BYTES - 4]).to_bytes(4, "big")
    if len(data) < HEADER_BYTES or data[:4] != MAGIC or data[HEADER_BYTES - 4 :] != crc:
        raise Corrupt("no head of a segment")
    seq = int.from_bytes(data[12:16], "big")
    return Tail(_hex(data[4:12]), seq, _hex(data[16:24]) if seq else "")


def parse_record(data, tail, sha256):
    """The record at the beginning of `data`: (punch, Tail after it, its length in bytes).

    Raises Corrupt for what no append has written there, also where `data` ends early.
    """
    try:
        flags = data[0]
        length = data[1] & 127
        if data[1] & ANCHOR:
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
        e1 = _hex(text).upper() if flags & PACKED else text.decode()
        a2 = DIRECTIONS[flags & 7]
        method = METHODS[flags >> 3 & 7]
        check = bytes(data[end - CHECK_BYTES : end])
        punch = tail.punch(e1, a2, method, flags & SYNCED, boot, up_ms, time_ms)
        digest = punch_hash(sha256, punch)
    except (IndexError, ValueError, OverflowError, TypeError):
        raise Corrupt("no record")
    if boot is None or end > len(data) or check != digest[:CHECK_BYTES]:
        raise Corrupt("no record")
    if boot >= BOOT_END or up_ms >= UP_END_MS or time_ms > LAST_MS:
        raise Corrupt("a record that no terminal wrote")
    return punch, tail.after(digest, boot, up_ms, time_ms), end


def _hex(raw):
    return binascii.hexlify(raw).decode()


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

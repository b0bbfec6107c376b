"""The journal's records: what goes in comes out, and nothing else does."""

from fake_ports import CRYPTO, NOW_MS
from support import raises

from ks_agent.errors import Corrupt
from ks_agent.punch import DIRECTIONS, METHODS, prev_of, punch_hash, punch_text
from ks_agent.segment import (
    E1_MAX_BYTES,
    HEADER_BYTES,
    RECORD_MAX_BYTES,
    Tail,
    header,
    record,
)
from ks_agent.segment_read import parse_header, parse_record
from ks_agent.timetext import LAST_MS, format_ms

JID = "0f1e2d3c4b5a6978"
SHA256 = CRYPTO.sha256
FIRST = ("00012345", "IN", "RFID", True, 7, 15000, NOW_MS)


def written(tail, values):
    """(record, punch, Tail after it)"""
    punch = tail.punch(*values)
    digest = punch_hash(SHA256, punch)
    return record(tail, digest, *values), punch, tail.after(digest, *values[4:])


def same(first, second):
    return sorted(first.__dict__.items()) == sorted(second.__dict__.items())


def test_a_punch_says_what_the_protocol_hashes():
    punch = Tail(JID, 0, "").punch(*FIRST)
    assert punch_text(punch) == (
        "A1:0f1e2d3c4b5a6978-1|A2:IN|A3:%s|BOOT:7|CLK:SYNCED|E1:00012345|JID:0f1e2d3c4b5a6978"
        "|METHOD:RFID|PREV:|SEQ:1|UP:15000" % format_ms(NOW_MS)
    )


def test_what_is_written_is_read_with_the_tail_for_the_next():
    tail = Tail(JID, 0, "")
    for values in (
        FIRST,
        ("00012345", "OUT", "PIN", True, 7, 16000, NOW_MS + 1000),
        ("e-7f", "BREAK_START", "QR", False, 7, 16000, NOW_MS + 1000),
        ("\u00e9\u20ac|%\n", "BREAK_END", "FACE", False, 7, 17000, NOW_MS - 86400000),
        ("X" * 64, "OVERTIME_IN", "FINGERPRINT", True, 8, 0, 0),
        ("ABCDEF" * 10 + "0123", "OVERTIME_OUT", "BUTTON", True, 8, 1 << 45, LAST_MS),
    ):
        data, punch, after = written(tail, values)
        assert len(data) <= RECORD_MAX_BYTES
        found, following, length = parse_record(bytes(data) + b"more", tail, SHA256)
        assert found == punch and length == len(data)
        assert same(following, after)
        tail = following


def test_all_directions_and_methods_have_a_place():
    for a2 in DIRECTIONS:
        for method in METHODS:
            data, punch, _ = written(Tail(JID, 4, "1" * 16), ("1", a2, method, True, 1, 2, 3))
            assert parse_record(data, Tail(JID, 4, "1" * 16), SHA256)[0] == punch


def test_a_card_of_eight_digits_takes_eleven_bytes():
    _, _, tail = written(Tail(JID, 0, ""), FIRST)
    data, _, _ = written(tail, ("12E45678", "OUT", "RFID", True, 7, 187000, NOW_MS + 172000))
    assert len(data) == 11


def test_the_longest_credential_and_numbers_fit_into_the_longest_record():
    big = 999999999999999
    data, _, _ = written(Tail(JID, 0, ""), ("x" * E1_MAX_BYTES, "IN", "RFID", True, big, big, 0))
    assert len(data) <= RECORD_MAX_BYTES


def test_a_record_with_any_bit_changed_or_cut_short_is_corrupt():
    _, _, tail = written(Tail(JID, 0, ""), FIRST)
    data, _, _ = written(tail, ("12E45678", "OUT", "RFID", True, 7, 187000, NOW_MS + 172000))
    for count in range(len(data)):
        raises(Corrupt, parse_record, data[:count], tail, SHA256)
    for index in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[index] ^= 1 << bit
            raises(Corrupt, parse_record, changed + b"\0" * 80, tail, SHA256)


def test_a_record_belongs_to_the_one_before_it():
    first, _, tail = written(Tail(JID, 0, ""), FIRST)
    for other in (Tail(JID, 1, ""), Tail("1" * 16, 0, ""), Tail(JID, 0, "1" * 16)):
        raises(Corrupt, parse_record, first, other, SHA256)
    second, _, _ = written(tail, FIRST)
    raises(Corrupt, parse_record, second, Tail(JID, 1, tail.prev), SHA256)


def test_garbage_is_corrupt_and_nothing_worse():
    for byte in range(256):
        for count in (0, 1, 2, 40, RECORD_MAX_BYTES):
            raises(Corrupt, parse_record, bytes((byte,)) * count, Tail(JID, 0, ""), SHA256)


def test_a_header_leads_to_its_tail():
    assert len(header(Tail(JID, 0, ""))) == HEADER_BYTES
    assert same(parse_header(bytes(header(Tail(JID, 0, "")))), Tail(JID, 0, ""))
    later = Tail(JID, 4000000000, prev_of(b"\xfe" * 32))
    assert same(parse_header(bytes(header(later))), later)


def test_a_header_with_any_bit_changed_or_cut_short_is_corrupt():
    data = bytes(header(Tail(JID, 77, "a" * 16)))
    for count in range(len(data)):
        raises(Corrupt, parse_header, data[:count])
    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 16
        raises(Corrupt, parse_header, bytes(changed))

"""KS token lines, the older transfer syntax (docs/protocol.md, section 1)."""

from support import raises

from ks_agent import lines
from ks_agent.errors import LinesError

LIMIT = 16384


def decode(data):
    return lines.decode(data, LIMIT)


def refused(data, position=None):
    error = raises(LinesError, decode, data)
    assert error.code == "MALFORMED"
    assert error.reason
    if position is not None:
        assert error.position == position, error
    return error


def test_a_line_is_a_message():
    assert decode(b"D1:dev_1|HB2:3600") == {"D1": "dev_1", "HB2": "3600"}
    assert decode(b"TS:2026-11-20T10:00:00Z") == {"TS": "2026-11-20T10:00:00Z"}
    assert decode(b"A:|B: x ") == {"A": "", "B": " x "}
    assert decode("D1:\u00e9\u20ac\U0001f600".encode()) == {"D1": "\u00e9\u20ac\U0001f600"}


def test_bytearrays_and_memoryviews_are_read_too():
    assert decode(bytearray(b"D1:x")) == {"D1": "x"}
    assert decode(memoryview(b"D1:x")) == {"D1": "x"}


def test_one_trailing_newline_is_ignored_and_no_more():
    assert decode(b"D1:x\n") == {"D1": "x"}
    refused(b"D1:x\n\n")
    refused(b"D1:x\r\n")
    refused(b"\nD1:x")
    refused(b"A:1\nB:2")


def test_order_is_free_and_encode_sorts_by_key():
    assert lines.encode(decode(b"B:2|A1:3|A:1")) == b"A:1|A1:3|B:2"
    assert lines.encode({"SIG1": "s", "D1": "d"}) == b"D1:d|SIG1:s"


def test_lists_come_flattened_in_any_order():
    data = b"CMD_COUNT:2|CMD[1].CMD1:b|CMD[0].TS:t|CMD[0].CMD1:a|E_COUNT:0"
    read = {"CMD": [{"CMD1": "a", "TS": "t"}, {"CMD1": "b"}], "E": []}
    assert decode(data) == read
    assert lines.encode(read) == (b"CMD[0].CMD1:a|CMD[0].TS:t|CMD[1].CMD1:b|CMD_COUNT:2|E_COUNT:0")


def test_a_list_and_a_token_whose_name_begins_alike_live_together():
    data = b"CMD1:x|CMD[0].CMD1:y|CMD_COUNT:1|CMD_IDS:z"
    read = {"CMD1": "x", "CMD": [{"CMD1": "y"}], "CMD_IDS": "z"}
    assert decode(data) == read
    assert lines.encode(read) == data


def test_a_list_without_its_count_is_refused():
    refused(b"CMD[0].CMD1:a")
    refused(b"CMD[0].CMD1:a|OTHER_COUNT:0")


def test_gaps_and_wrong_counts_are_refused():
    refused(b"CMD_COUNT:1")
    refused(b"CMD_COUNT:2|CMD[0].A:a|CMD[2].A:c")
    refused(b"CMD_COUNT:1|CMD[0].A:a|CMD[1].A:b")
    refused(b"CMD_COUNT:3|CMD[0].A:a|CMD[1].A:b")
    refused(b"CMD_COUNT:0|CMD[0].A:a")


def test_a_number_of_a_list_has_one_spelling():
    for number in (b"", b"01", b"00", b"-1", b"+1", b" 1", b"1 ", b"1_0", b"1.0", b"x", b"99999"):
        refused(b"A_COUNT:" + number + b"|A[0].X:1", 0)
        refused(b"A_COUNT:1|A[" + number + b"].X:1", 1)
    refused("A_COUNT:\u0661|A[0].X:1".encode(), 0)


def test_a_key_that_ends_in_count_is_always_a_length():
    refused(b"THING_COUNT:many", 0)
    refused(b"_COUNT:0", 0)
    refused(b"A_COUNT_COUNT:0", 0)
    refused(b"A_COUNT[0].X:1|A_COUNT_COUNT:1", 0)


def test_a_field_of_a_row_may_end_in_count():
    data = b"A[0].X_COUNT:many|A_COUNT:1"
    assert decode(data) == {"A": [{"X_COUNT": "many"}]}
    assert lines.encode(decode(data)) == data


def test_nothing_may_come_twice():
    refused(b"A:1|A:1", 1)
    refused(b"A:1|B:2|A:3", 2)
    refused(b"A_COUNT:0|A_COUNT:0", 1)
    refused(b"A_COUNT:1|A[0].X:1|A[0].X:1", 2)
    refused(b"A:1|A_COUNT:0")
    refused(b"A_COUNT:1|A[0].X:1|A:1")


def test_keys_outside_the_alphabet_are_refused():
    for key in (b"a", b"1A", b"_A", b"A B", b" A", b"A ", b"A.B", b"A[0]", b"A[0].", b"A[0].b"):
        refused(b"D1:x|" + key + b":1", 1)
    for key in (b"A[0]B", b"A]0[.B", b"[0].B", b"A[].B", b"A[0.B", b"A[0].B[0].C", b"A[0]X[1].C"):
        refused(b"D1:x|" + key + b":1", 1)
    refused("\u00c4:1".encode(), 0)


def test_tokens_without_a_colon_or_a_key_are_refused():
    for data in (b"", b"\n", b"x", b":", b":x", b"|", b"A:1|", b"|A:1", b"A:1||B:2", b"A"):
        refused(data)


def test_blanks_are_never_trimmed():
    assert decode(b"A: 1 |B:\xc2\xa0") == {"A": " 1 ", "B": "\u00a0"}
    refused(b"A :1", 0)
    refused(b"A:1| B:2", 1)


def test_values_are_unescaped_and_keys_are_not():
    assert decode(b"A:a%7Cb%25%0A%00%7F") == {"A": "a|b%\n\x00\x7f"}
    assert lines.encode({"A": "a|b%\n\x00\x7f"}) == b"A:a%7Cb%25%0A%00%7F"
    refused(b"%41:1", 0)


def test_an_escape_that_nobody_writes_is_refused_where_it_stands():
    for value in (b"%", b"%2", b"%0a", b"%7c", b"%20", b"%41", b"%C3%A9", b"100%", b"%%"):
        refused(b"D1:x|A:" + value + b"|B:2", 1)


def test_control_characters_are_refused_unescaped():
    for code in list(range(32)) + [127]:
        refused(b"D1:x|A:a" + bytes([code]) + b"b|B:2", 1)
    refused("D1:\u00e9|B:\x07".encode(), 1)


def test_ill_formed_utf_8_is_refused():
    for data in (b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80", b"\xe2\x82", b"\xff"):
        refused(b"D1:x" + data)


def test_signatures_that_the_protocol_does_not_have_are_refused():
    for key in (b"SIG2", b"SIG", b"SIG_X", b"FW_SIG_2"):
        refused(key + b":x", 0)
    assert decode(b"SIG1:x|SIG_SERV:y|FW_SIG:z|SIG_NEW:n") == {
        "SIG1": "x",
        "SIG_SERV": "y",
        "FW_SIG": "z",
        "SIG_NEW": "n",
    }


def test_a_signature_cannot_be_a_list():
    refused(b"SIG1_COUNT:0", 0)
    refused(b"SIG_NEW[0].X:1|SIG_NEW_COUNT:1", 0)


def test_limits_hold_at_the_very_number():
    assert lines.decode(b"A:123", 5) == {"A": "123"}
    raises(LinesError, lines.decode, b"A:1234", 5)
    assert len(lines.decode(b"A:1|B:2|C:3", LIMIT, 3)) == 3
    raises(LinesError, lines.decode, b"A:1|B:2|C:3|D:4", LIMIT, 3)
    assert lines.decode(b"A:12345", LIMIT, 3, 3, 5) == {"A": "12345"}
    raises(LinesError, lines.decode, b"A:123456", LIMIT, 3, 3, 5)
    assert lines.decode(b"A:%25%25%25%25%25", LIMIT, 3, 3, 5) == {"A": "%%%%%"}
    raises(LinesError, lines.decode, "A:\u20ac\u20ac".encode(), LIMIT, 3, 3, 5)


def test_the_limit_on_rows_is_for_all_lists_together():
    two = b"A[0].X:1|A_COUNT:1|B[0].X:1|B_COUNT:1"
    assert lines.decode(two, LIMIT, 9, 2) == {"A": [{"X": "1"}], "B": [{"X": "1"}]}
    raises(LinesError, lines.decode, two, LIMIT, 9, 1)


def test_a_count_far_beyond_the_limits_costs_nothing():
    for count in (b"9999", b"1000000000", b"9" * 300):
        refused(b"A_COUNT:" + count)

"""Messages, the escape and the canonical string (docs/protocol.md, sections 1 and 2)."""

from support import raises

from ks_agent import lines, message
from ks_agent.errors import Malformed


def test_canonical_string_of_the_specifications_example():
    example = {
        "D1": "dev_1",
        "HB2": "3600",
        "NONCE": "0123456789abcdef",
        "TS": "2026-11-20T10:00:00.000Z",
    }
    assert message.canonical(example) == (
        b"D1:dev_1|HB2:3600|NONCE:0123456789abcdef|TS:2026-11-20T10:00:00.000Z"
    )


def test_order_of_a_dict_does_not_matter():
    one = {"B": "2", "A": "1", "A1": "x", "A_1": "y", "AB": "z"}
    other = {"AB": "z", "A_1": "y", "A1": "x", "A": "1", "B": "2"}
    assert message.canonical(one) == message.canonical(other) == b"A:1|A1:x|AB:z|A_1:y|B:2"


def test_keys_are_sorted_and_not_the_texts_that_begin_with_them():
    # As texts, `A1:` comes before `A:`; as keys, `A` comes first.
    assert message.canonical({"A1": "", "A": ""}) == b"A:|A1:"
    assert message.canonical({"CMD1": "x", "CMD": [{"X": "y"}]}) == (
        b"CMD1:x|CMD[0].X:y|CMD_COUNT:1"
    )


def test_lists_are_flattened_with_their_count():
    both = {"CMD": [{"CMD1": "a", "TS": "t"}, {"CMD1": "b"}], "LINK": []}
    assert message.canonical(both) == (
        b"CMD[0].CMD1:a|CMD[0].TS:t|CMD[1].CMD1:b|CMD_COUNT:2|LINK_COUNT:0"
    )


def test_rows_ten_and_two_come_in_code_point_order():
    rows = [{"K": str(number)} for number in range(11)]
    keys = [key for key, text in message.flatten({"L": rows})]
    assert keys[:4] == ["L[0].K", "L[10].K", "L[1].K", "L[2].K"]
    assert keys[-1] == "L_COUNT"


def test_only_top_level_signatures_are_left_out():
    signed = {"D1": "d", "CMD": [{"SIG_SERV": "kept", "SIG_ADMIN_A": "kept"}]}
    expected = message.canonical(signed)
    for key in message.SIGNATURE_KEYS:
        signed[key] = "left out"
    assert message.canonical(signed) == expected
    assert expected == b"CMD[0].SIG_ADMIN_A:kept|CMD[0].SIG_SERV:kept|CMD_COUNT:1|D1:d"


def test_the_canonical_string_comes_in_pieces_again_and_again():
    rows = [{"A1": "event-%d" % number, "A3": "x" * 30} for number in range(40)]
    whole = {"D1": "dev_1", "EVENT": rows, "LONG": "y" * 1000}
    pieces = message.Canonical(whole)
    first = list(pieces)
    assert list(pieces) == first
    assert b"".join(first) == message.canonical(whole)
    assert len(first) > 4
    for piece in first:
        assert piece
        assert len(piece) <= 257 or piece == b"LONG:" + b"y" * 1000
    assert list(message.Canonical({})) == []


def test_escape_writes_upper_case_hex_for_what_section_2_names():
    assert message.escape("a%b|c\nd\re") == "a%25b%7Cc%0Ad%0De"
    assert message.escape("\x00\x01\x1f\x7f\t") == "%00%01%1F%7F%09"
    for text in ("", " ", "a b", "x:y", "\x80", "\u00e9\u20ac\U0001f600", "~}{", '"\\,'):
        assert message.escape(text) == text


def test_every_character_below_u_0100_survives_escape_and_unescape():
    for code in range(256):
        character = chr(code)
        for text in (character, "a" + character, character + "z", "%" + character + "|"):
            escaped = message.escape(text)
            assert lines.unescape(escaped) == text
            assert "|" not in escaped and "\n" not in escaped and "\r" not in escaped


def test_unescape_takes_only_what_escape_writes():
    for text in ("%", "a%", "%2", "%zz", "%0a", "%7c", "%20", "%41", "%80", "%FF", "%%25", "%+5"):
        raises(Malformed, lines.unescape, text)
    assert lines.unescape("100%25%7C%0A") == "100%|\n"


def test_keys_are_upper_case_ascii_and_begin_with_a_letter():
    for key in ("A", "D1", "A_", "HB2", "FW_SIG", "Z9_Z"):
        assert message.is_key(key)
    for key in ("", "1A", "_A", "a", "Ab", "A B", "A:B", "A|B", "A[0]", "A.B", "\u00c4", "A\u0391"):
        assert not message.is_key(key)


def test_check_takes_what_both_syntaxes_carry():
    message.check({"D1": "x", "CMD": [{"CMD1": "a", "X_COUNT": "1", "SIG_OTHER": "s"}], "E": []})
    message.check(dict.fromkeys(message.SIGNATURE_KEYS, "s"))


def test_check_refuses_keys_that_no_message_may_have():
    for key in ("a", "A B", "", "A_COUNT", "_COUNT", "SIG2", "SIG", "SIG_X", "FW_SIG2", "SIGNAL"):
        raises(Malformed, message.check, {key: "x"})
        raises(Malformed, message.check, {key: [{"A": "x"}]})
        if message.is_key(key):
            raises(Malformed, message.check_names, {key: "x"})
            raises(Malformed, message.check_names, {key: []})


def test_a_signature_is_never_a_list():
    for key in message.SIGNATURE_KEYS:
        raises(Malformed, message.check, {key: []})
        raises(Malformed, message.check_names, {key: [{"A": "x"}]})


def test_check_refuses_rows_that_token_lines_cannot_carry():
    raises(Malformed, message.check, {"CMD": [{"CMD1": "x"}, {}]})
    raises(Malformed, message.check, {"CMD": [{"cmd": "x"}]})
    raises(Malformed, message.check, {"CMD": [{"A.B": "x"}]})

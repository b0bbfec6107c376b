"""The TOON codec: what is refused, where and why, and the limits."""

from support import raises

from ks_agent import toon, utf8
from ks_agent.errors import Malformed, ToonError


def decode(text, max_bytes=100000):
    return toon.decode(text.encode(), max_bytes)


def refusal(text):
    """(line, column, reason) of the refusal."""
    error = raises(ToonError, decode, text)
    assert error.code == "MALFORMED"
    return error.line, error.column, error.reason


def test_a_refusal_says_where_and_why():
    assert refusal("A: b\nb: c") == (2, 1, "a key outside [A-Z][A-Z0-9_]*")
    assert refusal("A: b\nC:  null") == (2, 5, "null outside a table")
    assert refusal('A:  "b') == (1, 5, "unterminated string")
    assert refusal('A: "b"c') == (1, 7, "text after the closing quote")
    assert refusal('A: "b\\x"') == (1, 6, "an unknown escape")
    assert refusal('A[1]{B,C}:\n  x,"\\q"') == (2, 6, "an unknown escape")
    assert refusal("A[1]{B, c}:\n  x,y") == (1, 8, "a field name outside [A-Z][A-Z0-9_]*")
    assert str(raises(ToonError, decode, "A:")) == "line 1, column 2: a nested object"
    assert isinstance(raises(ToonError, decode, "A:"), Malformed)


def test_a_key_outside_the_alphabet_is_refused():
    for key in (
        "a",
        "1A",
        "_A",
        "A-B",
        "A.B",
        "A B",
        "Aa",
        "\u00c9",
        "",
        '""',
        '"a"',
        '"A B"',
        "A\t",
    ):
        assert refusal(key + ": x")[2] == "a key outside [A-Z][A-Z0-9_]*"


def test_a_repeated_key_is_refused():
    for second in ("A: c", '"A": c', "A: []", "A[0]:", "A[1]{B}:\n  c"):
        assert refusal("A: b\n" + second) == (2, 1, "a repeated key")
    assert refusal("A[0]:\nA: b") == (2, 1, "a repeated key")
    assert refusal("A[1]{B,B}:\n  1,2") == (1, 8, "a repeated field name")


def test_the_length_of_a_list_as_a_scalar_is_refused():
    assert refusal("CMD_COUNT: 2")[2] == "the length of a list as a scalar"
    assert refusal("_COUNT: 2")[2] == "a key outside [A-Z][A-Z0-9_]*"
    assert decode("COUNT: 2") == {"COUNT": "2"}


def test_every_other_construct_of_toon_is_refused():
    for text in (
        "A:",  # an empty object
        "A:\n  B: c",  # a nested object
        "A[2]: x,y",  # an inline array
        "A[2]:",  # a list, and where its items are missing
        "A[1]:\n  - x",
        "A[1]:\n  - B: c",  # a list of objects
        "A[2:]{B}:\n  X: 1\n  Y: 2",  # a keyed table
        "[1:]{B}:\n  X: 1",
        "A[1]{B{C,D}}:\n  1,2",  # a nested field group
        "[1]: x",  # a root array
        "[1]{B}:\n  x",
        "[0]:",
        "[]",
        "- x",
        "hello",  # a root primitive
        "42",
        '"A"',
        "null",
    ):
        assert refusal(text)[0] == 1 or "\n" in text


def test_a_malformed_header_is_refused():
    for header in (
        "A[]", "A[01]", "A[-1]", "A[+1]", "A[1.0]", "A[x]", "A[1_0]", "A[1,]", "A[ 1]", "A[1 ]",
        "A [1]", "A[1", "A[1][1]", "A[1|:]", "A[1:|]", "A1]", "A[\u0661]", "A[9999999]",
    ):  # fmt: skip
        refusal(header + "{B}:\n  x")
    for fields in (
        "{}",
        "{B",
        "B}",
        "{B,}",
        "{,B}",
        "{B|C}",
        "{B;C}",
        "{B}x",
        " {B}",
        "{B} ",
        "{B}{C}",
    ):
        refusal("A[1]" + fields + ":\n  x")
    refusal("A[1]{B}\n  x")
    refusal("A[1]{B}: x")
    refusal('A[1]{"B:\n  x')


def test_the_counts_are_strict():
    assert refusal("A[2]{B}:\n  1\nC: d") == (3, 1, "fewer rows than the header says")
    assert refusal("A[1]{B}:")[2] == "fewer rows than the header says"
    assert refusal("A[1]{B}:\n  1\n  2") == (3, 1, "more rows than the header says")
    assert refusal("A[0]{B}:\n  1")[2] == "more rows than the header says"
    assert refusal("A[1]{B,C}:\n  1") == (2, 3, "not one cell for each field")
    assert refusal("A[1]{B}:\n  1,2")[0] == 2
    assert refusal('A[1]{B,C}:\n  "1,2')[0] == 2


def test_a_row_of_nulls_is_refused():
    assert refusal("A[1]{B,C}:\n  null, null") == (2, 3, "a row of nulls")


def test_indentation_is_two_spaces_for_rows_and_none_for_fields():
    for text in (" A: b", "  A: b", "\tA: b", "A: b\n  C: d", "A: b\n\t# c", "A: b\n \t"):
        refusal(text)
    for row in (" x", "   x", "    x", "\tx", "  \tx", " \tx", "x", "  \t"):
        refusal("A[1]{B}:\n" + row)


def test_a_field_among_the_rows_is_refused():
    for row in ("x:y", "X: y,z", '"X":y', 'a"b"c:d'):
        assert refusal("A[1]{B,C}:\n  " + row) == (2, 3, "a field among the rows")


def test_a_bad_string_is_refused():
    for token in (
        '"', '"a', '"a\\"', '"a"b', '"a" b', '""a', '"\\', '"\\"', '"\\a"', '"\\U0041"', '"\\u"',
        '"\\u004"', '"\\u00g1"', '"\\u+041"', '"\\u 041"', '"\\ud800"', '"\\udfff"',
        '"\\uD83D\\uDE80"', '"a\x01b"', '"\x00"', '"a\rb"', '"\u00e9\x1f"',
    ):  # fmt: skip
        refusal("A: " + token)
        refusal("A[1]{B}:\n  " + token)
        refusal("A[1]{B,C}:\n  x," + token)


def test_ill_formed_utf8_is_refused_where_it_stands():
    for bad in (
        b"\x80", b"\xbf", b"\xc0\xaf", b"\xc1\xbf", b"\xc3", b"\xe0\x9f\xbf", b"\xe2\x82",
        b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf0\x8f\xbf\xbf", b"\xf0\x9f\x9a", b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80", b"\xff", b"\xc3\x28", b"\xe2\x28\xa1",
    ):  # fmt: skip
        data = "A: \u00e9\nB: \u00e9".encode() + bad
        error = raises(ToonError, toon.decode, data, 100)
        assert (error.line, error.column, error.reason) == (2, 5, "ill-formed UTF-8")
        long = b"# " + b"x" * 2000 + b"\n" + data + b"\nC: d"
        assert raises(ToonError, toon.decode, long, 3000).line == 3
        assert utf8.fault(data) == len(data) - len(bad)
        raises(Malformed, utf8.check, data)


def test_well_formed_utf8_is_let_through():
    text = "\x00\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"
    assert utf8.fault(text.encode()) == -1
    assert utf8.text(text.encode()) == text
    utf8.check(text.encode())
    assert decode("A: " + text) == {"A": text}


def test_the_limit_on_bytes_holds():
    assert decode("A: bc", 5) == {"A": "bc"}
    assert raises(ToonError, decode, "A: bc", 4).reason == "more than 4 bytes"


def test_the_limit_on_tokens_counts_scalars_lists_and_cells():
    text = "A: b\nC: []\nD[2]{E,F}:\n  1,null\n  2,3"
    data = text.encode()
    assert len(toon.decode(data, 100, 6)) == 3
    for limit in range(6):
        assert raises(ToonError, toon.decode, data, 100, limit).reason.startswith("too many")


def test_the_limit_on_rows_counts_those_of_all_tables():
    data = b"A[2]{B}:\n  1\n  2\nC[1]{D}:\n  3"
    assert len(toon.decode(data, 100, 10, 3)) == 2
    assert raises(ToonError, toon.decode, data, 100, 10, 2).reason == "too many rows"
    assert raises(ToonError, toon.decode, b"A[999999]{B}:", 100).reason == "too many rows"


def test_the_limit_on_a_value_counts_its_bytes():
    for value in ("abcdefgh", "\u00e9\u00e9\u00e9\u00e9", "\U0001f680\U0001f680"):
        for data in ("A: " + value, 'A: "' + value + '"', 'A[1]{B}:\n  "' + value + '"'):
            assert toon.decode(data.encode(), 100, 10, 3, 8)
            error = raises(ToonError, toon.decode, data.encode(), 100, 10, 3, 7)
            assert error.reason == "a value of more than 7 bytes"


def test_a_table_has_no_more_fields_than_tokens():
    header = "A[0]{" + ",".join(["F%d" % number for number in range(20)]) + "}:"
    assert decode(header) == {"A": []}
    assert raises(ToonError, toon.decode, header.encode(), 200, 19).reason == "too many fields"

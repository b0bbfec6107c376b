"""The TOON codec: what is written and what is read."""

from support import raises

from ks_agent import toon, toon_text
from ks_agent.errors import LocalError, ToonError

KINDS = {"I": "integer", "D": "decimal", "F": "flag", "T": "time"}


def kind_of(key, list_name):
    """The kind by the key's first letter; text for all others."""
    return KINDS.get(key[0], "text")


def encode(message):
    return toon.encode(message, kind_of).decode()


def decode(text, max_bytes=100000):
    return toon.decode(text.encode(), max_bytes)


def refusal(text):
    """(line, column, reason) of the refusal."""
    error = raises(ToonError, decode, text)
    assert error.code == "MALFORMED"
    return error.line, error.column, error.reason


def written(key, text):
    """The token as it stands after the key of a scalar."""
    line = encode({key: text})
    assert line.startswith(key + ": ")
    assert decode(line) == {key: text}
    return line[len(key) + 2 :]


# -- writing ----------------------------------------------------------------------------------


def test_scalars_are_written_in_sorted_order_without_a_trailing_newline():
    message = {"TS": "2026-11-20T10:00:00.000Z", "D1": "dev_1", "I": "3600"}
    assert encode(message) == 'D1: dev_1\nI: 3600\nTS: "2026-11-20T10:00:00.000Z"'


def test_a_list_is_written_as_a_table_with_the_union_of_its_columns():
    message = {"CMD": [{"CMD2": "RESTART", "CMD1": "c1"}, {"CMD1": "c2", "A": "a,b"}], "Z": "z"}
    assert encode(message) == ('CMD[2]{A,CMD1,CMD2}:\n  null,c1,RESTART\n  "a,b",c2,null\nZ: z')


def test_an_empty_list_is_written_as_an_empty_array():
    assert encode({"CMD": []}) == "CMD: []"
    assert encode({}) == ""


def test_a_row_without_a_key_is_not_written():
    raises(LocalError, encode, {"CMD": [{"CMD1": "c1"}, {}]})


def test_an_integer_is_bare_only_as_every_decoder_reads_it_back():
    for text in ("0", "7", "-7", "3600", "999999999999999", "-100000000000000"):
        assert written("I", text) == text
    for text in ("-0", "00", "07", "-07", "+7", "1000000000000000", "1.0", "1e5", ""):
        assert written("I", text) == '"' + text + '"'
    for text in ("-", "- 1", "--1"):
        assert written("I", text) == '"' + text + '"'
    for text in ("1_000", "0x10", "abc"):
        assert written("I", text) == text


def test_a_decimal_is_bare_only_as_every_decoder_reads_it_back():
    for text in ("48.5", "-48.5", "0.5", "-0.5", "0.0001", "12345678901234.5", "42", "0"):
        assert written("D", text) == text
    for text in ("1.10", "1.0", "-0", "-0.0", "0.00001", "00.5", "123456789012345.6", "1.5e3"):
        assert written("D", text) == '"' + text + '"'
    for text in ("1.", ".5", "1.2.3"):
        assert written("D", text) == text


def test_a_flag_is_bare():
    assert written("F", "true") == "true"
    assert written("F", "false") == "false"
    assert written("F", "null") == '"null"'
    assert written("F", "TRUE") == "TRUE"


def test_text_that_could_be_taken_for_something_else_is_quoted():
    for text in ("", " ", " a", "a ", "true", "false", "null", "-", "-a", "#", "#a", "a:b", "a,b"):
        assert written("X", text) == '"' + text + '"'
    for text in ("[", "a]", "{a", "}", "42", "-1", "+1", "05", "3.14", "1e-6", "1E+6", "12E45678"):
        assert written("X", text) == '"' + text + '"'


def test_other_text_is_bare():
    for text in ("a b", "a-b", "a#", "1.2.0", "1e", "e5", "1.", ".5", "0x1", "True", "nul", "a|b"):
        assert written("X", text) == text
    for text in ("\u00e9", "\U0001f680 x", "\u00a0", "a/b+c==", "'", "%7C", "+", "\x7f", "1 2"):
        assert written("X", text) == text


def test_escapes_are_those_of_the_specification():
    assert written("X", '"') == '"\\""'
    assert written("X", "a\\b") == '"a\\\\b"'
    assert written("X", "\n\r\t") == '"\\n\\r\\t"'
    assert written("X", "\x00\x1f") == '"\\u0000\\u001f"'
    assert written("X", "\u00e9\x01") == '"\u00e9\\u0001"'


def test_the_pieces_join_to_the_document_and_stay_small():
    message = {"D1": "dev_1", "EVENT": []}
    for number in range(40):
        message["EVENT"].append({"I": str(number), "X": "x" * 60})
    pieces = list(toon.encode_pieces(message, kind_of))
    assert b"".join(pieces) == toon.encode(message, kind_of)
    assert len(pieces) > 4
    for piece in pieces:
        assert len(piece) <= 512
    assert list(toon.encode_pieces({}, kind_of)) == []
    assert list(toon.encode_pieces({"A": "b"}, kind_of)) == [b"A: b"]


# -- reading ----------------------------------------------------------------------------------


def test_the_literal_text_is_read_quoted_or_not():
    assert decode("A: 1.10\nB: true\nC: 05\nD: 1e5") == {
        "A": "1.10", "B": "true", "C": "05", "D": "1e5",
    }  # fmt: skip
    assert decode('A: "1.10"\nB: "true"\nC: "null"') == {"A": "1.10", "B": "true", "C": "null"}


def test_an_unquoted_token_that_a_writer_would_quote_is_its_text():
    assert decode("A: -x\nB: a:b\nC: [x]\nD: #x\nE: a\"b\nF: {}\nG: \\") == {
        "A": "-x", "B": "a:b", "C": "[x]", "D": "#x", "E": 'a"b', "F": "{}", "G": "\\",
    }  # fmt: skip


def test_all_kinds_of_bytes_are_taken():
    data = b"A: b\nC[1]{D}:\n  e"
    for given in (data, bytearray(data), memoryview(data)):
        assert toon.decode(given, 100) == {"A": "b", "C": [{"D": "e"}]}


def test_an_empty_document_is_an_empty_message():
    for text in ("", "\n", "  \n\n", "# note", "\n# note\n"):
        assert decode(text) == {}


def test_blanks_around_tokens_do_not_count():
    assert decode('A:b\nC :  d  \nE: "f" \n"G" : h') == {"A": "b", "C": "d", "E": "f", "G": "h"}
    assert decode("A[1]{ B , C }: \n   \n  x , y ") == {"A": [{"B": "x", "C": "y"}]}


def test_a_mark_at_the_start_and_carriage_returns_are_not_content():
    assert decode("\ufeffA: b\r\nC[1]{D}:\r\n  e\r") == {"A": "b", "C": [{"D": "e"}]}
    assert decode("A: \ufeffb\r\r\n") == {"A": "\ufeffb\r"}
    assert refusal("\ufeff\ufeffA: b")[0] == 1


def test_tables_are_read_with_each_delimiter():
    assert decode("A[1]{B,C}:\n  x|y,z\tw") == {"A": [{"B": "x|y", "C": "z\tw"}]}
    assert decode("A[1|]{B|C}:\n  x,y|z") == {"A": [{"B": "x,y", "C": "z"}]}
    assert decode("A[1\t]{B\tC}:\n  x,y\tz w") == {"A": [{"B": "x,y", "C": "z w"}]}


def test_a_null_cell_is_an_absent_field():
    assert decode('A[2]{B,C}:\n  null,"null"\n  1,null') == {"A": [{"C": "null"}, {"B": "1"}]}


def test_an_empty_cell_is_an_empty_text():
    assert decode('A[2]{B,C}:\n  ,x\n  "",') == {"A": [{"B": "", "C": "x"}, {"B": "", "C": ""}]}


def test_quoted_cells_may_hold_delimiters_colons_and_escapes():
    text = 'A[3]{B,C}:\n  "a,b","c:d"\n  "q\\"",x\n  "a:b",y:z'
    assert decode(text) == {
        "A": [{"B": "a,b", "C": "c:d"}, {"B": 'q"', "C": "x"}, {"B": "a:b", "C": "y:z"}]
    }
    assert decode('A[1]{B,C}:\n  a"x,y"b,c') == {"A": [{"B": 'a"x,y"b', "C": "c"}]}
    assert decode("A[1]{B,C}:\n  a\\,[]") == {"A": [{"B": "a\\", "C": "[]"}]}


def test_quoted_keys_are_keys():
    assert decode('"A": b\n"C"[1]{"D",E}:\n  1,2') == {"A": "b", "C": [{"D": "1", "E": "2"}]}
    assert decode('"\\u0041": b') == {"A": "b"}


def test_escapes_are_read():
    assert decode('A: "\\"\\\\\\n\\r\\t\\u00e9\\u00E9\t"') == {"A": '"\\\n\r\t\u00e9\u00e9\t'}


def test_an_empty_list_is_read_in_each_form():
    assert decode("A: []\nB[0]:\nC[0]{D}:\nE[0|]:\nF:[]") == {
        "A": [], "B": [], "C": [], "E": [], "F": [],
    }  # fmt: skip


def test_a_comment_is_no_line_at_all():
    text = '# one\nA[2]{B}:\n# two\n  1\n     # three\n  2\n   # "four\nC: d # e'
    assert decode(text) == {"A": [{"B": "1"}, {"B": "2"}], "C": "d # e"}
    assert refusal("A[2]{B}:\n  #1\n  2")[2] == "fewer rows than the header says"


def test_a_blank_line_may_stand_anywhere_but_between_rows():
    text = "\nA[2]{B}:\n\n  1\n  2\n\nC: d\n \n"
    assert decode(text) == {"A": [{"B": "1"}, {"B": "2"}], "C": "d"}
    assert refusal("A[2]{B}:\n  1\n   \n  # note\n  2") == (3, 1, "a blank line between rows")


def test_a_document_longer_than_a_piece_is_read_as_one():
    message = {"A%d" % number: "\u00e9" * number for number in range(1, 60)}
    message["T"] = [{"B": "x" * 300, "C": "\U0001f680"} for _ in range(9)]
    text = encode(message)
    assert len(text.encode()) > 6000
    assert decode(text) == message
    assert decode(text.replace("\n", "\r\n") + "\r\n") == message
    marked = "# " + "x" * 2000 + "\n\ufeffA: b"
    assert refusal(marked)[0] == 2


def test_a_document_is_never_decoded_into_one_string():
    # As one string, split into lines, it would not fit into a terminal's heap beside the bytes.
    data = b"# 4567890123456789\n" * 1500
    assert toon.decode(data, 60000) == {}


def test_a_row_is_split_into_no_more_cells_than_needed():
    for row in ("a,b,c", '"a",b,c'):
        assert len(toon_text.split_cells(row, ",", 1)) == 2

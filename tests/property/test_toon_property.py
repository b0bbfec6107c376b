"""The TOON codec against random messages, random bytes, and TOON's own two implementations."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import toon_format
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ks_agent import toon, toon_text, utf8
from ks_agent.errors import ToonError
from tests.toon_conformance.oracles import NodeOracle, Refused, python_decode, python_encode
from tests.toon_conformance.profile import Message, message_of, same

MAX_BYTES = 1_000_000
MAX_TOKENS = 10_000
KINDS = ("text", "integer", "decimal", "flag", "time")
DELIMITERS = (",", "\t", "|")

# What TOON treats in a way of its own, beside whatever text hypothesis thinks of.
TRICKY = (
    "",
    " ",
    "-",
    "- x",
    "#",
    "# x",
    "[]",
    "{}",
    "null",
    "true",
    "false",
    "12E45678",
    "00012345",
    "-0",
    "0",
    "1.10",
    "1.5",
    "0.0001",
    "0.00001",
    "-7.25",
    "123456789012345",
    "1234567890123456",
    "+1",
    "1e5",
    "1.",
    ".5",
    'a"b',
    '"',
    "\\",
    "a:b",
    "a|b\tc,d",
    "line\nbreak\r",
    "\x00\x1f\x7f\x85\u2028",
    "\ufeff",
    "\u00a0x\u00a0",
    "é🚀",
)

texts = st.one_of(
    st.sampled_from(TRICKY),
    st.from_regex(r"[+-]?[0-9]{1,17}(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.text(st.sampled_from('aZ09 -#:,|\t\n\r"\\[]{}.+eEé\x01'), max_size=8),
    st.text(max_size=12),
)
keys = st.from_regex(r"[A-Z][A-Z0-9_]{0,4}", fullmatch=True).filter(
    lambda key: not key.endswith("_COUNT")
)
rows = st.lists(st.dictionaries(keys, texts, min_size=1, max_size=4), max_size=4)
messages = st.dictionaries(keys, st.one_of(texts, rows), max_size=6)
kinds = st.integers(0, 999).map(
    lambda seed: (
        lambda key, owner: KINDS[(zlib.crc32(f"{owner}.{key}".encode()) + seed) % len(KINDS)]
    )
)

numbers = st.one_of(
    st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False)
)
scalars = st.one_of(texts, numbers, st.booleans())


@st.composite
def uniform_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows that all have the same columns: what an encoder makes a table of."""
    columns = draw(st.lists(keys, min_size=1, max_size=4, unique=True))
    cells = st.one_of(scalars, st.none())
    found = draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, cells)), max_size=4))
    return [row for row in found if any(cell is not None for cell in row.values())]


values = st.dictionaries(keys, st.one_of(scalars, uniform_rows()), max_size=6)


@pytest.fixture(scope="module")
def node() -> Iterator[NodeOracle]:
    with NodeOracle() as oracle:
        yield oracle


def decode(data: bytes | bytearray) -> Message:
    return toon.decode(data, MAX_BYTES, MAX_TOKENS)  # type: ignore[no-any-return]


def reading(decoder: Callable[[str], Any], text: str) -> tuple[Any] | None:
    """What an oracle reads, in a tuple; None for a refusal."""
    try:
        return (decoder(text),)
    except Refused:
        return None


@settings(max_examples=200, deadline=None)
@given(messages, kinds)
def test_a_message_survives_writing_and_reading(message: Message, kind_of: Any) -> None:
    written = toon.encode(message, kind_of)
    assert decode(written) == message
    assert decode(bytearray(written)) == message
    assert decode(written.replace(b"\n", b"\r\n") + b"\r\n") == message


@settings(max_examples=100, deadline=None)
@given(messages, kinds)
def test_the_pieces_are_the_document(message: Message, kind_of: Any) -> None:
    written = toon.encode(message, kind_of)
    pieces = list(toon.encode_pieces(message, kind_of))
    assert b"".join(pieces) == written
    longest = max(len(line) for line in written.split(b"\n"))
    # Each of the piece's characters may take four bytes.
    assert all(len(piece) <= max(4 * toon.PIECE_CHARACTERS, longest + 1) for piece in pieces)


@settings(max_examples=200, deadline=None)
@given(messages, kinds)
def test_the_oracles_read_what_is_written_and_write_it_again(
    node: NodeOracle, message: Message, kind_of: Any
) -> None:
    written = toon.encode(message, kind_of).decode()
    assert same(message, python_decode(written))
    assert same(message, node.decode(written))
    # Through their numbers and back: a bare token is one that nobody changes.
    assert toon_format.dumps(toon_format.loads(written)) == written
    assert node.rewrite(written) == written


@settings(max_examples=200, deadline=None)
@given(values, st.sampled_from(DELIMITERS))
def test_what_the_oracles_write_is_read_as_they_mean_it(
    node: NodeOracle, value: dict[str, Any], delimiter: str
) -> None:
    for written in (python_encode(value, delimiter), node.encode(value, delimiter)):
        assert same(decode(written.encode()), python_decode(written))


SEEDS = (
    'D1: dev_1\nHB2: 3600\nTS: "2026-11-20T10:00:00.000Z"\n',
    'A[2]{B,C}:\n  1,null\n  "x,y",z\n\n# note\nD: [x]\nE: []\n',
    'A[2\t]{B\tC}:\n  # c\n  a:b\tc\n  "d"\te\nF[0]:',
    'A[1|]{B|"C"}:\n  a"|"b|\\\n"K" : v\n',
    "A[3]{B}:\n  1\n  2\n  3",
)
edits = st.lists(
    st.tuples(
        st.integers(0, 80),
        st.integers(0, 2),
        st.one_of(
            st.sampled_from(
                [*'":,|\t\n\r #[]{}\\-0A', "null", "  ", "\n  ", "\\u0041", "[1]{A}:\n", "\ufeff"]
            ),
            st.characters(codec="utf-8"),
        ),
    ),
    max_size=5,
)


def edited(text: str, changes: list[tuple[int, int, str]]) -> str:
    """The text with each change made: characters from a place on dropped, others put there."""
    for place, dropped, inserted in changes:
        at = place % (len(text) + 1)
        text = text[:at] + inserted + text[at + dropped :]
    return text


documents = st.builds(edited, st.sampled_from(SEEDS), edits)


@settings(max_examples=1200, deadline=None)
@given(documents)
@example('A[1]{B}:\n  "a\nC: b"')
@example("A: 1\r\r\nB: 2\r")
@example("A[1]{B}:\n  - x")
@example("A[1]{B,C}:\n  [],-1")
def test_the_profile_is_all_that_is_refused_beyond_what_the_oracles_refuse(
    node: NodeOracle, text: str
) -> None:
    theirs = [reading(python_decode, text), reading(node.decode, text)]
    try:
        ours = decode(text.encode())
    except ToonError as error:
        # The oracles let bare control characters in strings pass; the grammar does not.
        if error.reason != toon_text.BARE_CONTROL:
            assert not all(value and message_of(value[0], text) is not None for value in theirs)
    else:
        assert all(value and same(ours, value[0]) for value in theirs)


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.binary(max_size=80), documents.map(str.encode)), st.binary(max_size=3))
def test_any_bytes_are_a_message_or_a_toon_error(data: bytes, tail: bytes) -> None:
    try:
        message = decode(data + tail)
    except ToonError as error:
        assert error.code == "MALFORMED"
        assert error.line >= 1
        assert error.column >= 1
    else:
        assert decode(toon.encode(message, lambda _key, _owner: "text")) == message


@settings(max_examples=200, deadline=None)
@given(documents, st.integers(0, 60), st.integers(0, 6), st.integers(0, 3), st.integers(0, 12))
def test_limits_hold_for_whatever_is_read(
    text: str, max_bytes: int, max_tokens: int, max_rows: int, max_value_bytes: int
) -> None:
    data = text.encode()
    try:
        message = toon.decode(data, max_bytes, max_tokens, max_rows, max_value_bytes)
    except ToonError:
        return
    assert len(data) <= max_bytes
    tables = [rows for rows in message.values() if isinstance(rows, list)]
    cells = [cell for rows in tables for row in rows for cell in row.values()]
    scalars = [value for value in message.values() if isinstance(value, str)]
    assert len(message) + len(cells) <= max_tokens
    assert sum(len(rows) for rows in tables) <= max_rows
    assert all(len(value.encode()) <= max_value_bytes for value in cells + scalars)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=12),
        st.lists(st.sampled_from(b"a\x80\x8f\x90\x9f\xa0\xbf\xc0\xc2\xe0\xed\xf0\xf4\xf5")).map(
            bytes
        ),
    )
)
def test_utf8_is_judged_as_cpython_judges_it(data: bytes) -> None:
    try:
        expected: str | None = data.decode("utf-8")
        place = -1
    except UnicodeDecodeError as error:
        expected = None
        place = error.start
    assert utf8.text(data) == expected
    assert utf8.fault(data) == place


class CountedText(str):
    """Text that counts the characters which searches in it go over."""

    scanned = 0

    def find(self, sub: str, start: Any = 0, end: Any = None) -> int:
        stop = len(self) if end is None else end
        found = super().find(sub, start, stop)
        self.scanned += max(0, (stop if found < 0 else found) - start) + 1
        return found


def refuse(reason: str, column: int) -> None:
    raise ToonError(reason, 1, column)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["\\\\", '"",', '\\"', ",", '"', "a\\,", "\\u0041", "x"]), max_size=4),
    st.sampled_from(["", '"', ",", "\\"]),
)
def test_searches_go_over_a_line_a_fixed_number_of_times(units: list[str], tail: str) -> None:
    text = CountedText('"' + "".join(units) * 200 + tail)
    toon_text.split_cells(text, ",", len(text))
    toon_text.split_cells(text, ":", len(text))
    toon_text.closing_quote(text, 1)
    with suppress(ToonError):
        toon_text.unquote(text, 1, refuse)
    assert text.scanned <= 12 * len(text) + 12

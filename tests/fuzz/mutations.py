"""Near-valid bytes: what a good message becomes when something on the way is careless or clever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

# What parsers trip over, in either syntax, in HTTP, and in Python.
FRAGMENTS: tuple[bytes, ...] = (
    b"|", b":", b"%", b"%0", b"%41", b"%7C", b"%25", b",", b'"', b"\\", b"\\u0000", b"\\ud800",
    b"\n", b"\r\n", b"\r", b"\t", b"\x00", b"\x7f", b" ", b"  ", b"#", b"- ", b"[", b"]", b"{",
    b"}", b"[]", b"[0]", b"[1]", b"[0].A:1", b"_COUNT", b"A_COUNT:1", b"A[1]{B}:\n  1", b"null",
    b"true", b"-0", b"1e999", b"0x10", b"1_000", b"\xef\xbb\xbf", b"\xc0\xaf", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80", b"\xff", "\u0661".encode(), "\U0001f4a9".encode(), b"SIG1", b"SIG_X",
    b"OP", b"D1", b"CMD[0].CMD1", b"9" * 40, b"A" * 300, b"/../", b"\xe2\x80\xa8", b"=", b"&",
)  # fmt: skip

KEYS = (
    "D1", "TS", "NONCE", "OP", "SIG1", "SIG_SERV", "KID", "RQ", "ERR1", "RTO", "RTY", "CMD",
    "LINK", "EVENT", "LOG", "FW2", "FW_AVAILABLE", "S1", "ZZ", "A_COUNT", "SIG_X", "a",
)  # fmt: skip

fragments = st.sampled_from(FRAGMENTS) | st.binary(max_size=8)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """The data with a few bytes cut out, put in, exchanged or repeated."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + draw(st.sampled_from([0, 1, 40])))))
        middle = draw(fragments) if draw(st.booleans()) else data[start:end] * 2
        data = data[:start] + middle + data[end:]
    return data


values = (
    st.text(max_size=12)
    | st.sampled_from(["", "0", "-1", "true", "x" * 4097, "2027-01-15T08:00:00Z", "A" * 44])
    | st.lists(st.dictionaries(st.sampled_from(["A", "SEQ", "KEY", "SIG", "CMD1", "TS"]),
                               st.text(max_size=8), min_size=1, max_size=3), max_size=3)
)  # fmt: skip


@st.composite
def bent(draw: st.DrawFn, message: dict[str, Any], keys: Sequence[str] = KEYS) -> dict[str, Any]:
    """The message with a few tokens put in, changed or left out; it may not be one any more."""
    message = dict(message)
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from([*message, *keys]))
        if draw(st.booleans()):
            message[key] = draw(values)
        else:
            message.pop(key, None)
    return message

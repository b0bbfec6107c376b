"""Bytes at the codecs: a message that means the same when it is written again, or a named error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_agent import bundle, lines, signing, toon
from ks_agent.errors import LinesError, Malformed, ToonError
from ks_agent.message import canonical, check, check_names
from ks_agent.tokens import kind_of
from tests.fuzz.mutations import fragments, mutated

EXAMPLES = settings.get_profile("fuzz")

MESSAGE: dict[str, Any] = {
    "D1": "dev_1",
    "TS": "2026-11-20T10:00:00.000Z",
    "NONCE": "0123456789abcdef",
    "HB2": "3600",
    "HB3": "48.5",
    "FW_AVAILABLE": "true",
    "ERR2": 'a "quoted", %|\n\t text: \u00e4',
    "CMD": [{"CMD1": "c1", "CMD2": "RESTART"}, {"CMD1": "c2", "CMD3": "A:1|B:%25"}],
    "LINK": [],
}
TOON = toon.encode(MESSAGE, kind_of)
LINES = lines.encode(MESSAGE)
MANIFEST = toon.encode(
    {
        "KIND": "application",
        "FW1": "app-1",
        "FW2": "1.0.0",
        "COUNTER": "1",
        "BUILT": "2026-11-20T10:00:00.000Z",
        "EXPIRES": "2027-11-20T10:00:00.000Z",
        "TYPES": "ESP32_TERMINAL",
        "FILE": [{"PATH": "main.py", "SHA256": "0" * 64, "SIZE": "7"}],
    },
    kind_of,
)
junk = st.lists(fragments, max_size=12).map(b"".join)


@settings(EXAMPLES, max_examples=250)
@given(data=mutated(TOON) | junk)
def test_near_toon_is_a_message_that_survives_or_a_toon_error(data: bytes) -> None:
    try:
        message = toon.decode(data, 4096)
    except ToonError as error:
        assert error.line >= 1
        assert error.column >= 1
        return
    try:
        check_names(message)
    except Malformed:
        return
    survives(message)


@settings(EXAMPLES, max_examples=250)
@given(data=mutated(LINES) | junk)
def test_near_token_lines_are_a_message_that_survives_or_a_lines_error(data: bytes) -> None:
    try:
        message = lines.decode(data, 4096)
    except LinesError as error:
        assert error.position >= 0
        return
    survives(message)


def survives(message: dict[str, Any]) -> None:
    """Both syntaxes carry it, and it has one canonical string."""
    check(message)
    text = canonical(message)
    for syntax in ("text/toon", "text/plain"):
        data = signing.compose(message, syntax)
        if message:
            again = signing.parse(data, syntax, 100_000, 4096)
            assert again == message
            assert canonical(again) == text


@settings(EXAMPLES, max_examples=150)
@given(data=st.data())
def test_bytes_of_one_syntax_read_as_the_other_have_another_signature_or_none(
    data: st.DataObject,
) -> None:
    """Else a signed message could be made to say something else by its Content-Type."""
    body = data.draw(st.sampled_from([TOON, LINES]).flatmap(mutated))
    read = []
    for syntax in ("text/toon", "text/plain"):
        try:
            read.append(signing.parse(body, syntax, 4096))
        except Malformed:
            continue
    if len(read) == 2 and canonical(read[0]) == canonical(read[1]):
        assert read[0] == read[1]


@settings(EXAMPLES, max_examples=150)
@given(data=mutated(MANIFEST) | junk)
def test_near_manifests_are_manifests_of_safe_paths_or_malformed(data: bytes) -> None:
    try:
        manifest = bundle.parse_manifest(data)
    except Malformed:
        return
    for row in manifest["FILE"]:
        assert ".." not in row["PATH"].split("/")
        assert not row["PATH"].startswith("/")
        assert int(row["SIZE"]) >= 0
    assert int(manifest["COUNTER"]) >= 0


@settings(EXAMPLES, max_examples=100)
@given(data=mutated(bundle.make_head(MANIFEST, signing.b64(bytes(64)))))
def test_near_heads_are_heads_or_malformed(data: bytes) -> None:
    try:
        length, signature = bundle.parse_head(data)
    except Malformed:
        return
    assert 0 < length <= bundle.MANIFEST_MAX_BYTES
    assert len(signing.unb64(signature)) == 64


@pytest.mark.parametrize("syntax", ["text/toon", "text/plain"])
def test_limits_are_heeded_at_their_edge(syntax: str) -> None:
    message = {f"Z{number}": "1" for number in range(128)}
    data = signing.compose(message, syntax)
    assert signing.parse(data, syntax, len(data)) == message
    for limits in ((len(data) - 1, 128), (len(data), 127)):
        with pytest.raises(Malformed):
            signing.parse(data, syntax, *limits)

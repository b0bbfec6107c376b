"""Messages, their two syntaxes and their canonical string, on whatever hypothesis thinks of."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ks_agent import bundle, lines, schema, signing, timetext, tokens, toon
from ks_agent.errors import BadSignature, LinesError, Malformed, MissingToken, PeerError
from ks_agent.lines import unescape
from ks_agent.message import SIGNATURE_KEYS, Canonical, canonical, check, escape
from ks_agent.store import as_text
from ks_crypto.port import Ed25519Crypto
from ks_server.crypto import NaclCrypto

Message = dict[str, str | list[dict[str, str]]]

NACL = NaclCrypto(cached_keys=8)
PURE = Ed25519Crypto()
LIMITS = {"max_bytes": 1 << 20, "max_tokens": 4096, "max_rows": 256, "max_value_bytes": 1 << 16}
SYNTAXES = (signing.TOON, signing.LINES)

examples = settings(max_examples=100, deadline=None)

# Short keys from few letters, so that one is often the beginning of another, and real ones.
letters = st.text("ABZ019_", max_size=4)
made_keys = st.builds(str.__add__, st.sampled_from("ABCMZ"), letters)
real_keys = st.sampled_from(
    ["D1", "TS", "NONCE", "OP", "KID", "CMD", "CMD1", "CMD_IDS", "FW1", "FW2", "HB2", "HB4", "A1"]
)
fields = made_keys | real_keys | st.sampled_from(["SIG_SERV", "SIG", "N_COUNT"])
keys = (made_keys | real_keys).filter(lambda key: not key.endswith("_COUNT"))

tricky = st.sampled_from(
    ["", " ", "null", "true", "-", "#", '"', "\\", "[]", "{}", ":", ",", "|", "%", "%7C", "%25",
     "\n", "\r\n", "\t", "\x00", "\x7f", "\x80", "\u2028", "\ufeff", "1.10", "1e5", "007", "+1",
     "A:B|C:D", "2026-11-20T10:00:00.000Z", "a, b", " a", "a ", "- a", "\U0001f600", "\ud7ff\ue000"]
)  # fmt: skip
values = st.text(max_size=24) | tricky | st.builds(str.__add__, tricky, tricky)
rows = st.lists(st.dictionaries(fields, values, min_size=1, max_size=4), max_size=4)
messages: st.SearchStrategy[Message] = st.dictionaries(keys, values | rows, min_size=1, max_size=8)
line_parts = st.lists(
    st.sampled_from(
        ["A:1", "A:", ":", "B_COUNT:", "B_COUNT:1", "B[0].X:", "B[1].X:2", "B[", "].", "%7C", "%",
         "|", "\n", "SIG1:x", "SIG2:x", "C_COUNT:0", "D1:dev_1", "\u00e9", "\x01", "9999"]
    ),
    max_size=12,
)  # fmt: skip
near_lines = line_parts.map("|".join) | line_parts.map("".join)


@given(messages)
@examples
def test_a_message_through_both_syntaxes_is_the_same_message(message: Message) -> None:
    through_toon = toon.decode(toon.encode(message, tokens.kind_of), **LIMITS)
    assert through_toon == message
    through_lines = lines.decode(lines.encode(through_toon), **LIMITS)
    assert through_lines == message
    again = toon.decode(toon.encode(through_lines, as_text), **LIMITS)
    assert again == message
    assert canonical(again) == canonical(through_lines) == canonical(message)


@given(messages)
@examples
def test_pieces_of_a_message_add_up_to_the_whole(message: Message) -> None:
    assert b"".join(Canonical(message)) == canonical(message)
    pieces = toon.encode_pieces(message, tokens.kind_of)
    assert b"".join(pieces) == toon.encode(message, tokens.kind_of)


def textbook(message: Message) -> bytes:
    """The canonical string as docs/protocol.md words it, step by step."""
    flat: dict[str, str] = {}
    for key, value in message.items():
        if isinstance(value, str):
            flat[key] = value
        else:
            flat[f"{key}_COUNT"] = f"{len(value)}"
            for number, row in enumerate(value):
                flat |= {f"{key}[{number}].{field}": text for field, text in row.items()}
    special = {"%": "%25", "|": "%7C", "\n": "%0A", "\r": "%0D", "\x7f": "%7F"}
    special |= {chr(code): f"%{code:02X}" for code in range(32)}
    return "|".join(
        f"{key}:{''.join(special.get(character, character) for character in flat[key])}"
        for key in sorted(flat)
        if key not in SIGNATURE_KEYS
    ).encode()


@given(messages, st.dictionaries(st.sampled_from(SIGNATURE_KEYS), values))
@examples
def test_the_canonical_string_is_what_the_document_says(
    message: Message, signatures: dict[str, str]
) -> None:
    assert canonical(message | signatures) == textbook(message)
    assert canonical(message | signatures) == canonical(message)


@given(messages, messages)
@examples
@example({"A": [{"B": "1"}]}, {"A": []})
@example({"A": "1|B:2"}, {"A": "1", "B": "2"})
@example({"A": "%7C"}, {"A": "|"})
@example({"A": [{"B": "1", "C": "2"}]}, {"A": [{"B": "1"}, {"C": "2"}]})
def test_two_messages_never_share_a_canonical_string(one: Message, other: Message) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


@given(messages)
@examples
def test_a_canonical_string_can_be_read_back(message: Message) -> None:
    assert lines.decode(canonical(message), **LIMITS) == message


@given(messages)
@examples
def test_no_message_begins_like_a_context_of_its_own(message: Message) -> None:
    assert not canonical(message).startswith(b"KS-")


@given(values, values)
@examples
def test_the_escape_is_one_to_one(one: str, other: str) -> None:
    assert unescape(escape(one)) == one
    assert (escape(one) == escape(other)) == (one == other)
    assert not set(escape(one)) & {"|", "\n", "\r", "\x00", "\x7f"}


@given(values)
@examples
def test_an_escaped_text_has_one_spelling(text: str) -> None:
    with suppress(Malformed):
        assert escape(unescape(text)) == "".join(
            f"%{ord(c):02X}" if c == "|" or c < " " or c == "\x7f" else c for c in text
        )


@given(st.binary(max_size=200) | near_lines.map(str.encode))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_token_lines_or_a_lines_error(data: bytes) -> None:
    try:
        message = lines.decode(data, 1000)
    except LinesError as error:
        assert error.code == "MALFORMED"
        assert error.reason
        assert 0 <= error.position <= 128
        return
    check(message)
    assert lines.decode(lines.encode(message), 2000) == message
    assert toon.decode(toon.encode(message, tokens.kind_of), 4000) == message


@given(messages, st.integers(min_value=0), st.integers(min_value=0, max_value=255))
@examples
def test_one_changed_byte_of_a_line_gives_another_message_or_an_error(
    message: Message, place: int, byte: int
) -> None:
    data = bytearray(lines.encode(message))
    data[place % len(data)] = byte
    with suppress(LinesError):
        changed = lines.decode(bytes(data), **LIMITS)
        assert (changed == message) == (bytes(data) == lines.encode(message))


@given(st.binary(max_size=300), st.sampled_from(SYNTAXES))
@examples
def test_any_bytes_parse_to_a_message_or_a_peer_error(data: bytes, content_type: str) -> None:
    try:
        message = signing.parse(data, content_type, 1000)
    except Malformed as error:
        assert error.code == "MALFORMED"
        return
    check(message)
    canonical(message)
    for op in schema.REQUESTS:
        with suppress(Malformed, MissingToken):
            schema.check_request(op, message)


@given(st.sampled_from(sorted(schema.REQUESTS)), messages)
@examples
def test_any_message_is_a_request_or_a_named_error(op: str, message: Message) -> None:
    try:
        schema.check_request(op, message)
    except MissingToken as error:
        assert error.missing
        assert not [key for key in error.missing if key in message]
    except Malformed as error:
        assert error.reason


@given(st.sampled_from(sorted(schema.ANSWERS)), messages)
@examples
def test_any_message_is_an_answer_or_a_named_error(op: str, message: Message) -> None:
    with suppress(Malformed, MissingToken):
        tokens.check_answer(op, message)


@given(messages, st.binary(min_size=32, max_size=32))
@settings(max_examples=25, deadline=None)
def test_both_crypto_ports_make_and_take_the_same_signature(message: Message, seed: bytes) -> None:
    by_nacl, by_pure = dict(message), dict(message)
    signing.sign_message(NACL, seed, by_nacl)
    signing.sign_message(PURE, seed, by_pure)
    assert by_nacl == by_pure
    public = NACL.public_key(seed)
    signing.verify_message(NACL, public, by_pure, "SIG1")
    signing.verify_message(PURE, public, by_nacl, "SIG1")


@given(messages, st.sampled_from(SYNTAXES), st.sampled_from(SYNTAXES))
@examples
def test_a_signature_survives_a_change_of_syntax(message: Message, one: str, other: str) -> None:
    seed = bytes(32)
    signed: Message = dict(message)
    signing.sign_message(NACL, seed, signed)
    first = signing.parse(signing.compose(signed, one), one, 1 << 20)
    second = signing.parse(signing.compose(first, other), other, 1 << 20)
    signing.verify_message(NACL, NACL.public_key(seed), second, "SIG1")
    assert signing.request_digest(NACL, second) == signing.request_digest(NACL, signed)


@given(messages, messages)
@examples
def test_a_signature_is_good_for_one_message_only(one: Message, other: Message) -> None:
    seed = bytes(32)
    signed: Message = dict(one)
    signing.sign_message(NACL, seed, signed)
    moved: Message = dict(other, SIG1=signed["SIG1"])
    try:
        signing.verify_message(NACL, NACL.public_key(seed), moved, "SIG1")
    except BadSignature:
        assert one != other
    else:
        assert one == other


@given(st.text(max_size=120) | st.binary(max_size=80).map(signing.b64))
@examples
def test_any_text_is_strict_base64_or_malformed(text: str) -> None:
    try:
        raw = signing.unb64(text)
    except Malformed:
        return
    assert signing.b64(raw) == text


@given(st.text(max_size=120) | st.binary(max_size=200).map(signing.b64))
@examples
def test_any_text_is_a_public_key_or_malformed(text: str) -> None:
    with suppress(Malformed):
        assert len(signing.decode_public_key(text)) == 32


moments = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31))


@given(moments)
@examples
def test_times_agree_with_datetime(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    unix_ms = elapsed // timedelta(milliseconds=1)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.").zfill(20) + f"{moment.microsecond:06}Z"
    assert timetext.parse_ms(text) == unix_ms
    assert timetext.format_ms(unix_ms) == text[:-4] + "Z"
    for digits in range(1, 7):
        short = text[: 20 + digits] + "Z"
        expected = unix_ms // 10 ** max(3 - digits, 0) * 10 ** max(3 - digits, 0)
        assert timetext.parse_ms(short) == expected
    assert timetext.parse_ms(text[:19] + "Z") == unix_ms // 1000 * 1000


@given(st.text("0123456789-:.TZ +", max_size=28))
@settings(max_examples=400, deadline=None)
@example("2026-02-29T00:00:00Z")
def test_any_text_is_a_time_that_datetime_knows_or_malformed(text: str) -> None:
    try:
        unix_ms = timetext.parse_ms(text)
    except Malformed:
        return
    known = datetime.fromisoformat(text)
    assert (known - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == unix_ms


@given(st.binary(min_size=100, max_size=160))
@examples
def test_any_bytes_are_a_head_or_malformed(data: bytes) -> None:
    for head in (data, b"KS-BUNDLE-1 LEN:" + data):
        with suppress(Malformed):
            length, signature = bundle.parse_head(head)
            assert bundle.make_head(bytes(length), signature) == head


@given(st.binary(max_size=300), messages)
@examples
def test_any_bytes_are_a_manifest_or_malformed(data: bytes, message: Message) -> None:
    for candidate in (data, toon.encode(message, as_text)):
        with suppress(PeerError):
            bundle.parse_manifest(candidate)


versions = st.from_regex(
    r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})"
    r"(-([0-9a-zA-Z-]{1,4})(\.[0-9a-zA-Z-]{1,4}){0,2})?",
    fullmatch=True,
)


@given(versions, versions, versions)
@examples
def test_versions_are_in_one_order(one: str, other: str, third: str) -> None:
    with suppress(Malformed):
        low, middle, high = sorted(bundle.version(text) for text in (one, other, third))
        assert low <= middle <= high
        assert low <= high
        assert (bundle.version(one) == bundle.version(other)) == (one == other)


@given(st.text(max_size=20))
@examples
def test_any_text_is_a_version_or_malformed(text: str) -> None:
    with suppress(Malformed):
        bundle.version(text)

"""A signature of one context is never good in another: all pairs, as if one key signed everything.

Keys of different roles would already keep most of these apart. Here they all are the same key, so
what is shown is that the signed strings themselves never meet: the older contexts differ by their
exact token sets, the newer ones begin with `KS-...-1|`, as no canonical string can.

One pair meets on purpose: SIG1 and SIG_NEW of a rotate-key request cover the same string. They are
made by different keys, the old one and the new one, and the request's NONCE is used only once.
"""

import base64
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from ks_agent import lines, schema, signing
from ks_agent.errors import BadSignature, Malformed, MissingToken
from ks_agent.message import canonical
from ks_agent.schema import LISTS as LIST_FIELDS
from ks_agent.tokens import COMMAND_REQUIRED, COMMAND_SIGNED, check_answer
from ks_server.crypto import NaclCrypto

CRYPTO = NaclCrypto()
SEED = bytes(range(32))
PUBLIC = CRYPTO.public_key(SEED)
PUBLIC_TEXT = signing.b64(PUBLIC)

Message = dict[str, str | list[dict[str, str]]]

TOKENS = {
    "D1": "dev_1",
    "TS": "2026-11-20T10:00:00.000Z",
    "NONCE": "0123456789abcdef",
    "KID": "0123abcd",
    "D2": "ESP32_TERMINAL",
    "D3": PUBLIC_TEXT,
    "PK1": PUBLIC_TEXT,
    "HB5": "2026-11-20T09:00:00.000Z",
    "LOG4": "2026-11-20T09:00:00.000Z",
    "JID": "0123456789abcdef",
    "FW2": "1.2.3",
    "FW4": "0" * 64,
    "AL4": "0" * 16,
    "RQ": "0" * 32,
    "CMD1": "0123456789abcdef-1",
    "CMD2": "RESTART",
    "CMD5": "2026-11-27T10:00:00.000Z",
    "FW_AVAILABLE": "true",
}
COMMAND = {key: TOKENS.get(key, "1") for key in COMMAND_SIGNED}
RELEASE = {key: TOKENS.get(key, "1") for key in ("FW1", "FW2", "FW4", "FW5")}
LISTS = {
    "CMD": COMMAND,
    "EVENT": {"A1": "e1"},
    "LINK": {"SEQ": "2", "KEY": PUBLIC_TEXT, "SIG": "x"},
    "LOG": {"LOG3": "x"},
    "RESULT": {"A1": "e1"},
}
ANSWER_ALWAYS = ("D1", "NONCE", "TS", "OP", "RQ")


@dataclass(frozen=True)
class Context:
    """One use of a signature.

    `texts`: what is signed in it, every combination of optional tokens that matters.
    `takes(text)`: whether anything that its verifier accepts is signed over exactly this text.
    `present(signature)`: puts a signature where this context has it, and verifies.
    """

    name: str
    texts: tuple[bytes, ...]
    takes: Callable[[bytes], bool]
    present: Callable[[str], None]


def tokens(op: str, keys: Iterable[str]) -> Message:
    """The named tokens with good values; a list has one row."""
    made: Message = {}
    for key in keys:
        if key in LIST_FIELDS:
            made[key] = [LISTS[key]]
        else:
            made[key] = op if key == "OP" else TOKENS.get(key, "1")
    return made


def subsets(keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every combination of few keys; of many, the small ones and the whole."""
    sizes = range(len(keys) + 1) if len(keys) <= 6 else (0, 1, 2, len(keys))
    for size in sizes:
        yield from itertools.combinations(keys, size)


def message_of(text: bytes) -> Message | None:
    """The one message with this canonical string; None when there is none."""
    try:
        message: Message = lines.decode(text, 1 << 16)
    except Malformed:
        return None
    return message if canonical(message) == text else None


def request_context(op: str, field: str = "SIG1") -> Context:
    declared = schema.REQUESTS[op]
    signatures = dict.fromkeys(("SIG1", "SIG_NEW") if op == "rotate-key" else ("SIG1",), "x")
    always = {*schema.ALWAYS_REQUIRED, *declared.required} - set(signatures)
    optional = sorted({"KID", "OP", *declared.optional, *declared.lists} - always)

    def takes(text: bytes) -> bool:
        message = message_of(text)
        if message is None:
            return False
        try:
            schema.check_request(op, message | signatures)
        except (Malformed, MissingToken):
            return False
        return True

    messages = [tokens(op, (*always, *chosen)) for chosen in subsets(tuple(optional))]
    messages = [message for message in messages if takes(canonical(message))]
    assert messages

    def present(signature: str) -> None:
        signing.verify_message(CRYPTO, PUBLIC, messages[0] | {field: signature}, field)

    return Context(f"{field} of {op}", tuple(map(canonical, messages)), takes, present)


def answer_context(op: str) -> Context:
    declared = schema.ANSWERS[op]
    always = (*ANSWER_ALWAYS, *declared.required)
    optional = (*declared.optional, *declared.lists, "LINK", "ERR1", "RTY")
    messages = [tokens(op, (*always, *chosen)) for chosen in subsets(optional)]

    def takes(text: bytes) -> bool:
        message = message_of(text)
        if message is None or any(key not in message for key in ANSWER_ALWAYS):
            return False
        try:
            check_answer(op, message)
        except (Malformed, MissingToken):
            return False
        return message["OP"] == op

    def present(signature: str) -> None:
        signing.verify_message(CRYPTO, PUBLIC, messages[0] | {"SIG_SERV": signature}, "SIG_SERV")

    # FW_SIG is left out of the string, so two of these may be one.
    texts = tuple(dict.fromkeys(map(canonical, messages)))
    return Context(f"SIG_SERV of the answer to {op}", texts, takes, present)


def command_context() -> Context:
    optional = tuple(key for key in COMMAND_SIGNED if key not in COMMAND_REQUIRED)
    rows = [
        {key: COMMAND[key] for key in (*COMMAND_REQUIRED, *chosen)} for chosen in subsets(optional)
    ]

    def takes(text: bytes) -> bool:
        message = message_of(text)
        return message is not None and (
            set(COMMAND_REQUIRED) <= set(message) <= set(COMMAND_SIGNED)
        )

    def present(signature: str) -> None:
        signing.verify_command(CRYPTO, PUBLIC, rows[-1] | {"SIG_SERV": signature})

    return Context("SIG_SERV of a command", tuple(map(canonical, rows)), takes, present)


def release_context() -> Context:
    def takes(text: bytes) -> bool:
        message = message_of(text)
        return message is not None and set(message) == set(RELEASE)

    def present(signature: str) -> None:
        signing.verify_release(CRYPTO, PUBLIC, RELEASE | {"FW_SIG": signature})

    return Context("FW_SIG", (canonical(RELEASE),), takes, present)


def text_context(name: str, pattern: str, *texts: str) -> Context:
    shape = re.compile(pattern.encode(), re.DOTALL)

    def takes(text: bytes) -> bool:
        return shape.fullmatch(text) is not None

    def present(signature: str) -> None:
        signing.verify_text(CRYPTO, PUBLIC, texts[0], signature)

    assert all(takes(text.encode()) for text in texts)
    return Context(name, tuple(text.encode() for text in texts), takes, present)


def admin_texts() -> Iterator[str]:
    for chosen in subsets(("CMD3", "CMD5")):
        row = {key: COMMAND[key] for key in ("CMD1", "CMD2", *chosen)}
        yield signing.admin_text(row, "dev_1")


CONTEXTS = [
    *(request_context(op) for op in schema.REQUESTS),
    request_context("rotate-key", "SIG_NEW"),
    *(answer_context(op) for op in schema.ANSWERS),
    command_context(),
    release_context(),
    text_context("manifest", r"KS-MANIFEST-1\|[0-9a-f]{64}", signing.manifest_text(CRYPTO, b"x")),
    text_context("administrator", r"KS-ADMIN-1\|CMD1:.*\|D1:[^|]*", *admin_texts()),
    text_context("LINK", r"KS-LINK-1\|SEQ:[0-9]+\|KEY:[^|]*", signing.link_text(2, PUBLIC_TEXT)),
    text_context(
        "factory proof", r"KS-PROOF-1(\|[^|]*){4}", signing.proof_text("d", "p", "00", "11")
    ),
    text_context(
        "trust", r"KS-TRUST-1\|KEY:[^|]*\|ROLE:[a-z]+", signing.trust_text("release", PUBLIC_TEXT)
    ),
]
BY_NAME = {context.name: context for context in CONTEXTS}
ROTATION = {"SIG1 of rotate-key", "SIG_NEW of rotate-key"}


def others(context: Context) -> Iterator[Context]:
    """Every other context, but for the one pair that shares its string."""
    for other in CONTEXTS:
        if other is not context and {context.name, other.name} != ROTATION:
            yield other


def sign(text: bytes) -> str:
    return base64.b64encode(CRYPTO.sign(SEED, (text,))).decode()


@pytest.mark.parametrize("name", BY_NAME)
def test_each_context_takes_what_is_signed_in_it(name: str) -> None:
    context = BY_NAME[name]
    assert all(context.takes(text) for text in context.texts)
    signatures = [sign(text) for text in context.texts]
    accepted = 0
    for signature in signatures:
        try:
            context.present(signature)
        except BadSignature:
            continue
        accepted += 1
    assert accepted == 1


@pytest.mark.parametrize("name", BY_NAME)
def test_no_other_context_takes_what_is_signed_in_this_one(name: str) -> None:
    context = BY_NAME[name]
    taken = [
        (other.name, text)
        for other in others(context)
        for text in context.texts
        if other.takes(text)
    ]
    assert taken == []


@pytest.mark.parametrize("name", BY_NAME)
def test_a_signature_of_this_context_fails_where_another_context_has_its_own(name: str) -> None:
    signatures = [sign(text) for text in BY_NAME[name].texts[:8]]
    for other in others(BY_NAME[name]):
        for signature in signatures:
            with pytest.raises(BadSignature):
                other.present(signature)


def test_every_context_of_the_protocol_is_here() -> None:
    assert len(CONTEXTS) == len(BY_NAME) == len(schema.REQUESTS) + len(schema.ANSWERS) + 8


def test_the_two_signatures_of_a_rotation_share_the_string_and_not_the_key() -> None:
    old, new = SEED, bytes(32)
    request = tokens("rotate-key", ("D1", "TS", "NONCE", "D3", "OP"))
    request["D3"] = signing.b64(CRYPTO.public_key(new))
    signing.sign_message(CRYPTO, old, request, "SIG1")
    signing.sign_message(CRYPTO, new, request, "SIG_NEW")
    schema.check_request("rotate-key", request)
    signing.verify_message(CRYPTO, PUBLIC, request, "SIG1")
    signing.verify_message(CRYPTO, CRYPTO.public_key(new), request, "SIG_NEW")
    swapped = request | {"SIG1": request["SIG_NEW"], "SIG_NEW": request["SIG1"]}
    with pytest.raises(BadSignature):
        signing.verify_message(CRYPTO, PUBLIC, swapped, "SIG1")
    with pytest.raises(BadSignature):
        signing.verify_message(CRYPTO, CRYPTO.public_key(new), swapped, "SIG_NEW")

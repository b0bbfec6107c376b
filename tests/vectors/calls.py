"""Calls of the facade with wrong lengths and types: ValueError, never an answer."""

from collections.abc import Iterator

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from .cases import Case

SEED = bytes(range(32))
MESSAGE = b"message"
PUBLIC, SECRET = crypto_sign_seed_keypair(SEED)
SIGNATURE = crypto_sign(MESSAGE, SECRET)[:64]

LENGTHS = [*range(66), 95, 96, 127, 128, 256]
# 32 or 64 things that are no bytes, or bytes that are longer than they are many.
WRONG_TYPES = (
    "None", "0", "32", "True", "1.5", "'s' * 32", "'s' * 64", "[0] * 32", "[0] * 64", "(1,) * 32",
    "range(32)", "{}", "object()", "memoryview(__import__('array').array('I', [1] * 32))",
    "memoryview(__import__('array').array('I', [1] * 64))",
    "memoryview(__import__('array').array('H', [1] * 32))",
    "memoryview(__import__('array').array('H', [1] * 64))",
)  # fmt: skip
WRONG_PIECES = (
    "None", "0", "b''", "b'message'", "bytearray(b'message')", "memoryview(b'message')",
    "'message'", "['message']", "[109]", "[None]", "[b'mess', 'age']", "[[b'message']]",
    "iter([b'message'])", "(piece for piece in [b'message'])", "map(bytes, [b'message'])",
    "[memoryview(__import__('array').array('I', [1]))]",
)  # fmt: skip


def wrong_calls() -> list[Case]:
    """All of them, and first that the right calls are taken."""
    right = [
        (f"ed25519.public_key({SEED!r}) == {PUBLIC!r}", "True"),
        (f"ed25519.sign({SEED!r}, [{MESSAGE!r}]) == {SIGNATURE!r}", "True"),
        (f"ed25519.verify({PUBLIC!r}, [{MESSAGE!r}], {SIGNATURE!r})", "True"),
        (
            f"ed25519.verify(bytearray({PUBLIC!r}), [{MESSAGE!r}], memoryview({SIGNATURE!r}))",
            "True",
        ),
        (f"ed25519.verify({PUBLIC!r}, [], {SIGNATURE!r})", "False"),
        (f"ed25519.sign({SEED!r}, [{MESSAGE!r}], True) == {SIGNATURE!r}", "True"),
    ]
    wrong = [(expression, "ValueError") for expression in wrong_expressions()]
    return [Case(said, f"call {said}", answer) for said, answer in right + wrong]


def wrong_expressions() -> Iterator[str]:
    """One wrong argument at a time."""
    pieces = f"[{MESSAGE!r}]"
    for right, form in (
        (SEED, "ed25519.public_key(WRONG)"),
        (PUBLIC, "ed25519.prepare(WRONG)"),
        (SEED, f"ed25519.sign(WRONG, {pieces})"),
        (PUBLIC, f"ed25519.verify(WRONG, {pieces}, {SIGNATURE!r})"),
        (SIGNATURE, f"ed25519.verify({PUBLIC!r}, {pieces}, WRONG)"),
    ):
        for length in LENGTHS:
            if length != len(right):
                yield form.replace("WRONG", repr((right * 8)[:length]))
        for value in WRONG_TYPES:
            yield form.replace("WRONG", value)
    for value in WRONG_PIECES:
        yield f"ed25519.sign({SEED!r}, {value})"
        yield f"ed25519.verify({PUBLIC!r}, {value}, {SIGNATURE!r})"

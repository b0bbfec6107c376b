"""What the driver is asked and what it has to answer: one line each, built on the host.

A set of cases is a list of Case. The answers to signing are those of PyNaCl or of published
vectors; the answers to verifying are always PyNaCl's.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cryptography_vectors
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from . import curve

PUBLISHED = Path(cryptography_vectors.__file__).parent / "asymmetric" / "Ed25519"
RANDOM_SEED = 8032
MESSAGE_BYTES = 1024
MESSAGES_PER_KEY = 10
# Preparing a key takes longer than a few signatures: of so many, every sixteenth is enough.
MANY_KEYS = 500
PREPARED_EVERY = 16
# Keys without and with a small-order part. The second kind is nobody's, but libsodium takes it.
PREPARED = "prepared keys"
PREPARED_MIXED = "prepared keys of mixed order"

# RFC 8032, section 7.1; the core's tests read it too, on the terminal's interpreter.
RFC_8032 = Path(__file__).with_name("ed25519_rfc8032.txt")


@dataclass(frozen=True)
class Case:
    """A line for the driver and the line that it has to answer."""

    name: str
    line: str
    answer: str


def signing(name: str, seed: bytes, pieces: Sequence[bytes], public: bytes, made: bytes) -> Case:
    """That `seed` has this public key and signs the pieces like this."""
    return Case(name, f"sign {seed.hex()} {text(pieces)}", f"{public.hex()} {made.hex()}")


def verifying(name: str, public: bytes, pieces: Sequence[bytes], signature: bytes) -> Case:
    """That a signature gets PyNaCl's verdict."""
    verdict = judged(public, b"".join(pieces), signature)
    return Case(name, f"verify {public.hex()} {text(pieces)} {signature.hex()}", str(verdict))


def judged(public: bytes, message: bytes, signature: bytes) -> bool:
    """libsodium's verdict, on a key and a signature of the right length."""
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def prepared(sets: Iterable[Sequence[Case]], with_tables: bool) -> dict[str, list[Case]]:
    """Signatures of the sets once more, by a prepared key; of large sets some keys only.

    An engine with tables cannot prepare a key of mixed order.
    """
    made: dict[str, list[Case]] = {PREPARED: [], PREPARED_MIXED: []}
    for some in sets:
        asked = [case for case in some if case.line.startswith("verify ")]
        by_key: dict[str, list[Case]] = {}
        for case in asked:
            by_key.setdefault(case.line.split(" ")[1], []).append(case)
        every = PREPARED_EVERY if len(by_key) > MANY_KEYS else 1
        for public in list(by_key)[::every]:
            name, cases = by_one_key(bytes.fromhex(public), by_key[public], with_tables)
            made[name] += cases
    return made


def by_one_key(public: bytes, asked: Sequence[Case], with_tables: bool) -> tuple[str, list[Case]]:
    """The set that the key belongs to, and its cases."""
    lines = [case.line.replace("verify", "prepared", 1) for case in asked]
    right = [Case(case.name, line, case.answer) for case, line in zip(asked, lines, strict=True)]
    none = [Case(case.name, line, "no key") for case, line in zip(asked, lines, strict=True)]
    point = curve.decode(public)
    if point is None or curve.encode(point) != public or public in curve.SMALL_ORDER_ENCODINGS:
        return PREPARED, none
    if not curve.is_neutral(curve.multiply(curve.L, point)):
        return PREPARED_MIXED, none if with_tables else right
    return PREPARED, [*right, Case("its table", f"table {public.hex()}", "True")]


def text(pieces: Sequence[bytes]) -> str:
    """Pieces in the driver's form: hex, with commas between; a dash for no piece at all."""
    return ",".join(piece.hex() for piece in pieces) if pieces else "-"


def cut(message: bytes, chance: random.Random) -> list[bytes]:
    """The message in up to eight pieces, empty ones among them."""
    borders = sorted(chance.randint(0, len(message)) for _ in range(chance.randint(0, 7)))
    ends = [*borders, len(message)]
    return [message[start:end] for start, end in zip([0, *borders], ends, strict=True)]


def published() -> list[Case]:
    """All signatures that `cryptography` is tested with: a message of each length to 1,023."""
    chance = random.Random(RANDOM_SEED)
    cases = []
    for seed, public, message, signature in published_signatures():
        cases += both_ways(seed, cut(message, chance), public, signature)
    return cases


def published_signatures() -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Seed, public key, message and signature; the file repeats public key and message."""
    with (PUBLISHED / "sign.input").open() as lines:
        for line in lines:
            seed, public, message, signature, _ = line.split(":")
            yield (
                bytes.fromhex(seed)[:32],
                bytes.fromhex(public),
                bytes.fromhex(message),
                bytes.fromhex(signature)[:64],
            )


def rfc_8032_signatures() -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Seed, public key, message and signature of RFC 8032, section 7.1."""
    for line in RFC_8032.read_text().splitlines():
        if not line.startswith("#"):
            seed, public, message, signature = (bytes.fromhex(part) for part in line.split(":"))
            yield seed, public, message, signature


def rfc_8032() -> list[Case]:
    """The five tests of RFC 8032, section 7.1, each message in one piece."""
    cases = []
    for seed, public, message, signature in rfc_8032_signatures():
        cases += both_ways(seed, [message], public, signature)
    return cases


def both_ways(seed: bytes, pieces: Sequence[bytes], public: bytes, made: bytes) -> list[Case]:
    """Signing as known, and verifying what is known."""
    name = f"{sum(map(len, pieces))} bytes in {len(pieces)} pieces"
    return [
        signing(f"sign {name}", seed, pieces, public, made),
        verifying(f"verify {name}", public, pieces, made),
    ]


def crossed(count: int) -> list[Case]:
    """`count` random messages, signed by either side for the other, always the same ones.

    A key signs MESSAGES_PER_KEY of them. For each key there is a signature with a flipped bit too.
    """
    chance = random.Random(RANDOM_SEED)
    cases: list[Case] = []
    for index in range(count):
        if index % MESSAGES_PER_KEY == 0:
            seed = chance.randbytes(32)
            public, secret = crypto_sign_seed_keypair(seed)
        message = chance.randbytes(chance.randint(0, MESSAGE_BYTES))
        signature = crypto_sign(message, secret)[:64]
        cases += both_ways(seed, cut(message, chance), public, signature)
        if index % MESSAGES_PER_KEY == 0:
            spoiled = flipped(signature, chance.randrange(512))
            cases.append(verifying("verify a flipped bit", public, [message], spoiled))
    return cases


def flipped(data: bytes, bit: int) -> bytes:
    """The data with one bit flipped; bit 0 is the lowest of the first byte."""
    changed = bytearray(data)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)

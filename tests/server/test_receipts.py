"""Receipts: what is true verifies with public keys alone, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_agent import signing, tokens, toon
from ks_server import receipts
from ks_server.crypto import NaclCrypto
from ks_server.receipts import ReceiptError

CRYPTO = NaclCrypto()
JID = "00112233445566ff"
SEEDS = (b"1" * 32, b"2" * 32, b"3" * 32)
PUBLIC = [CRYPTO.public_key(seed) for seed in SEEDS]
MADE = "2026-11-20T10:00:00.000Z"


def punches(count: int, first: int = 1, prev: str = "") -> list[dict[str, str]]:
    """Fields as a terminal sends them, chained."""
    rows = []
    for seq in range(first, first + count):
        row = {
            "A1": f"{JID}-{seq}",
            "A2": "IN" if seq % 2 else "OUT",
            "A3": f"2026-11-20T09:{seq % 60:02}:00.000Z",
            "BOOT": "7",
            "CLK": "SYNCED",
            "E1": ["12E45678", "müller|a", "00012345"][seq % 3],
            "METHOD": "RFID",
            "PREV": prev,
            "SEQ": str(seq),
            "UP": str(seq * 60_000),
        }
        prev = hash_of(row)
        rows.append(row)
    return rows


def hash_of(row: dict[str, str]) -> str:
    return receipts.hash_of(CRYPTO, {**row, "JID": JID})


def links() -> list[dict[str, str]]:
    """Key 1 introduces key 2, which introduces key 3."""
    made = []
    for seq in (2, 3):
        text = str(signing.b64(PUBLIC[seq - 1]))
        signature = signing.sign_text(CRYPTO, SEEDS[seq - 2], signing.link_text(seq, text))
        made.append({"KEY": text, "SEQ": str(seq), "SIG": str(signature)})
    return made


def make(rows: list[dict[str, str]], signer: int = 0, **values: Any) -> bytes:
    kid = str(signing.key_id(CRYPTO, PUBLIC[signer]))
    fields = {"d1": "dev_1", "jid": JID, "kid": kid, "made": MADE, **values}
    return receipts.make(CRYPTO, SEEDS[signer], rows=rows, **fields)


def code_of(document: bytes, keys: list[bytes] | None = None) -> str:
    with pytest.raises(ReceiptError) as refused:
        receipts.verify(CRYPTO, document, PUBLIC[:1] if keys is None else keys)
    assert str(refused.value)
    return refused.value.code


def test_a_receipt_tells_what_was_stored() -> None:
    rows = punches(5)
    found = receipts.verify(CRYPTO, make(rows), PUBLIC)
    assert (found.d1, found.jid, found.first_seq, found.last_seq) == ("dev_1", JID, 1, 5)
    assert (found.rows, found.made, found.erased, found.rejected) == (rows, MADE, 0, 0)
    assert found.key == signing.b64(PUBLIC[0])


def test_a_receipt_may_begin_anywhere_in_a_journal() -> None:
    rows = punches(9)[3:]
    assert receipts.verify(CRYPTO, make(rows), PUBLIC).first_seq == 4


def test_an_erased_punch_still_links_the_chain() -> None:
    rows = punches(4)
    kept = []
    for row in rows:
        left = {key: text for key, text in row.items() if key != "E1" or row["SEQ"] != "2"}
        kept.append(receipts.row_of(CRYPTO, JID, left, hash_of(row)))
    assert kept[1] == {"HASH": hash_of(rows[1]), "PREV": hash_of(rows[0]), "SEQ": "2"}
    found = receipts.verify(CRYPTO, make(kept), PUBLIC)
    assert (found.erased, found.rows[0], found.rows[3]) == (1, rows[0], rows[3])


def test_a_punch_in_quarantine_says_why() -> None:
    row = punches(1)[0]
    shown = receipts.row_of(CRYPTO, JID, row, hash_of(row), "MALFORMED")
    assert receipts.verify(CRYPTO, make([shown]), PUBLIC).rejected == 1


def test_a_later_key_is_found_over_its_links_from_any_key_before_it() -> None:
    document = make(punches(2), signer=2, links=links())
    for key in PUBLIC:
        assert receipts.verify(CRYPTO, document, [key]).key == signing.b64(PUBLIC[2])
    assert code_of(document, [CRYPTO.public_key(b"4" * 32)]) == "UNKNOWN_KEY"
    assert code_of(document, []) == "UNKNOWN_KEY"
    assert code_of(make(punches(2), signer=2), [PUBLIC[0]]) == "UNKNOWN_KEY"


def test_a_link_does_not_lead_backwards() -> None:
    assert code_of(make(punches(1), signer=0, links=links()), [PUBLIC[2]]) == "UNKNOWN_KEY"


def test_every_flipped_bit_is_noticed() -> None:
    rows = punches(3)
    erased = receipts.row_of(CRYPTO, JID, {"SEQ": "4", "PREV": hash_of(rows[2])}, "ab" * 8)
    document = make([*rows, erased], signer=1, links=links())
    receipts.verify(CRYPTO, document, PUBLIC)
    for place in range(len(document)):
        for bit in (1, 4, 16, 32, 128):
            changed = bytearray(document)
            changed[place] ^= bit
            code_of(bytes(changed), PUBLIC)


def test_every_missing_and_every_added_byte_is_noticed() -> None:
    document = make(punches(2))
    for place in range(len(document)):
        code_of(document[:place])
        code_of(document[:place] + document[place + 1 :])
        for added in (b" ", b"\n", b"\r", b'"', b"0", b"#", b"\xef\xbb\xbf"):
            changed = document[:place] + added + document[place:]
            if changed != document:
                code_of(changed)


def written(change: Callable[[dict[str, Any]], object], seed: bytes = SEEDS[0]) -> bytes:
    """A receipt of five punches whose message was changed, signed again if there is a seed."""
    message = toon.decode(make(punches(5)), 100_000, 1000)
    change(message)
    if seed:
        text = receipts._signed_text(CRYPTO, message)
        message["SIG_SERV"] = signing.sign_text(CRYPTO, seed, text)
    return receipts._encode(message)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: m["EVENT"].pop(2), "COUNT"),
        (lambda m: m["EVENT"].pop(), "COUNT"),
        (lambda m: m.update(SEQ="4"), "COUNT"),
        (lambda m: m.update(COUNT="6"), "COUNT"),
        (lambda m: m["EVENT"].append(dict(m["EVENT"][4])), "COUNT"),
        (lambda m: m["EVENT"].reverse(), "ORDER"),
        (lambda m: m["EVENT"].__setitem__(1, dict(m["EVENT"][0])), "ORDER"),
        (lambda m: m["EVENT"][1].update(E1="somebody"), "CHAIN"),
        (lambda m: m["EVENT"][4].update(A3="2026-11-20T09:00:00.000Z"), "CHAIN"),
        (lambda m: m["EVENT"][1].pop("CLK"), "CHAIN"),
        (lambda m: m["EVENT"][1].update(PREV="0" * 16), "CHAIN"),
        (lambda m: m.update(PREV="0" * 16), "CHAIN"),
        (lambda m: m.update(HASH="0" * 16), "CHAIN"),
        (lambda m: m.update(JID="0" * 16), "CHAIN"),
        (lambda m: m.update(HASH="0" * 15), "NOT_A_RECEIPT"),
        (lambda m: m.update(D1="dev 1"), "NOT_A_RECEIPT"),
        (lambda m: m.update(NOTE="x"), "NOT_A_RECEIPT"),
        (lambda m: m.pop("TS"), "NOT_A_RECEIPT"),
        (lambda m: m.update(EVENT="x"), "NOT_A_RECEIPT"),
        (lambda m: m.update(TS=[{"A": "1"}]), "NOT_A_RECEIPT"),
        (lambda m: m["EVENT"][1].update(NOTE="x"), "NOT_A_RECEIPT"),
        (lambda m: m["EVENT"][1].update(HASH="0" * 16), "NOT_A_RECEIPT"),
        (lambda m: m.update(SEQ="٥"), "NOT_A_RECEIPT"),
        (lambda m: m.update(SEQ_MIN="01"), "NOT_A_RECEIPT"),
        (lambda m: m.update(SEQ="9" * 19), "NOT_A_RECEIPT"),
        (lambda m: m.update(LINK=[{"KEY": "x"}]), "NOT_A_RECEIPT"),
    ],
)
def test_not_even_the_right_signature_makes_a_wrong_receipt_good(
    change: Callable[[dict[str, Any]], object], code: str
) -> None:
    assert code_of(written(change)) == code


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(D1="dev_2"),
        lambda m: m.update(TS="2026-11-20T10:00:00.001Z"),
        lambda m: m["EVENT"][1].update(ERR1="MALFORMED"),
        lambda m: m.update(
            EVENT=m["EVENT"][1:], COUNT="4", SEQ_MIN="2", PREV=m["EVENT"][1]["PREV"]
        ),
        lambda m: m["EVENT"].__setitem__(
            1, {"HASH": m["EVENT"][2]["PREV"], "PREV": m["EVENT"][1]["PREV"], "SEQ": "2"}
        ),
        lambda m: m.update(SIG_SERV=""),
    ],
)
def test_what_the_chain_does_not_hold_the_signature_does(
    change: Callable[[dict[str, Any]], object],
) -> None:
    assert code_of(written(change, seed=b"")) == "SIGNATURE"


def test_a_whole_journal_that_somebody_made_up_is_not_signed_by_the_server() -> None:
    assert code_of(written(lambda message: None, seed=SEEDS[1])) == "SIGNATURE"
    assert code_of(make(punches(5), signer=1)) == "UNKNOWN_KEY"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], "COUNT"),
        (punches(5)[::2], "COUNT"),
        ([punches(2)[1], punches(2)[0]], "COUNT"),
        (punches(2, first=1, prev="0" * 16), "CHAIN"),
        (punches(1, first=2), "CHAIN"),
        ([*punches(1), *punches(1, first=2, prev="0" * 16)], "CHAIN"),
    ],
)
def test_no_receipt_is_made_of_what_would_not_verify(rows: list[dict[str, str]], code: str) -> None:
    with pytest.raises(ReceiptError) as refused:
        make(rows)
    assert refused.value.code == code


def test_a_receipt_holds_ten_thousand_punches_and_no_more() -> None:
    rows = punches(receipts.MAX_PUNCHES + 1)
    assert len(receipts.verify(CRYPTO, make(rows[:-1]), PUBLIC).rows) == receipts.MAX_PUNCHES
    with pytest.raises(ReceiptError) as refused:
        make(rows)
    assert refused.value.code == "TOO_LARGE"
    assert code_of(b"x" * (receipts.MAX_BYTES + 1)) == "TOO_LARGE"


names = st.sampled_from([*sorted(receipts._TOP), "EVENT", "LINK", "E1", "KEY", "SIG", "ERR1"])
values = st.sampled_from(["", "0", "1", "2", "a" * 16, "dev_1", MADE]) | st.text(max_size=20)
documents = st.dictionaries(
    names, values | st.lists(st.dictionaries(names, values, min_size=1), max_size=3)
)


@settings(deadline=None, max_examples=300)
@given(documents.map(lambda message: toon.encode(message, tokens.kind_of)) | st.binary())
def test_whatever_is_no_receipt_is_refused_by_a_code(document: bytes) -> None:
    assert code_of(document) in receipts.ReceiptError.__doc__  # type: ignore[operator]

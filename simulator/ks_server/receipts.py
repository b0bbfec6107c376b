"""Receipts: a range of punches, signed by the server, that anyone can check with public keys alone.

A receipt is a TOON document:

    COUNT         number of punches: SEQ - SEQ_MIN + 1
    D1 JID        whose punches, of which journal
    EVENT         the punches in order, each SEQ from SEQ_MIN to SEQ once, of two kinds:
                    {A1,A2,A3,BOOT,CLK,E1,METHOD,PREV,SEQ,UP}, those that the terminal sent; with
                      ERR1 when the server keeps the punch in quarantine for this reason
                    {HASH,PREV,SEQ}, where the content was erased or cannot be shown as it was sent
    HASH          of the last punch: what PREV of the next one is
    KID           of the server key that signed
    LINK          {KEY,SEQ,SIG}, how each server key introduced the next; absent for the first one
    PREV          of the first punch: empty when that has SEQ 1
    SEQ_MIN SEQ   the range, both ends included
    SIG_SERV      the signature
    TS            when the receipt was made, UTC

The hash of a punch is the first 16 hex digits of SHA-256 of its canonical string (PROTOCOL
section 4), and each punch's PREV is the hash of the one before. SIG_SERV is the server key's
signature over `KS-RECEIPT-1|` and the hex SHA-256 of the canonical string of all the rest.

Exactly one spelling of a receipt is accepted: what `make` writes. Every changed byte shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ks_agent import punch, signing, tokens, toon
from ks_agent.errors import KsError, Malformed, PeerError
from ks_agent.message import canonical

CONTEXT: Final = "KS-RECEIPT-1|"
MAX_PUNCHES: Final = 10_000
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_LINKS: Final = 64

_TOP: Final = frozenset(
    ("COUNT", "D1", "HASH", "JID", "KID", "PREV", "SEQ", "SEQ_MIN", "SIG_SERV", "TS")
)
_LISTS: Final = frozenset(("EVENT", "LINK"))
_SENT: Final = tuple(key for key in punch.HASHED if key != "JID")
_ERASED: Final = frozenset(("HASH", "PREV", "SEQ"))
_LINK: Final = frozenset(("KEY", "SEQ", "SIG"))
_HASH_CHARACTERS: Final = 2 * punch.PREV_BYTES


class Crypto(Protocol):
    """As much of the crypto port as receipts need."""

    def sign(self, seed: bytes, pieces: Iterable[bytes]) -> bytes: ...
    def verify(self, public: bytes, pieces: Iterable[bytes], signature: bytes) -> bool: ...
    def sha256(self) -> Any: ...


class ReceiptError(Exception):
    """What is wrong with a receipt, or why there can be none; `code` is stable.

    NOT_A_RECEIPT: no document of this form.     TOO_LARGE: more than a receipt may hold.
    COUNT: punches are missing or too many.      ORDER: they are not in the order of SEQ.
    CHAIN: a punch is not the one that the next, or HASH, names.
    UNKNOWN_KEY: signed by a key that is not among those given.
    SIGNATURE: not signed by the key that it names.
    """

    def __init__(self, code: str, message: str, seq: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.seq = seq


@dataclass(frozen=True)
class Receipt:
    """A receipt that was found true. `rows` are its punches; `key` is the server's, base64."""

    d1: str
    jid: str
    first_seq: int
    last_seq: int
    made: str
    kid: str
    key: str
    rows: list[dict[str, str]]

    @property
    def erased(self) -> int:
        """Punches of which only the hash is left."""
        return sum("HASH" in row for row in self.rows)

    @property
    def rejected(self) -> int:
        """Punches that the server keeps in quarantine."""
        return sum("ERR1" in row for row in self.rows)


def hash_of(crypto: Crypto, fields: Mapping[str, str]) -> str:
    """The 16 hex digits that the next punch has as its PREV."""
    return str(punch.prev_of(punch.punch_hash(crypto.sha256, dict(fields))))


def row_of(
    crypto: Crypto, jid: str, fields: Mapping[str, str], stored_hash: str, err1: str | None = None
) -> dict[str, str]:
    """The row for a stored punch: in full while its fields still give the hash that it had when it
    came, otherwise the hash alone. `fields`: what is left of A1 A2 A3 BOOT CLK E1 METHOD PREV SEQ
    UP."""
    row = {key: fields[key] for key in _SENT if key in fields}
    if hash_of(crypto, {**row, "JID": jid}) == stored_hash:
        return row if err1 is None else {**row, "ERR1": err1}
    return {"HASH": stored_hash, "PREV": row.get("PREV", ""), "SEQ": row["SEQ"]}


def make(
    crypto: Crypto,
    seed: bytes,
    *,
    d1: str,
    jid: str,
    kid: str,
    made: str,
    rows: Sequence[dict[str, str]],
    links: Sequence[dict[str, str]] = (),
) -> bytes:
    """The signed document for rows of `row_of`, one for each SEQ of a range.

    Raises ReceiptError: COUNT, ORDER or CHAIN for rows that no receipt can be made of, TOO_LARGE.
    """
    if not rows:
        raise ReceiptError("COUNT", "a receipt needs a punch")
    message: dict[str, Any] = {
        "COUNT": str(len(rows)),
        "D1": d1,
        "EVENT": list(rows),
        "HASH": _hash_of_row(crypto, jid, rows[-1]),
        "JID": jid,
        "KID": kid,
        "PREV": rows[0].get("PREV", ""),
        "SEQ": rows[-1]["SEQ"],
        "SEQ_MIN": rows[0]["SEQ"],
        "TS": made,
    }
    if links:
        message["LINK"] = list(links)
    _check_rows(crypto, message)
    message["SIG_SERV"] = signing.sign_text(crypto, seed, _signed_text(crypto, message))
    document = _encode(message)
    if len(document) > MAX_BYTES:
        raise ReceiptError("TOO_LARGE", f"the receipt has more than {MAX_BYTES} bytes")
    return document


def verify(crypto: Crypto, document: bytes, keys: Iterable[bytes]) -> Receipt:
    """Recompute every hash, the chain and the signature; `keys` are raw public server keys, at
    least one of them the signing key or one before it. Raises ReceiptError, and nothing else."""
    message = _decode(document)
    _check_rows(crypto, message)
    public = _signing_key(crypto, message, keys)
    try:
        signing.verify_text(crypto, public, _signed_text(crypto, message), message["SIG_SERV"])
    except PeerError:
        raise ReceiptError(
            "SIGNATURE", f"the signature is not one of the server key {message['KID']}"
        ) from None
    return Receipt(
        d1=message["D1"],
        jid=message["JID"],
        first_seq=int(message["SEQ_MIN"]),
        last_seq=int(message["SEQ"]),
        made=message["TS"],
        kid=message["KID"],
        key=str(signing.b64(public)),
        rows=message["EVENT"],
    )


def _signed_text(crypto: Crypto, message: Mapping[str, Any]) -> str:
    # canonical leaves SIG_SERV out by itself
    return CONTEXT + str(signing.sha256_hex(crypto, canonical(message)))


def _encode(message: dict[str, Any]) -> bytes:
    return bytes(toon.encode(message, _kind_of)) + b"\n"


def _kind_of(key: str, list_name: str | None = None) -> str:
    return "integer" if key == "COUNT" else str(tokens.kind_of(key, list_name))


def _decode(document: bytes) -> dict[str, Any]:
    if len(document) > MAX_BYTES:
        raise ReceiptError("TOO_LARGE", f"more than {MAX_BYTES} bytes")
    rows_max = MAX_PUNCHES + MAX_LINKS
    tokens_max = len(_TOP) + len(_LISTS) + rows_max * len(punch.HASHED)
    try:
        message: dict[str, Any] = toon.decode(document, MAX_BYTES, tokens_max, rows_max)
        # a reader takes more spellings than one
        if _encode(message) != document:
            raise ReceiptError("NOT_A_RECEIPT", "not written as receipts are")
    except KsError as error:
        raise ReceiptError("NOT_A_RECEIPT", f"not a TOON document: {error}") from None
    _check_form(message)
    return message


def _check_form(message: dict[str, Any]) -> None:
    keys = set(message)
    if keys - _TOP - _LISTS or _TOP - keys or "EVENT" not in keys:
        raise ReceiptError("NOT_A_RECEIPT", "not the fields of a receipt")
    for key, value in message.items():
        if isinstance(value, str) == (key in _LISTS):
            raise ReceiptError("NOT_A_RECEIPT", f"{key} has another form in a receipt")
    for row in message.get("LINK", []):
        if set(row) != _LINK:
            raise ReceiptError("NOT_A_RECEIPT", "not the fields of a link")
    if len(message.get("LINK", [])) > MAX_LINKS:
        raise ReceiptError("TOO_LARGE", f"more than {MAX_LINKS} links")
    for row in message["EVENT"]:
        if "HASH" in row and set(row) != _ERASED:
            raise ReceiptError("NOT_A_RECEIPT", "a punch that is erased, and is not")
        if set(row) - set(_SENT) - {"HASH", "ERR1"}:
            raise ReceiptError("NOT_A_RECEIPT", "not the fields of a punch")
    try:
        for row in (message, *message["EVENT"]):
            for key, value in row.items():
                if isinstance(value, str):
                    _check_value(key, value)
    except Malformed as error:
        raise ReceiptError("NOT_A_RECEIPT", str(error)) from None


def _check_value(key: str, text: str) -> None:
    if key in ("SEQ", "SEQ_MIN", "COUNT"):
        # one spelling of a number, of a size that cannot take long to read
        if not text.isascii() or not text.isdigit() or text[0] == "0" or len(text) > 18:
            raise Malformed("bad " + key)
    elif key == "HASH":
        if len(text) != _HASH_CHARACTERS or text.strip("0123456789abcdef"):
            raise Malformed("bad HASH")
    elif key in ("D1", "JID", "KID", "TS"):
        tokens.check_value(key, text)


def _check_rows(crypto: Crypto, message: dict[str, Any]) -> None:
    """That the punches are those from SEQ_MIN to SEQ in order, each the one that the next names."""
    rows = message["EVENT"]
    first, last = int(message["SEQ_MIN"]), int(message["SEQ"])
    if not len(rows) == int(message["COUNT"]) == last - first + 1:
        raise ReceiptError(
            "COUNT", f"holds {len(rows)} punches of those from SEQ {first} to SEQ {last}"
        )
    if len(rows) > MAX_PUNCHES:
        raise ReceiptError("TOO_LARGE", f"more than {MAX_PUNCHES} punches")
    expected = message["PREV"]
    if (first == 1) != (expected == ""):
        raise ReceiptError("CHAIN", "only the punch SEQ 1 follows none", first)
    for seq, row in enumerate(rows, first):
        if row.get("SEQ") != str(seq):
            raise ReceiptError("ORDER", f"another punch stands where SEQ {seq} should", seq)
        if row.get("PREV", "") != expected:
            reason = f"SEQ {seq} does not follow SEQ {seq - 1}: one of them was changed"
            raise ReceiptError("CHAIN", reason, seq)
        expected = _hash_of_row(crypto, message["JID"], row)
    if expected != message["HASH"]:
        raise ReceiptError("CHAIN", f"SEQ {last} is not the punch that HASH names", last)


def _hash_of_row(crypto: Crypto, jid: str, row: Mapping[str, str]) -> str:
    if "HASH" in row:
        return row["HASH"]
    return hash_of(crypto, {**{key: row[key] for key in _SENT if key in row}, "JID": jid})


def _signing_key(crypto: Crypto, message: Mapping[str, Any], keys: Iterable[bytes]) -> bytes:
    """The key that KID names: one of those given, or one that they lead to by links."""
    known = {str(signing.key_id(crypto, key)): key for key in keys}
    for link in message.get("LINK", []):
        following = _introduced(crypto, link, known.values())
        if following is not None:
            known.setdefault(str(signing.key_id(crypto, following)), following)
    public = known.get(message["KID"])
    if public is None:
        raise ReceiptError("UNKNOWN_KEY", f"signed by {message['KID']}, which is no key given")
    return public


def _introduced(crypto: Crypto, link: Mapping[str, str], known: Iterable[bytes]) -> bytes | None:
    try:
        following = bytes(signing.unb64(link["KEY"], 32))
        _check_value("SEQ", link["SEQ"])
    except PeerError:
        return None
    text = signing.link_text(int(link["SEQ"]), link["KEY"])
    for public in known:
        try:
            signing.verify_text(crypto, public, text, link["SIG"])
        except PeerError:
            continue
        return following
    return None

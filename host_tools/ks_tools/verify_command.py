"""`ks verify`: check a receipt with public keys alone, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .asking import JsonOption, show_json
from .console import EXIT_FAILED, ToolError, say
from .keys_command import DataOption
from .workspace import Workspace, read_trust

if TYPE_CHECKING:
    from ks_server.receipts import Receipt


def verify(
    file: Annotated[Path, typer.Argument(help="A receipt, as `ks punches receipt` writes it.")],
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="The server's public key, base64; may be given repeatedly."),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option("--trust", help="A file trust.toon.", show_default="that in the data folder"),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute every hash of a receipt, its chain and its signature.

    Exit status 1 when anything about it is not as the server signed it.
    """
    from ks_server import receipts
    from ks_simulator.keys import CRYPTO

    with file.open("rb") as opened:
        document = opened.read(receipts.MAX_BYTES + 1)
    try:
        receipt = receipts.verify(CRYPTO, document, _keys(key or [], trust, data))
    except receipts.ReceiptError as error:
        if as_json:
            failed = {"verified": False, "code": error.code, "reason": str(error)}
            show_json({**failed, "seq": error.seq})
        else:
            say(f"NOT VERIFIED  {error} ({error.code})")
        raise typer.Exit(EXIT_FAILED) from None
    if as_json:
        show_json(_facts(receipt))
        return
    for line in describe(receipt):
        say(line)


def _keys(texts: list[str], trust: Path | None, data: Path | None) -> list[bytes]:
    from ks_agent import signing
    from ks_agent.errors import PeerError

    if not texts:
        path = trust or Workspace.of(data).trust
        texts = [row.key for row in read_trust(path) if row.role == "server"]
    elif trust is not None:
        raise ToolError("give --key or --trust, not both")
    try:
        return [bytes(signing.decode_public_key(text)) for text in texts]
    except PeerError:
        raise ToolError("not an Ed25519 public key: base64 of its 32 bytes, or of a PEM") from None


def _facts(receipt: Receipt) -> dict[str, object]:
    return {
        "verified": True,
        "d1": receipt.d1,
        "jid": receipt.jid,
        "first_seq": receipt.first_seq,
        "last_seq": receipt.last_seq,
        "punches": len(receipt.rows),
        "erased": receipt.erased,
        "rejected": receipt.rejected,
        "made": receipt.made,
        "kid": receipt.kid,
        "key": receipt.key,
    }


def describe(receipt: Receipt) -> list[str]:
    """A receipt that was found true, for people."""
    lines = [
        f"VERIFIED  {len(receipt.rows)} punches of {receipt.d1}",
        f"journal   {receipt.jid}, SEQ {receipt.first_seq} to {receipt.last_seq}, "
        "none missing, none changed",
        f"signed    {receipt.made} by the server's key {receipt.kid}",
    ]
    if receipt.erased:
        lines.append(f"erased    {receipt.erased}: of these only the hash is left")
    if receipt.rejected:
        lines.append(f"rejected  {receipt.rejected}: kept by the server, not accepted as punches")
    return lines

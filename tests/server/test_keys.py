"""The server's keys: every form of a private key, and the chain that outlives them."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ks_agent import signing
from ks_server.crypto import NaclCrypto
from ks_server.keys import (
    ConfigurationError,
    Link,
    ServerKeys,
    configured_seeds,
    download_secret,
    load_seed,
    public_keys,
    server_key_path,
    write_pem,
    write_secret_file,
)
from ks_server.settings import DAY_MS, FixedSettings

CRYPTO = NaclCrypto()
SEEDS = [bytes([number]) * 32 for number in range(1, 6)]
TEXT = [base64.b64encode(seed).decode() for seed in SEEDS]
PUBLIC = [CRYPTO.public_key(seed) for seed in SEEDS]
KIDS = [signing.key_id(CRYPTO, public) for public in PUBLIC]
NOW = 1_800_000_000_000


def build(seeds: list[bytes], stored: tuple[Link, ...] = (), now_ms: int = NOW) -> ServerKeys:
    return ServerKeys.build(CRYPTO, seeds, stored, now_ms, legacy_window_days=90)


def test_a_private_key_is_read_as_pem_base64_or_file(tmp_path: Path) -> None:
    pem = write_pem(SEEDS[0]).decode()
    (tmp_path / "key.pem").write_text(pem)
    (tmp_path / "key.txt").write_text(TEXT[0] + "\n")
    for text in (
        pem,
        pem.replace("\n", "\\n"),
        TEXT[0],
        f" {TEXT[0]}\n",
        str(tmp_path / "key.pem"),
        str(tmp_path / "key.txt"),
    ):
        assert load_seed(text) == SEEDS[0]


def test_a_pem_is_what_other_tools_read() -> None:
    pem = write_pem(SEEDS[0])
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    key = Ed25519PrivateKey.from_private_bytes(SEEDS[0])
    assert pem == key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_what_is_no_private_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    locked = Ed25519PrivateKey.from_private_bytes(SEEDS[0]).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    junk = tmp_path / "junk"
    junk.write_bytes(b"\xff\xfe")
    short = tmp_path / "short"
    short.write_text("c2hvcnQ=")
    for text in (
        "",
        "nonsense",
        TEXT[0][:-4],
        TEXT[0][:-2] + "B=",  # does not encode back to itself
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        locked.decode(),
        str(junk),
        str(short),
        str(tmp_path),
    ):
        with pytest.raises(ConfigurationError) as error:
            load_seed(text)
        assert not text or text not in str(error.value)


def test_a_secret_file_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "server.pem"
    old = os.umask(0)
    try:
        write_secret_file(path, b"one")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(FileExistsError):
        write_secret_file(path, b"two")
    assert path.read_bytes() == b"one"


def test_the_server_key_is_configured_or_lies_in_the_data_folder(tmp_path: Path) -> None:
    settings = FixedSettings(data=tmp_path)
    with pytest.raises(ConfigurationError):
        configured_seeds(settings)
    write_secret_file(server_key_path(settings), write_pem(SEEDS[2]))
    assert configured_seeds(settings) == [SEEDS[2]]
    previous = f"{TEXT[0]}, {TEXT[1]}"
    settings = FixedSettings(
        data=tmp_path, server_private_key=TEXT[3], server_previous_private_keys=previous
    )
    assert configured_seeds(settings) == [SEEDS[0], SEEDS[1], SEEDS[3]]


def test_the_download_secret_is_made_once(tmp_path: Path) -> None:
    settings = FixedSettings(data=tmp_path)
    first = download_secret(settings)
    assert len(first) == 64
    assert download_secret(settings) == first
    assert download_secret(FixedSettings(data=tmp_path / "b")) != first
    assert download_secret(FixedSettings(data=tmp_path, download_secret="x" * 32)) == b"x" * 32


def test_a_download_secret_cut_short_is_refused(tmp_path: Path) -> None:
    write_secret_file(tmp_path / "keys" / "download.secret", b"abc")
    with pytest.raises(ConfigurationError):
        download_secret(FixedSettings(data=tmp_path))


def test_public_keys_are_decoded_and_a_wrong_one_names_its_setting() -> None:
    text = [signing.b64(public) for public in PUBLIC[:2]]
    assert public_keys("ADMIN_PUBLIC_KEYS", text) == tuple(PUBLIC[:2])
    for wrong in (["nonsense"], [text[0][:-4]], [text[0], text[0]]):
        with pytest.raises(ConfigurationError, match="ADMIN_PUBLIC_KEYS"):
            public_keys("ADMIN_PUBLIC_KEYS", wrong)


def test_the_first_key_stands_alone() -> None:
    keys = build(SEEDS[:1])
    assert (keys.current.seq, keys.current.public, keys.current.kid) == (1, PUBLIC[0], KIDS[0])
    assert keys.chain == (Link(1, signing.b64(PUBLIC[0]), "", NOW),)
    assert keys.links_from(KIDS[0]) == []
    assert keys.links_from(KIDS[1]) is None


def test_each_key_is_linked_by_the_one_before_it() -> None:
    keys = build(SEEDS[:3])
    rows = keys.links_from(KIDS[0])
    assert rows is not None
    assert [row["SEQ"] for row in rows] == ["2", "3"]
    for row, signer in zip(rows, PUBLIC, strict=False):
        text = signing.link_text(int(row["SEQ"]), row["KEY"])
        signing.verify_text(CRYPTO, signer, text, row["SIG"])
    assert keys.links_from(KIDS[1]) == rows[1:]


def test_links_outlive_the_private_keys_that_made_them() -> None:
    before = build(SEEDS[:3])
    after = build([SEEDS[2]], before.chain, NOW + DAY_MS)
    assert after.chain == before.chain
    assert after.links_from(KIDS[0]) == before.links_from(KIDS[0])
    longer = build(SEEDS[2:4], before.chain, NOW + DAY_MS)
    assert longer.current.seq == 4
    assert longer.chain[:3] == before.chain
    assert longer.chain[3].created_ms == NOW + DAY_MS


@pytest.mark.parametrize(
    ("seeds", "reason"),
    [
        ([SEEDS[4]], "link"),  # a new key with nothing to link it
        (SEEDS[:2], "newest"),  # back to an older key
        ([], "newest"),
        ([SEEDS[3], SEEDS[2]], "newest"),  # in the wrong order
        ([SEEDS[2], SEEDS[2]], "twice"),
    ],
)
def test_a_configuration_that_contradicts_the_chain_is_refused(
    seeds: list[bytes], reason: str
) -> None:
    stored = build(SEEDS[:3]).chain
    with pytest.raises(ConfigurationError, match=reason):
        build(seeds, stored)


def test_a_stored_chain_with_a_gap_is_refused() -> None:
    stored = build(SEEDS[:3]).chain
    with pytest.raises(ConfigurationError, match="gap"):
        build(SEEDS[:3], (stored[0], stored[2]))


def test_an_old_client_is_answered_with_its_key_while_the_window_is_open() -> None:
    first = build(SEEDS[:1])
    changed = NOW + DAY_MS
    keys = build(SEEDS[:2], first.chain, changed)
    assert keys.for_legacy(1, changed).seed == SEEDS[0]
    assert keys.for_legacy(1, changed + 90 * DAY_MS - 1).seed == SEEDS[0]
    assert keys.for_legacy(1, changed + 90 * DAY_MS) is keys.current
    assert keys.for_legacy(2, changed + 1000 * DAY_MS) is keys.current


def test_an_old_client_gets_the_current_key_when_its_own_is_gone() -> None:
    keys = build([SEEDS[1]], build(SEEDS[:2]).chain)
    assert keys.for_legacy(1, NOW) is keys.current
    assert keys.for_legacy(99, NOW) is keys.current


def test_a_key_does_not_show_its_private_half() -> None:
    keys = build(SEEDS[:1])
    shown = repr(keys.current) + str(keys.current)
    assert repr(SEEDS[0]) not in shown
    assert "seed" not in shown

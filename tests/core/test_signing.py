"""Signatures and their contexts (docs/protocol.md, section 2), with each crypto port there is."""

# heap: 192k because the big-integer engine's tables and the core, compiled here, are both in it

from support import raises

from ks_agent import schema, signing, tokens
from ks_agent.errors import BadSignature, Malformed
from ks_agent.message import canonical
from ks_crypto.port import Ed25519Crypto

PURE = Ed25519Crypto()
PORTS = [PURE]
try:
    from ks_server.crypto import NaclCrypto

    PORTS.append(NaclCrypto())
except ImportError:
    pass

SEED = b"\x01" * 32
OTHER_SEED = b"\x02" * 32
PUBLIC = PURE.public_key(SEED)
OTHER_PUBLIC = PURE.public_key(OTHER_SEED)

HEARTBEAT = {
    "D1": "dev_1",
    "HB1": "1",
    "HB2": "3600",
    "NONCE": "0123456789abcdef",
    "TS": "2026-11-20T10:00:00.000Z",
}
COMMAND = {
    "CMD1": "0123456789abcdef-1",
    "CMD2": "FETCH_LOGS",
    "CMD3": "LEVEL:INFO",
    "CMD5": "2026-11-27T10:00:00.000Z",
    "TS": "2026-11-20T10:00:00.000Z",
}
RELEASE = {"FW1": "r1", "FW2": "1.2.0", "FW4": "0" * 64, "FW5": "1234"}

# Ed25519 SubjectPublicKeyInfo (RFC 8410) around 32 bytes.
SPKI = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"


def signed(message, field="SIG1"):
    made = dict(message)
    signing.sign_message(PURE, SEED, made, field)
    return made


def changed(text, index=0):
    """Base64 of other bytes of the same length."""
    raw = bytearray(signing.unb64(text))
    raw[index] ^= 1
    return signing.b64(bytes(raw))


def test_both_ports_sign_alike_and_believe_each_other():
    for signer in PORTS:
        made = dict(HEARTBEAT)
        signing.sign_message(signer, SEED, made)
        assert made == signed(HEARTBEAT)
        for verifier in PORTS:
            assert signing.verify_message(verifier, PUBLIC, made, "SIG1") is None


def test_a_message_signature_holds_for_that_message_and_key_alone():
    good = signed(HEARTBEAT)
    raises(BadSignature, signing.verify_message, PURE, OTHER_PUBLIC, good, "SIG1")
    raises(BadSignature, signing.verify_message, PURE, PUBLIC, dict(good, HB2="3601"), "SIG1")
    raises(BadSignature, signing.verify_message, PURE, PUBLIC, dict(good, EXTRA=""), "SIG1")
    fewer = {key: good[key] for key in good if key != "HB1"}
    raises(BadSignature, signing.verify_message, PURE, PUBLIC, fewer, "SIG1")


def test_any_changed_byte_of_a_signature_is_noticed():
    good = signed(HEARTBEAT)
    for index in (0, 31, 32, 63):
        wrong = dict(good, SIG1=changed(good["SIG1"], index))
        error = raises(BadSignature, signing.verify_message, PURE, PUBLIC, wrong, "SIG1")
        assert error.code == "SIG_INVALID"


def test_what_is_no_signature_is_a_bad_signature():
    good = signed(HEARTBEAT)["SIG1"]
    for text in (
        "",
        "x",
        "====",
        good[:-1],
        good + "=",
        " " + good,
        good + "\n",
        good[4:],
        "\u00e9",
    ):
        wrong = dict(HEARTBEAT, SIG1=text)
        raises(BadSignature, signing.verify_message, PURE, PUBLIC, wrong, "SIG1")
    raises(BadSignature, signing.verify_message, PURE, PUBLIC, HEARTBEAT, "SIG1")
    raises(BadSignature, signing.verify_message, PURE, PUBLIC, dict(HEARTBEAT, SIG1=[]), "SIG1")


def test_the_other_signatures_of_a_message_may_come_and_go():
    good = signed(HEARTBEAT)
    good["SIG_SERV"] = "x"
    good["SIG_NEW"] = "y"
    signing.verify_message(PURE, PUBLIC, good, "SIG1")


def test_a_request_digest_binds_the_message_and_its_signature():
    good = signed(HEARTBEAT)
    digest = signing.request_digest(PURE, good)
    expected = signing.sha256_hex(PURE, canonical(good) + b"\n" + good["SIG1"].encode())
    assert digest == expected[:32]
    tokens.check_value("RQ", digest)
    assert signing.request_digest(PURE, dict(good, HB2="1")) != digest
    assert signing.request_digest(PURE, dict(good, SIG1=changed(good["SIG1"]))) != digest


def test_a_command_is_signed_without_its_place_in_the_list():
    row = dict(COMMAND)
    signing.sign_command(PURE, SEED, row)
    for port in PORTS:
        signing.verify_command(port, PUBLIC, row)
    expected = "CMD1:0123456789abcdef-1|CMD2:FETCH_LOGS|CMD3:LEVEL%3AINFO|"
    expected = expected.replace("%3A", ":") + "CMD5:2026-11-27T10:00:00.000Z|"
    signing.verify_text(PURE, PUBLIC, expected + "TS:2026-11-20T10:00:00.000Z", row["SIG_SERV"])


def test_administrators_signatures_are_no_part_of_the_servers():
    row = dict(COMMAND)
    signing.sign_command(PURE, SEED, row)
    signing.verify_command(PURE, PUBLIC, dict(row, SIG_ADMIN_A="a", SIG_ADMIN_B="b", LATER="x"))


def test_a_command_with_a_token_changed_added_or_left_out_is_refused():
    row = dict(COMMAND)
    signing.sign_command(PURE, SEED, row)
    for key in COMMAND:
        raises(BadSignature, signing.verify_command, PURE, PUBLIC, dict(row, **{key: "other"}))
        fewer = {other: row[other] for other in row if other != key}
        raises(BadSignature, signing.verify_command, PURE, PUBLIC, fewer)
    raises(BadSignature, signing.verify_command, PURE, PUBLIC, dict(row, CMD4="HIGH"))
    raises(BadSignature, signing.verify_command, PURE, PUBLIC, COMMAND)
    raises(BadSignature, signing.verify_command, PURE, OTHER_PUBLIC, row)


def test_a_command_without_id_name_or_time_is_refused_however_it_is_signed():
    for key in schema.COMMAND_REQUIRED:
        row = {other: COMMAND[other] for other in COMMAND if other != key}
        signing.sign_command(PURE, SEED, row)
        raises(BadSignature, signing.verify_command, PURE, PUBLIC, row)


def test_a_release_is_signed_over_exactly_its_four_tokens():
    release = dict(RELEASE, FW3="https://example.org/f", O1="p1", S1="update_available")
    release["FW_SIG"] = signing.sign_release(PURE, SEED, release)
    for port in PORTS:
        signing.verify_release(port, PUBLIC, release)
    signing.verify_release(PURE, PUBLIC, dict(release, FW3="elsewhere"))
    for key in RELEASE:
        raises(BadSignature, signing.verify_release, PURE, PUBLIC, dict(release, **{key: "9"}))
        fewer = {other: release[other] for other in release if other != key}
        raises(BadSignature, signing.verify_release, PURE, PUBLIC, fewer)
    raises(BadSignature, signing.verify_release, PURE, PUBLIC, RELEASE)


def test_texts_of_the_newer_contexts_are_these():
    assert signing.link_text(2, "a2V5") == "KS-LINK-1|SEQ:2|KEY:a2V5"
    assert signing.trust_text("release", "a2V5") == "KS-TRUST-1|KEY:a2V5|ROLE:release"
    assert signing.proof_text("d", "p", "00ff", "aa") == "KS-PROOF-1|d|p|00ff|aa"
    assert signing.manifest_text(PURE, b"abc") == (
        "KS-MANIFEST-1|ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    row = dict(COMMAND, CMD3="FORCE:true|X:%", CMD4="HIGH", SIG_SERV="s", LATER="x")
    assert signing.admin_text(row, "dev_1") == (
        "KS-ADMIN-1|CMD1:0123456789abcdef-1|CMD2:FETCH_LOGS|CMD3:FORCE:true%7CX:%25|"
        "CMD5:2026-11-27T10:00:00.000Z|D1:dev_1"
    )
    bare = {"CMD1": "c", "CMD2": "REVOKE"}
    assert signing.admin_text(bare, "d") == "KS-ADMIN-1|CMD1:c|CMD2:REVOKE|D1:d"


def test_texts_are_signed_and_verified():
    text = signing.link_text(2, "k\u00e9y")
    signature = signing.sign_text(PURE, SEED, text)
    for port in PORTS:
        signing.verify_text(port, PUBLIC, text, signature)
    raises(BadSignature, signing.verify_text, PURE, PUBLIC, text + " ", signature)
    raises(BadSignature, signing.verify_text, PURE, OTHER_PUBLIC, text, signature)


def test_key_ids_and_command_prefixes_are_hashes():
    assert signing.key_id(PURE, bytes(32)) == "66687aad"
    tokens.check_value("KID", signing.key_id(PURE, PUBLIC))
    assert signing.command_prefix(PURE, "abc") == "ba7816bf8f01cfea"


def test_base64_has_one_spelling():
    for raw in (b"", b"a", b"ab", b"abc", bytes(range(256))):
        assert signing.unb64(signing.b64(raw)) == raw
    for text in (
        "YQ",
        "YQ=",
        "YQ===",
        "YR==",
        "Y Q==",
        "YQ==\n",
        " YQ==",
        "YQ==YQ==",
        "YWJ=",
        "-_8=",
        "YQ==\u00e9",
        "\u00e9",
        "=",
        "A",
    ):
        raises(Malformed, signing.unb64, text)
    assert signing.unb64("YWJj", 3) == b"abc"
    raises(Malformed, signing.unb64, "YWJj", 4)
    raises(Malformed, signing.unb64, "", 1)


def pem(der, newline="\n", width=64, end="\n"):
    body = signing.b64(der)
    rows = [body[start : start + width] for start in range(0, len(body), width)]
    rows = ["-----BEGIN PUBLIC KEY-----"] + rows + ["-----END PUBLIC KEY-----"]
    return signing.b64((newline.join(rows) + end).encode())


def test_a_public_key_is_raw_or_a_pem_both_in_base64():
    assert signing.decode_public_key(signing.b64(PUBLIC)) == PUBLIC
    assert signing.decode_public_key(pem(SPKI + PUBLIC)) == PUBLIC
    assert signing.decode_public_key(pem(SPKI + PUBLIC, "\r\n")) == PUBLIC
    assert signing.decode_public_key(pem(SPKI + PUBLIC, "\n", 16)) == PUBLIC
    assert signing.decode_public_key(pem(SPKI + PUBLIC, end="")) == PUBLIC


def test_other_keys_and_other_texts_are_no_public_key():
    for raw in (
        b"",
        PUBLIC[:31],
        PUBLIC + b"\x00",
        SPKI + PUBLIC,
        b"-----BEGIN PUBLIC KEY-----",
        b"-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----",
        b"-----BEGIN PUBLIC KEY-----\n\xff\xfe\n-----END PUBLIC KEY-----",
        b"-----BEGIN PRIVATE KEY-----\nYQ==\n-----END PRIVATE KEY-----",
        b"\xff" * 40,
    ):
        raises(Malformed, signing.decode_public_key, signing.b64(raw))
    for der in (PUBLIC, SPKI + PUBLIC + b"\x00", SPKI + PUBLIC[:31], b"\x31" + SPKI[1:] + PUBLIC):
        raises(Malformed, signing.decode_public_key, pem(der))
    ed448 = SPKI[:8] + b"\x71" + SPKI[9:]
    raises(Malformed, signing.decode_public_key, pem(ed448 + PUBLIC))
    raises(Malformed, signing.decode_public_key, "not base64")


def test_messages_travel_in_either_syntax():
    whole = dict(HEARTBEAT, SIG1="s", CMD=[{"CMD1": "a|b", "TS": "%"}], E=[])
    for content_type in (signing.TOON, signing.LINES, "", "application/json"):
        data = signing.compose(whole, content_type)
        assert signing.parse(data, content_type, 4096) == whole
    assert signing.compose(whole, "") == signing.compose(whole, signing.LINES)
    assert signing.compose(whole, signing.TOON).startswith(b"CMD[1]{CMD1,TS}:\n")


def test_what_one_syntax_refuses_the_other_refuses_too():
    for content_type, data in (
        (signing.TOON, b"SIG2: x"),
        (signing.LINES, b"SIG2:x"),
        (signing.TOON, b"FW_SIGN: x"),
        (signing.LINES, b"FW_SIGN:x"),
        (signing.TOON, b"SIG1: []"),
        (signing.LINES, b"SIG1_COUNT:0"),
        (signing.TOON, b"A_COUNT: []"),
        (signing.LINES, b"A_COUNT_COUNT:0"),
        (signing.TOON, b"A_COUNT: 1"),
        (signing.LINES, b"A_COUNT:1"),
    ):
        raises(Malformed, signing.parse, data, content_type, 4096)


def test_limits_are_the_same_in_both_syntaxes():
    rows = {"A": [{"X": "1", "Y": "2"}, {"X": "3"}], "B": [{"X": "4"}], "C": "5"}
    tokens = 7
    for content_type in (signing.TOON, signing.LINES):
        data = signing.compose(rows, content_type)
        assert signing.parse(data, content_type, len(data), tokens, 3) == rows
        raises(Malformed, signing.parse, data, content_type, len(data) - 1, tokens, 3)
        raises(Malformed, signing.parse, data, content_type, len(data), tokens - 1, 3)
        raises(Malformed, signing.parse, data, content_type, len(data), tokens, 2)

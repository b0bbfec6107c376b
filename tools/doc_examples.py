"""Real messages for docs/protocol.md, signed with keys that anybody can make again."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from ks_agent import bundle, command_forms, lines, schema, signing, tokens, toon
from ks_agent.message import canonical
from ks_server.crypto import NaclCrypto

Message = dict[str, str | list[dict[str, str]]]

CRYPTO: Final = NaclCrypto()
SEEDS: Final = {
    "device": bytes([1]) * 32,
    "device, new": bytes([2]) * 32,
    "server, SEQ 1": bytes([3]) * 32,
    "server, SEQ 2": bytes([4]) * 32,
    "release": bytes([5]) * 32,
    "admin A": bytes([6]) * 32,
    "admin B": bytes([7]) * 32,
}
SERVER: Final = SEEDS["server, SEQ 2"]
D1: Final = "dev_1"
REQUEST_TS: Final = "2026-11-20T10:00:00.000Z"
ANSWER_TS: Final = "2026-11-20T10:00:00.120Z"


def public_text(name: str) -> str:
    return str(signing.b64(CRYPTO.public_key(SEEDS[name])))


def kid(name: str) -> str:
    return str(signing.key_id(CRYPTO, CRYPTO.public_key(SEEDS[name])))


def request(op: str, nonce: str, **others: str | list[dict[str, str]]) -> Message:
    made: Message = {
        "D1": D1,
        "TS": REQUEST_TS,
        "NONCE": nonce,
        "OP": op,
        "KID": kid("server, SEQ 2"),
        **others,
    }
    if op == "rotate-key":
        signing.sign_message(CRYPTO, SEEDS["device, new"], made, "SIG_NEW")
    signing.sign_message(CRYPTO, SEEDS["device"], made)
    schema.check_request(op, made)
    return made


def answer(to: Message, **others: str | list[dict[str, str]]) -> Message:
    made: Message = {
        **{key: to[key] for key in ("D1", "NONCE", "OP")},
        "TS": ANSWER_TS,
        "RQ": signing.request_digest(CRYPTO, to),
        **others,
    }
    signing.sign_message(CRYPTO, SERVER, made, "SIG_SERV")
    tokens.check_answer(to["OP"], made)
    return made


def block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def both(message: Message) -> str:
    toon = signing.compose(message, signing.TOON).decode()
    plain = signing.compose(message, signing.LINES).decode()
    return "\n\n".join(("`text/toon`:", block("yaml", toon), "`text/plain`:", block("text", plain)))


def covered(message: Message) -> str:
    return block("text", canonical(message).decode())


def heartbeat_request() -> Message:
    return request(
        "heartbeat",
        "aGVhcnRiZWF0LW5vbmNl",
        HB1="42",
        HB2="3600",
        HB3="0.11",
        HB4="48.5",
        HB5="2026-11-20T09:00:00.000Z",
        HB6="ONLINE",
        FW2="1.10.0",
    )


def commands_request() -> Message:
    return request("commands", "Y29tbWFuZHMtbm9uY2U1")


def example_keys() -> str:
    rows = ["| key | seed | public key, base64 | `KID` |", "| --- | --- | --- | --- |"]
    for name, seed in SEEDS.items():
        rows.append(
            f"| {name} | 32 times `{seed[0]:02x}` | `{public_text(name)}` | `{kid(name)}` |"
        )
    return "\n".join(rows)


def example_register() -> str:
    made = request(
        "register",
        "cmVnaXN0ZXItbm9uY2U1",
        D2="ESP32_TERMINAL",
        D3=public_text("device"),
        D4="KS",
        D5="T1 | \u00e9dition 2",
        OTRT="pTWmVSFh9XHkPzbU3NQXhQ",
    )
    return both(made) + "\n\n`SIG1` covers:\n\n" + covered(made)


def example_heartbeat() -> str:
    made = heartbeat_request()
    return both(made) + "\n\n`SIG1` covers:\n\n" + covered(made)


def example_heartbeat_answer() -> str:
    made = answer(
        heartbeat_request(),
        S1="ok",
        RTO="60",
        PENDING_CMDS="1",
        CMD_IDS=commands_rows()[0]["CMD1"],
        FW_AVAILABLE="true",
        FW2="1.11.0",
    )
    return both(made)


def commands_rows() -> list[dict[str, str]]:
    prefix = signing.command_prefix(CRYPTO, D1)
    wipe = {
        "CMD1": f"{prefix}-9zQ2",
        "CMD2": "WIPE",
        "CMD3": lines.encode({"FORCE": "true"}).decode(),
        "CMD4": "HIGH",
        "CMD5": "2026-11-27T10:00:00.000Z",
        "TS": "2026-11-20T09:59:00.000Z",
    }
    text = signing.admin_text(wipe, D1)
    for field, name in (("SIG_ADMIN_A", "admin A"), ("SIG_ADMIN_B", "admin B")):
        wipe[field] = signing.sign_text(CRYPTO, SEEDS[name], text)
    logs = {
        "CMD1": f"{prefix}-b7Lk",
        "CMD2": "FETCH_LOGS",
        "CMD3": lines.encode({"LEVEL": "WARN", "SINCE": "2026-11-20T00:00:00.000Z"}).decode(),
        "CMD4": "NORMAL",
        "CMD5": "2026-11-27T10:00:00.000Z",
        "TS": "2026-11-20T09:58:00.000Z",
    }
    for row in (wipe, logs):
        signing.sign_command(CRYPTO, SERVER, row)
    return [wipe, logs]


def example_query() -> str:
    made = commands_request()
    query = quote(lines.encode(made), safe="")
    return block("http", f"GET /api/devices/commands?toon={query} HTTP/1.1\nAccept: text/toon")


def example_commands() -> str:
    return both(answer(commands_request(), CMD=commands_rows()))


def example_command_signatures() -> str:
    wipe = commands_rows()[0]
    signed: Message = {key: wipe[key] for key in tokens.COMMAND_SIGNED}
    return "\n\n".join(
        (
            "`CMD[0].SIG_SERV` covers:",
            covered(signed),
            "`CMD[0].SIG_ADMIN_A` and `CMD[0].SIG_ADMIN_B` cover:",
            block("text", signing.admin_text(wipe, D1)),
        )
    )


def example_refusal() -> str:
    made = answer(
        commands_request(),
        ERR1="RATE_LIMIT",
        ERR2="too many requests of this kind",
        RTY="30",
    )
    return both(made)


def example_links() -> str:
    key = public_text("server, SEQ 2")
    text = signing.link_text(2, key)
    signature = signing.sign_text(CRYPTO, SEEDS["server, SEQ 1"], text)
    rows = [{"SEQ": "2", "KEY": key, "SIG": signature}]
    asked = request("commands", "bGlua3Mtbm9uY2UtMTIz", KID=kid("server, SEQ 1"))
    made = answer(asked, S1="no_commands", LINK=rows)
    return f"{both(made)}\n\n`LINK[0].SIG` covers:\n\n{block('text', text)}"


def example_events() -> str:
    first = {
        "A1": "e-7f3a",
        "E1": "00012345",
        "A2": "IN",
        "A3": "2026-11-20T08:00:05.000Z",
        "SEQ": "1",
        "PREV": "",
        "BOOT": "7",
        "UP": "15000",
        "CLK": "SYNCED",
        "METHOD": "RFID",
    }
    jid = "0f1e2d3c4b5a6978"
    chain = {**first, "JID": jid}
    covered_keys = ("A1", "A2", "A3", "BOOT", "CLK", "E1", "JID", "METHOD", "PREV", "SEQ", "UP")
    text = canonical({key: chain[key] for key in covered_keys})
    second = {
        **first,
        "A1": "e-7f3b",
        "E1": "12E45678",
        "A3": "2026-11-20T08:00:41.250Z",
        "SEQ": "2",
        "PREV": signing.sha256_hex(CRYPTO, text)[:16],
        "UP": "51250",
    }
    made = request("events", "ZXZlbnRzLW5vbmNlLTEy", JID=jid, SEQ_MIN="1", EVENT=[first, second])
    return (
        both(made)
        + "\n\n`PREV` of the second punch is a hash over:\n\n"
        + block("text", text.decode())
    )


def example_rotation() -> str:
    made = request("rotate-key", "cm90YXRlLW5vbmNlLTEy", D3=public_text("device, new"))
    return (
        both(made) + "\n\n`SIG1` (old key) and `SIG_NEW` (new key) both cover:\n\n" + covered(made)
    )


def example_trust() -> str:
    key = public_text("admin A")
    text = signing.trust_text("release", key)
    signature = signing.sign_text(CRYPTO, SEEDS["release"], text)
    payload = {"ROLE": "release", "KEY": key, "RELEASE_SIG": signature}
    command_forms.check_payload("TRUST_KEY", payload)
    return "\n\n".join(
        (
            block("text", lines.encode(payload).decode()),
            "`RELEASE_SIG` covers:",
            block("text", text),
        )
    )


def example_bundle() -> str:
    files = [("ks_agent/__init__.py", b""), ("main.py", b"print('hello')\n")]
    manifest = {
        "KIND": bundle.APPLICATION,
        "FW1": "terminal-1.11.0",
        "FW2": "1.11.0",
        "COUNTER": "12",
        "BUILT": "2026-11-19T08:00:00.000Z",
        "EXPIRES": "2027-11-19T08:00:00.000Z",
        "TYPES": "ESP32_TERMINAL,ESP32_READER",
        "FILE": [
            {
                "PATH": path,
                "SHA256": signing.sha256_hex(CRYPTO, content),
                "SIZE": f"{len(content)}",
            }
            for path, content in files
        ],
    }
    data = toon.encode(manifest, tokens.kind_of) + b"\n"
    assert bundle.parse_manifest(data) == manifest
    text = signing.manifest_text(CRYPTO, data)
    signature = signing.sign_text(CRYPTO, SEEDS["release"], text)
    head = bundle.make_head(data, signature)
    assert bundle.parse_head(head) == (len(data), signature)
    return "\n\n".join(
        (
            block("yaml", data.decode().rstrip("\n")),
            "The release key signs:",
            block("text", text),
            "The bundle begins with:",
            block("text", head.decode().rstrip()),
        )
    )


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "example-keys": example_keys,
    "example-register": example_register,
    "example-heartbeat": example_heartbeat,
    "example-heartbeat-answer": example_heartbeat_answer,
    "example-query": example_query,
    "example-commands": example_commands,
    "example-command-signatures": example_command_signatures,
    "example-refusal": example_refusal,
    "example-links": example_links,
    "example-events": example_events,
    "example-rotation": example_rotation,
    "example-trust": example_trust,
    "example-bundle": example_bundle,
}

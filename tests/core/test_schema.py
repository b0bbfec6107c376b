"""The declared messages: kinds, required tokens, foreign tokens (docs/protocol.md, 4 and 5)."""

from support import raises

from ks_agent import command_forms, lines, schema, tokens
from ks_agent.errors import Malformed, MissingToken
from ks_agent.message import SIGNATURE_KEYS

COMMON = {
    "D1": "dev_1",
    "TS": "2026-11-20T10:00:00.000Z",
    "NONCE": "0123456789abcdef",
    "SIG1": "signature",
}
SPECIFIC = {
    "register": {"D2": "ESP32_TERMINAL", "D3": "key"},
    "heartbeat": {"HB1": "1", "HB2": "3600"},
    "commands": {},
    "command-ack": {"CMD1": "c1", "ACK1": "OK"},
    "firmware/check": {"FW2": "1.0.0"},
    "firmware/download": {"FW1": "r1"},
    "firmware/ack": {"FW1": "r1", "FW2": "1.0.0", "ACK1": "OK"},
    "logs": {"LOG1": "u1", "LOG2": "INFO"},
    "events": {"OP": "events", "JID": "0123456789abcdef", "EVENT": []},
    "rotate-key": {"OP": "rotate-key", "D3": "key", "SIG_NEW": "signature"},
    "time": {"OP": "time"},
    "allow-list": {"OP": "allow-list", "AL1": "0123456789abcdef"},
}


def request(op, extra=None):
    made = dict(COMMON)
    made.update(SPECIFIC[op])
    made.update(extra or {})
    return made


def without(message, key):
    return {other: value for other, value in message.items() if other != key}


def test_every_operation_has_a_request_here():
    assert sorted(SPECIFIC) == sorted(schema.REQUESTS)


def test_the_smallest_request_of_each_operation_is_taken_with_and_without_op():
    for op in SPECIFIC:
        schema.check_request(op, request(op))
        schema.check_request(op, request(op, {"OP": op, "KID": "0123abcd"}))


def test_each_missing_token_is_named():
    for op in SPECIFIC:
        whole = request(op)
        for key in whole:
            error = raises(MissingToken, schema.check_request, op, without(whole, key))
            assert error.missing == (key,), (op, key, error.missing)
            assert error.code == "MISSING_TOKEN"


def test_all_missing_tokens_are_named_at_once():
    error = raises(MissingToken, schema.check_request, "heartbeat", {"OP": "heartbeat"})
    assert error.missing == ("D1", "TS", "NONCE", "SIG1", "HB1", "HB2")
    error = raises(MissingToken, schema.check_request, "events", {})
    assert error.missing == ("D1", "TS", "NONCE", "SIG1", "JID", "EVENT", "OP")


def test_registration_takes_its_key_as_d3_or_pk1():
    other = without(request("register"), "D3")
    other["PK1"] = "key"
    schema.check_request("register", other)
    error = raises(MissingToken, schema.check_request, "register", without(other, "PK1"))
    assert error.missing == ("D3",)


def test_op_must_name_the_endpoint():
    for op in SPECIFIC:
        for other in ("", "Heartbeat", "/heartbeat", "heartbeat ", "x"):
            raises(Malformed, schema.check_request, op, request(op, {"OP": other}))
        for other in SPECIFIC:
            if other != op:
                raises(Malformed, schema.check_request, op, request(op, {"OP": other}))


def test_without_op_a_token_that_only_another_operation_knows_is_malformed():
    for op in SPECIFIC:
        if schema.REQUESTS[op].needs_op:
            continue
        for other in schema.REQUESTS.values():
            for key in other.required + other.optional:
                if schema.REQUESTS[op].knows(key):
                    continue
                value = [] if key in schema.LISTS else _good_value(key)
                raises(Malformed, schema.check_request, op, request(op, {key: value}))
                if key not in SIGNATURE_KEYS:
                    schema.check_request(op, request(op, {key: value, "OP": op}))


def test_a_signature_that_the_operation_does_not_have_is_malformed():
    for op in SPECIFIC:
        for key in SIGNATURE_KEYS:
            if not schema.REQUESTS[op].knows(key):
                raises(Malformed, schema.check_request, op, request(op, {"OP": op, key: "x"}))


def test_an_answer_is_never_a_request():
    for op in SPECIFIC:
        raises(Malformed, schema.check_request, op, request(op, {"OP": op, "RQ": "0" * 32}))


def test_tokens_that_nobody_knows_are_left_alone():
    for op in SPECIFIC:
        extra = {"X_FUTURE": "anything", "ROWS": [{"A": "b"}], "NONE": []}
        schema.check_request(op, request(op, extra))


def _good_value(key):
    kind = tokens.kind_of(key)
    good = {
        "integer": "1",
        "decimal": "1.5",
        "flag": "true",
        "time": "2026-11-20T10:00:00Z",
        "text": "0123456789abcdef",
    }
    return {"FW4": "0" * 64, "RQ": "0" * 32, "KID": "01234567"}.get(key, good[kind])


def test_a_token_is_a_text_in_every_message_or_a_list_in_every_message():
    for op in SPECIFIC:
        for key in ("D1", "TS", "NONCE", "OP", "KID", "HB2", "CMD1", "ERR1", "RTO", "FW_SIG"):
            for rows in ([], [{"A": "b"}]):
                raises(Malformed, schema.check_request, op, request(op, {"OP": op, key: rows}))
                if op in schema.ANSWERS:
                    raises(Malformed, tokens.check_answer, op, {key: rows, "S1": "ok"})
        for key in ("CMD", "LINK", "EVENT", "RESULT", "LOG"):
            raises(Malformed, schema.check_request, op, request(op, {key: "text", "OP": op}))
    raises(Malformed, tokens.check_answer, "commands", {"CMD": "text"})
    raises(Malformed, tokens.check_answer, "heartbeat", {"S1": "ok", "LINK": "text"})


def test_integers_have_one_spelling_and_fifteen_digits():
    for text in ("0", "1", "-1", "3600", "999999999999999", "-999999999999999"):
        assert tokens.is_integer(text), text
    for text in (
        "",
        "-",
        "+1",
        "01",
        "-01",
        "00",
        "1.0",
        "1e3",
        "1_0",
        " 1",
        "1 ",
        "0x1",
        "1" * 16,
    ):
        assert not tokens.is_integer(text), text
    assert not tokens.is_integer("\u0661")


def test_decimals_are_integers_with_an_optional_fraction():
    for text in ("0", "48.5", "-3.25", "0.000001", "12.3456789012345", "1.0", "1.10"):
        assert tokens.is_decimal(text), text
    for text in ("", ".", ".5", "5.", "1.2.3", "1,5", "1e5", "inf", "nan", "-", "-.5", "1.-5"):
        assert not tokens.is_decimal(text), text
    assert not tokens.is_decimal("1." + "0" * 18)


def test_values_of_the_wrong_kind_are_malformed_and_named():
    for key, text in (
        ("HB2", "1.5"),
        ("HB2", ""),
        ("HB4", "warm"),
        ("HB7", "full"),
        ("HB5", "yesterday"),
        ("TS", "2026-11-20"),
        ("NONCE", "short"),
        ("NONCE", "0123456789abcde+"),
        ("NONCE", "0" * 65),
        ("D1", ""),
        ("D1", "dev 1"),
        ("D1", "d" * 65),
        ("D1", "d\u00e9"),
        ("KID", "0123ABCD"),
        ("KID", "0123abc"),
    ):
        if text is None:
            continue
        error = raises(
            Malformed, schema.check_request, "heartbeat", request("heartbeat", {key: text})
        )
        assert error.code == "MALFORMED"
        if tokens.kind_of(key) != "time":
            assert key in error.reason


def test_kinds_hold_in_the_rows_of_declared_lists():
    rows = [{"LOG2": "INFO", "LOG4": "2026-11-20T10:00:00Z"}, {"LOG4": "yesterday"}]
    schema.check_request("logs", request("logs", {"LOG": rows[:1]}))
    raises(Malformed, schema.check_request, "logs", request("logs", {"LOG": rows}))
    raises(Malformed, tokens.check_answer, "commands", {"CMD": [{"CMD1": "a b"}]})
    tokens.check_answer("commands", {"CMD": [{"CMD1": "a-b", "TS": "2026-11-20T10:00:00Z"}]})


def test_of_a_punch_only_its_number_is_judged_with_the_message():
    row = {"A1": "e1", "A3": "yesterday", "BOOT": "x", "UP": "", "SEQ": "1"}
    schema.check_request("events", request("events", {"EVENT": [row]}))
    for number in ("", "x", "1.0"):
        wrong = [dict(row, SEQ=number)]
        raises(Malformed, schema.check_request, "events", request("events", {"EVENT": wrong}))


def test_flags_are_true_or_false():
    for text in ("true", "false"):
        tokens.check_answer("heartbeat", {"S1": "ok", "FW_AVAILABLE": text})
    for text in ("", "True", "1", "yes"):
        raises(Malformed, tokens.check_answer, "heartbeat", {"S1": "ok", "FW_AVAILABLE": text})


def test_an_answer_says_what_its_operation_requires_or_why_not():
    error = raises(MissingToken, tokens.check_answer, "events", {"S1": "ok"})
    assert error.missing == ("ACK_SEQ",)
    for op in schema.ANSWERS:
        tokens.check_answer(op, {"ERR1": "RATE_LIMIT", "RTY": "60"})
        raises(Malformed, tokens.check_answer, op, {"ERR1": "RATE_LIMIT", "RTY": "soon"})


def test_every_operation_has_an_answer_except_the_download():
    assert set(schema.REQUESTS) - set(schema.ANSWERS) == {"firmware/download"}


def test_older_clients_requests_are_taken():
    older = {
        "D1": "terminal-7",
        "TS": "2026-11-20T10:00:00Z",
        "NONCE": "a1b2c3d4e5f60718",
        "SIG1": "signature",
    }
    schema.check_request(
        "heartbeat",
        dict(older, HB1="20261120T100000", HB2="12", HB3="48.123456789", HB4="51.2", HB6="ONLINE"),
    )
    schema.check_request("register", dict(older, D2="RPI_TERMINAL", PK1="key", D4="maker", D5="m"))
    schema.check_request("command-ack", dict(older, CMD1="c1", ACK1="OK", ACK2="done"))
    schema.check_request("firmware/check", dict(older, FW2="1.0.0"))
    schema.check_request("commands", older)


def test_payload_fields_are_those_of_the_command():
    command_forms.check_payload("TRUST_KEY", {"ROLE": "release", "KEY": "k", "RELEASE_SIG": "s"})
    command_forms.check_payload("WIPE", {})
    command_forms.check_payload("WIPE", {"FORCE": "true"})
    error = raises(MissingToken, command_forms.check_payload, "TRUST_KEY", {"ROLE": "admin"})
    assert error.missing == ("KEY",)
    raises(Malformed, command_forms.check_payload, "RESTART", {"NOW": "true"})
    raises(Malformed, command_forms.check_payload, "WIPE", {"FORCE": []})


def test_every_payload_field_fits_into_token_lines():
    for name, command in schema.COMMANDS.items():
        payload = dict.fromkeys(command.required + command.optional, "x")
        if payload:
            assert lines.decode(lines.encode(payload), 4096) == payload
        command_forms.check_payload(name, payload)


def test_every_declared_key_can_stand_in_a_message():
    for form in list(schema.REQUESTS.values()) + list(schema.ANSWERS.values()):
        fields = dict.fromkeys(form.required + form.optional, "x")
        for name, columns in form.lists.items():
            fields[name] = [dict.fromkeys(columns, "x")]
        if fields:
            assert lines.decode(lines.encode(fields), 4096) == fields


def test_every_token_of_every_operation_is_declared_as_a_text_or_a_list():
    texts = tokens.TEXTS.split()
    assert sorted(texts) == sorted(set(texts))
    used = set(schema.COMMON) | set(schema.ANSWER_COMMON)
    for form in list(schema.REQUESTS.values()) + list(schema.ANSWERS.values()):
        used |= set(form.required) | set(form.optional)
        for name, columns in form.lists.items():
            assert schema.LISTS[name] == columns
            used |= set(columns)
    for columns in schema.LISTS.values():
        used |= set(columns)
    assert used - set(texts) - set(schema.LISTS) == set()
    assert not set(texts) & set(schema.LISTS)

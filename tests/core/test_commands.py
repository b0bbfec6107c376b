"""Commands: believed, at most once, acknowledged; over power cuts too."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash

from fake_ports import CRYPTO
from fakes import ADMIN_SEEDS, RELEASE_SEED, acknowledgement, public_text, ready

from ks_agent import lines, signing
from ks_agent.update_record import UpdateRecord


def payload(**fields):
    return lines.encode(fields).decode()


def test_a_signed_command_is_performed_once_and_acknowledged():
    terminal = ready()
    row = terminal.server.command("IDENTIFY")
    assert acknowledgement(terminal, row) == "OK "
    terminal.server.commands = [row]
    beats = terminal.heartbeats()
    terminal.run(lambda: terminal.heartbeats() == beats + 3)
    assert terminal.board.counts.get("identify", 0) == 1


def test_a_repeated_command_is_acknowledged_again_without_being_performed():
    terminal = ready()
    row = terminal.server.command("IDENTIFY")
    acknowledgement(terminal, row)
    terminal.run_cycle()
    terminal.server.requests = []
    terminal.server.commands = [row]
    assert acknowledgement(terminal, row) == "OK "
    assert terminal.board.counts.get("identify", 0) == 1


def test_a_command_that_the_server_did_not_sign_is_not_performed():
    terminal = ready()
    for field in ("CMD1", "CMD2", "CMD5", "TS"):
        row = terminal.server.command("RESTART")
        row[field] = row[field][:-1] + ("0" if row[field][-1] != "0" else "1")
        if field == "CMD2":
            row["CMD2"] = "IDENTIFY"
        beats = terminal.heartbeats()
        terminal.run(lambda: terminal.heartbeats() == beats + 2)
        terminal.server.commands = []
    assert terminal.restarts == [] and "identify" not in terminal.board.events()


def test_a_command_for_another_device_is_not_performed():
    terminal = ready()
    row = terminal.server.command("RESTART", CMD1="0123456789abcdef-1")
    beats = terminal.heartbeats()
    terminal.run(lambda: terminal.heartbeats() == beats + 3)
    assert terminal.restarts == [] and row["CMD1"] not in terminal.server.acknowledged()


def test_an_expired_command_is_refused():
    terminal = ready()
    row = terminal.server.command("RESTART", days=-1)
    assert acknowledgement(terminal, row).startswith("ERROR EXPIRED")
    assert terminal.restarts == []


def test_an_unknown_command_and_a_wrong_payload_are_refused():
    terminal = ready()
    rows = [
        (terminal.server.command("DANCE", 1), "ERROR UNKNOWN"),
        (terminal.server.command("FETCH_LOGS", 2, "LEVEL:X|MORE:1"), "ERROR MALFORMED"),
        (terminal.server.command("APPLY_CONFIG", 3, "SERVER:ftp%7C"), "ERROR MALFORMED"),
        (terminal.server.command("TRUST_KEY", 4, "ROLE:server"), "ERROR MISSING_TOKEN"),
        (terminal.server.command("IDENTIFY", 5, "|"), "ERROR MALFORMED"),
    ]
    for row, expected in rows:
        assert acknowledgement(terminal, row).startswith(expected), row


def test_a_restart_is_acknowledged_after_the_restart():
    terminal = ready()
    row = terminal.server.command("RESTART")
    assert acknowledgement(terminal, row).startswith("OK")
    assert terminal.restarts == ["command"]


def test_fetch_logs_uploads_the_lines_of_the_level_and_names_the_upload():
    terminal = ready()
    terminal.agent.log.info("quiet")
    terminal.agent.log.error("loud")
    row = terminal.server.command("FETCH_LOGS", payload=payload(LEVEL="ERROR"))
    status = acknowledgement(terminal, row)
    uploads = [request for request in terminal.server.requests if request["OP"] == "logs"]
    asked = [request for request in uploads if "CMD1" in request]
    assert status == "OK " + asked[0]["LOG1"]
    assert [line["LOG3"] for line in asked[0]["LOG"]] == ["loud"]


def test_a_configuration_is_kept_after_a_signed_round_trip():
    terminal = ready()
    row = terminal.server.command("APPLY_CONFIG", payload=payload(LOG_LEVEL="WARN", SITE="north"))
    assert acknowledgement(terminal, row) == "OK applied"
    terminal.boot()
    assert terminal.agent.config.get("SITE") == "north"


def test_a_configuration_that_reaches_no_server_is_taken_back_within_ten_minutes():
    terminal = ready()
    server = terminal.server
    handle = server.handle

    def only_at_the_old_address(fetch):
        if not fetch.url.startswith("http://server/"):
            raise OSError("nobody there")
        return handle(fetch)

    server.handle = only_at_the_old_address
    row = server.command("APPLY_CONFIG", payload=payload(SERVER="http://elsewhere"))
    started = terminal.clock.ticks
    assert acknowledgement(terminal, row) == "ERROR the old configuration is back"
    assert terminal.clock.ticks - started < 11 * 60000
    assert terminal.agent.config.get("SERVER") == "http://server"


def test_a_wipe_needs_two_different_administrators_signatures():
    for admins in (None, ADMIN_SEEDS[:1], ADMIN_SEEDS[:1] * 2, (ADMIN_SEEDS[0], b"X" * 32)):
        terminal = ready()
        row = terminal.server.command("WIPE", admins=admins)
        assert acknowledgement(terminal, row).startswith("ERROR UNAUTHORIZED")
        assert terminal.agent.identity.state == "ACTIVE"


def test_a_wipe_needs_an_expiry_of_at_most_30_days():
    terminal = ready()
    row = terminal.server.command("WIPE", days=31, admins=ADMIN_SEEDS)
    assert acknowledgement(terminal, row).startswith("ERROR MALFORMED")


def test_a_wipe_leaves_the_id_and_the_performed_ids_and_then_not_even_the_key():
    for name in ("WIPE", "REVOKE"):
        terminal = ready()
        terminal.vault.set("counter", b"7")
        row = terminal.server.command(name, admins=ADMIN_SEEDS)
        assert acknowledgement(terminal, row) == "OK erased"
        terminal.run(lambda: terminal.agent.identity.state == "DORMANT")
        assert terminal.vault.values == {"counter": b"7"}
        left = [path for path in terminal.fs.files if path.startswith("data/")]
        assert sorted(left) == ["data/state/identity.toon", "data/state/performed.toon"]
        terminal.boot()
        assert terminal.step() is None and terminal.vault.get("key") is None


def test_the_key_goes_seven_days_after_a_wipe_that_nobody_answered():
    terminal = ready()
    terminal.server.command("WIPE", admins=ADMIN_SEEDS)
    terminal.run(lambda: terminal.agent.identity.state == "WIPING")
    terminal.link_down = True
    wiped = terminal.clock.ticks
    terminal.run(lambda: terminal.agent.identity.state == "DORMANT", 5000)
    assert 0 <= terminal.clock.ticks - wiped - 7 * 86400000 <= 301000
    assert terminal.vault.get("key") is None


def test_updates_can_be_halted_and_resumed():
    terminal = ready()
    for name, halted in (("HALT_UPDATES", True), ("RESUME_UPDATES", False)):
        row = terminal.server.command(name, number=halted)
        assert acknowledgement(terminal, row) == "OK "
        terminal.boot()
        assert UpdateRecord(terminal.agent.store, terminal.agent.outbox).halted == halted


def test_the_server_alone_changes_neither_release_nor_admin_keys():
    terminal = ready()
    key = public_text(b"N" * 32)
    for number, role in enumerate(("release", "admin")):
        row = terminal.server.command("TRUST_KEY", number, payload(ROLE=role, KEY=key))
        acknowledged = acknowledgement(terminal, row)
        assert acknowledged.split()[1] in ("SIG_INVALID", "UNAUTHORIZED"), acknowledged
        assert not terminal.agent.trust.has(role, key)
    row = terminal.server.command("DISTRUST_KEY", 9, payload(ROLE="release", KEY=key))
    assert acknowledgement(terminal, row).startswith("ERROR UNAUTHORIZED")


def test_keys_of_each_role_are_trusted_with_the_signatures_they_take():
    terminal = ready()
    key = public_text(b"N" * 32)
    by_release = signing.sign_text(CRYPTO, RELEASE_SEED, signing.trust_text("release", key))
    for number, (role, fields, admins) in enumerate(
        (
            ("release", {"RELEASE_SIG": by_release}, None),
            ("admin", {}, ADMIN_SEEDS),
            ("server", {}, None),
        )
    ):
        text = payload(ROLE=role, KEY=key, **fields)
        row = terminal.server.command("TRUST_KEY", number, text, admins=admins)
        assert acknowledgement(terminal, row) == "OK ", role
        terminal.boot()
        assert terminal.agent.trust.has(role, key)


def test_a_distrusted_key_is_never_trusted_again_and_the_last_key_of_a_role_stays():
    terminal = ready()
    key = public_text(b"N" * 32)
    fields = payload(ROLE="admin", KEY=key)
    answers = []
    for number, name in enumerate(("TRUST_KEY", "DISTRUST_KEY", "TRUST_KEY")):
        row = terminal.server.command(name, number, fields, admins=ADMIN_SEEDS)
        answers.append(acknowledgement(terminal, row))
    assert answers[:2] == ["OK ", "OK "] and answers[2].startswith("ERROR DISTRUSTED")
    last = payload(ROLE="release", KEY=public_text(RELEASE_SEED))
    row = terminal.server.command("DISTRUST_KEY", 7, last, admins=ADMIN_SEEDS)
    assert acknowledgement(terminal, row).startswith("ERROR LAST_KEY")


def test_the_device_key_rotates_with_the_servers_answer():
    terminal = ready()
    before = terminal.vault.get("key")
    row = terminal.server.command("ROTATE_DEVICE_KEY")
    assert acknowledgement(terminal, row) == "OK "
    terminal.run_cycle()
    after = terminal.vault.get("key")
    assert after != before and terminal.vault.get("key_next") is None
    index = terminal.server.ops().index("rotate-key")
    request = terminal.server.requests[index]
    assert request["D3"] == public_text(after)
    signing.verify_message(CRYPTO, CRYPTO.public_key(after), request, "SIG_NEW")
    signing.verify_message(CRYPTO, CRYPTO.public_key(before), request, "SIG1")


def lost_rotation(server_took_it):
    """The answer to rotate-key never comes; the server then knows one of the two keys."""
    terminal = ready()
    server = terminal.server
    handle = server.handle
    known = [CRYPTO.public_key(terminal.vault.get("key"))]

    def with_one_key(fetch):
        answer = handle(fetch)
        request = server.requests[-1]
        if request["OP"] == "rotate-key":
            if server_took_it:
                known[0] = signing.unb64(request["D3"])
            raise OSError("lost")
        try:
            signing.verify_message(CRYPTO, known[0], request, "SIG1")
        except signing.BadSignature:
            server.requests.pop()
            raise OSError("unsigned")
        return answer

    server.handle = with_one_key
    row = server.command("ROTATE_DEVICE_KEY")
    return terminal, acknowledgement(terminal, row), known[0]


def test_a_lost_answer_to_rotate_key_ends_with_the_key_that_the_server_knows():
    for server_took_it, expected in ((True, "OK "), (False, "ERROR the old key goes on")):
        terminal, acknowledged, known = lost_rotation(server_took_it)
        assert acknowledged == expected
        terminal.run_cycle()
        assert CRYPTO.public_key(terminal.vault.get("key")) == known
        assert terminal.vault.get("key_next") is None

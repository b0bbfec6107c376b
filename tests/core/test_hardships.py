"""A terminal in hardship: a slow processor, little memory, a full flash, a server half broken."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash

from fake_ports import CRYPTO, NOW_MS, QuickCrypto
from fakes import Terminal, acknowledgement, public_text, ready
from support import raises

from ks_agent import envelope, signing


class SlowCrypto(QuickCrypto):
    """Each verification takes 11 s by the terminal's clock."""

    def __init__(self, clock):
        self._clock = clock

    def verify(self, public, pieces, signature):
        self._clock.ticks += 11000
        return QuickCrypto.verify(self, public, pieces, signature)


def test_the_time_is_taken_right_however_long_the_verification_takes():
    terminal = Terminal()
    terminal.agent.ports.crypto = SlowCrypto(terminal.clock)
    terminal.server.offset_ms = NOW_MS + 365 * 86400000
    terminal.run(lambda: terminal.beats() == 1)
    assert abs(terminal.agent.clock.now_ms() - terminal.server.now_ms()) <= 40


def test_an_answer_that_took_10_s_to_come_does_not_set_the_clock():
    terminal = Terminal()
    terminal.server.offset_ms = NOW_MS + 365 * 86400000
    handle = terminal.server.handle

    def slowly(fetch):
        answer = handle(fetch)
        terminal.clock.ticks += 10000
        return answer

    terminal.server.handle = slowly
    terminal.run_cycle()
    terminal.run_cycle()
    assert terminal.server.ops() == ["register"] and not terminal.agent.clock.synced


def test_an_answer_that_there_is_no_memory_for_is_a_reason_to_try_again_not_to_crash():
    terminal = ready()
    terminal.run_cycle()
    terminal.server.answers["heartbeat"] = MemoryError()
    terminal.run_cycle()
    assert 5000 <= terminal.slept_ms <= 6000
    del terminal.server.answers["heartbeat"]
    terminal.run(lambda: terminal.beats() == 2)


def test_a_heap_that_stays_without_room_is_left_by_a_crash_and_so_a_restart():
    terminal = ready()
    terminal.server.answers["heartbeat"] = MemoryError()
    error = raises(MemoryError, terminal.run, lambda: False, 40)
    assert error is not None
    assert terminal.heartbeats() == 1 + 4


def test_an_answer_that_cannot_be_taken_apart_in_memory_is_a_reason_to_try_again():
    terminal = ready()
    terminal.run_cycle()
    parse = envelope.parse

    def parse_without_memory(data, content_type, *limits, **names):
        if b"SIG_SERV" in data:
            raise MemoryError()
        return parse(data, content_type, *limits, **names)

    envelope.parse = parse_without_memory
    try:
        terminal.run_cycle()
    finally:
        envelope.parse = parse
    assert 5000 <= terminal.slept_ms <= 6000
    terminal.run(lambda: terminal.beats() == 2)


def test_a_full_flash_does_not_make_the_terminal_deaf():
    terminal = ready()
    terminal.run_cycle()
    terminal.server.answers["heartbeat"] = {"S1": "ok", "RTO": "90"}
    terminal.server.offset_ms += 3 * 86400000

    def full(path, mode):
        if mode != "rb":
            raise OSError(28)
        return type(terminal.fs).open(terminal.fs, path, mode)

    terminal.fs.open = full
    terminal.run(lambda: terminal.beats() >= 3, 40)
    assert terminal.agent.clock.synced


def test_a_revoked_terminal_that_somebody_calls_unknown_goes_on_asking_for_commands():
    terminal = ready()
    for op in ("heartbeat", "register"):
        terminal.server.answers[op] = {"ERR1": "REVOKED"}
    terminal.run(lambda: terminal.agent.identity.state == "REVOKED")

    def strip(answer):
        if answer["OP"] == "heartbeat":
            del answer["SIG_SERV"]
            answer["ERR1"] = "DEVICE_NOT_FOUND"

    terminal.server.bend_signed = strip
    terminal.run_cycle()
    terminal.run_cycle()
    terminal.server.bend_signed = None
    terminal.server.requests = []
    for _ in range(4):
        terminal.run_cycle()
    assert "commands" in terminal.server.ops()


def test_a_signed_refusal_is_waited_out_by_its_rto_where_it_has_no_rty():
    terminal = ready()
    terminal.server.answers["heartbeat"] = {"ERR1": "UNAVAILABLE", "RTO": "600"}
    terminal.run(lambda: terminal.heartbeats() == 2)
    terminal.run_cycle()
    assert terminal.slept_ms == 600000


def test_one_acknowledgement_that_the_server_cannot_store_holds_nothing_else_up():
    terminal = ready()
    server = terminal.server
    stuck = server.command("IDENTIFY", 1)
    handle = server.handle

    def fails_for_one(fetch):
        def bend(answer):
            if server.requests[-1].get("CMD1") == stuck["CMD1"]:
                answer.pop("S1", None)
                answer["ERR1"] = "INTERNAL"

        server.bend = bend
        return handle(fetch)

    server.handle = fails_for_one
    terminal.agent.log.error("loud")
    terminal.run(lambda: stuck["CMD1"] in server.acknowledged())
    server.commands = []
    assert acknowledgement(terminal, server.command("IDENTIFY", 2)) == "OK "
    terminal.run_cycle()
    assert "logs" in server.ops()
    assert terminal.agent.outbox.find("command-ack", stuck["CMD1"]) is not None


def test_a_commands_poll_that_is_refused_holds_no_acknowledgement_up():
    terminal = ready()
    row = terminal.server.command("IDENTIFY", 1)
    terminal.agent.outbox.put("command-ack", "x", {"CMD1": "x", "ACK1": "OK", "ACK2": ""})
    terminal.server.answers["commands"] = {"ERR1": "RATE_LIMIT", "RTY": "600"}
    terminal.run(lambda: "x" in terminal.server.acknowledged(), 40)
    assert row["CMD1"] not in terminal.server.acknowledged()


def test_what_was_refused_with_a_time_to_wait_is_not_asked_again_before():
    terminal = ready()
    server = terminal.server
    server.answers["logs"] = {"ERR1": "RATE_LIMIT", "RTY": "900"}
    server.answers["commands"] = {"ERR1": "RATE_LIMIT", "RTY": "600"}
    server.command("IDENTIFY")
    terminal.agent.log.error("loud")
    terminal.run(lambda: "logs" in server.ops())
    asked = terminal.clock.ticks
    terminal.run(lambda: server.ops().count("commands") == 2)
    assert 600000 <= terminal.clock.ticks - asked <= 661000
    terminal.run(lambda: server.ops().count("logs") == 2)
    assert 900000 <= terminal.clock.ticks - asked <= 961000


def test_no_command_is_begun_while_64_acknowledgements_wait():
    terminal = ready()
    for number in range(64):
        key = "old-%d" % number
        terminal.agent.outbox.put("command-ack", key, {"CMD1": key, "ACK1": "OK", "ACK2": ""})
    terminal.server.answers["command-ack"] = {"ERR1": "UNAVAILABLE"}
    row = terminal.server.command("IDENTIFY")
    terminal.run(lambda: terminal.heartbeats() == 4)
    assert "identify" not in terminal.board.counts
    del terminal.server.answers["command-ack"]
    assert acknowledgement(terminal, row) == "OK "


def test_the_time_without_tls_is_asked_of_an_ipv6_address_too():
    cases = (
        ("https://[fd00::1]:8443", "http://[fd00::1]/"),
        ("https://host:8443", "http://host/"),
        ("https://host", "http://host/"),
    )
    for server, expected in cases:
        factory = {"D1": "dev-1", "SERVER": server}
        terminal = Terminal(factory=factory)
        asked = []

        def refuse(fetch, asked=asked):
            asked.append(fetch.url)
            raise OSError("certificate date")

        terminal.server.handle = refuse
        terminal.run_cycle()
        terminal.run_cycle()
        assert asked[1].startswith(expected + "api/devices/time"), asked


def test_a_log_level_that_nobody_sent_yet_is_still_sent_after_others_were_fetched():
    terminal = ready()
    log = terminal.agent.log
    log.error("loud")
    row = terminal.server.command("FETCH_LOGS", payload="LEVEL:FATAL")
    acknowledgement(terminal, row)
    terminal.run_cycle()
    uploads = [request["LOG"] for request in terminal.server.requests if request["OP"] == "logs"]
    assert [line["LOG3"] for rows in uploads for line in rows] == ["loud"]


def test_a_chain_of_links_is_followed_over_many_keys():
    terminal = ready()
    server = terminal.server
    seeds = [server.seed] + [bytes((number,)) * 32 for number in range(1, 9)]
    links = []
    for seq in range(2, len(seeds) + 1):
        key = public_text(seeds[seq - 1])
        signature = signing.sign_text(CRYPTO, seeds[seq - 2], signing.link_text(seq, key))
        links.append({"SEQ": str(seq), "KEY": key, "SIG": signature})
    server.seed = seeds[-1]
    server.bend = lambda answer: answer.update({"LINK": links})
    terminal.run(lambda: terminal.beats() == 2)
    assert terminal.agent.trust.has("server", public_text(seeds[-1]))
    assert not terminal.agent.trust.has("server", public_text(seeds[0]))

"""The terminal's life against a small server: first boot, time, registration, refusals."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash

from fake_ports import CRYPTO, NOW_MS, PowerCut
from fakes import Terminal, public_text

from ks_agent import signing, timetext


def test_a_first_boot_makes_a_key_gets_the_time_registers_and_heartbeats():
    terminal = Terminal()
    terminal.run(lambda: terminal.heartbeats() == 2)
    assert terminal.board.events()[:3] == ["key_made", "registered", "heartbeat"]
    assert terminal.server.ops()[:3] == ["register", "register", "heartbeat"]
    assert abs(terminal.agent.clock.now_ms() - terminal.server.now_ms()) <= 40
    assert terminal.agent.identity.state == "ACTIVE"


def test_a_second_boot_keeps_the_key_and_does_not_register_again():
    terminal = Terminal()
    terminal.run(lambda: terminal.heartbeats() == 1)
    key = terminal.vault.get("key")
    terminal.boot()
    terminal.server.requests = []
    terminal.run(lambda: terminal.heartbeats() == 2)
    assert terminal.vault.get("key") == key
    assert "register" not in terminal.server.ops()


def test_a_terminal_whose_clock_is_a_year_off_learns_the_time_from_the_refusal():
    for years in (-1, 1):
        terminal = Terminal()
        terminal.server.offset_ms = NOW_MS + years * 365 * 86400000
        terminal.run(lambda: terminal.heartbeats() == 1)
        assert abs(terminal.agent.clock.now_ms() - terminal.server.now_ms()) <= 40


def test_a_power_cut_anywhere_in_the_first_boot_leaves_no_key_or_a_whole_one():
    terminal = Terminal()
    terminal.run(lambda: terminal.heartbeats() == 1)
    for operations in range(200):
        terminal = Terminal()
        terminal.fs.operations_left = operations
        try:
            terminal.run(lambda: terminal.heartbeats() == 1)
            cut = False
        except PowerCut:
            cut = True
        key = terminal.vault.get("key")
        assert key is None or len(key) == 32
        terminal.fs.operations_left = -1
        terminal.boot()
        terminal.run(lambda: terminal.heartbeats() >= 1)
        assert key is None or terminal.vault.get("key") == key
        if not cut:
            return
    raise AssertionError("the first boot never came to an end")


def test_a_failed_link_is_retried_after_5_s_doubling_to_300_s_with_up_to_1_s_on_top():
    terminal = Terminal()
    terminal.link_down = True
    waits = []
    while len(waits) < 9:
        if terminal.step() == "sleep":
            waits.append(terminal.slept_ms)
    expected = [0, 5000, 10000, 20000, 40000, 80000, 160000, 300000, 300000]
    for wait_ms, least_ms in zip(waits, expected):
        assert least_ms <= wait_ms <= least_ms + (1000 if least_ms else 0)


def test_a_signed_refusal_with_rty_is_waited_out():
    terminal = Terminal()
    terminal.run(lambda: terminal.heartbeats() == 1)
    terminal.server.answers["heartbeat"] = {"ERR1": "RATE_LIMIT", "RTY": "77"}
    terminal.run(lambda: terminal.heartbeats() == 2)
    terminal.run_cycle()
    assert terminal.slept_ms == 77000


def bent(change):
    """How a terminal takes a heartbeat's answer that was changed."""
    terminal = Terminal()
    terminal.run(lambda: terminal.heartbeats() == 1)
    terminal.run_cycle()
    change(terminal.server)
    heard = terminal.agent.exchange.heard
    terminal.run_cycle()
    terminal.run_cycle()
    assert terminal.agent.exchange.heard == heard
    return terminal


def test_an_answer_that_is_not_bound_to_the_request_is_not_believed():
    for key in ("D1", "NONCE", "OP", "RQ"):

        def change(server, key=key):
            server.bend = lambda answer: answer.update({key: "0123456789abcdef0123456789abcdef"})

        terminal = bent(change)
        assert terminal.board.shown[-1][1]["code"] == "UNBOUND"


def test_an_answer_tampered_with_after_signing_is_not_believed():
    def change(server):
        server.bend_signed = lambda answer: answer.update({"RTO": "61"})

    assert bent(change).board.shown[-1][1]["code"] == "SIG_INVALID"


def test_an_unsigned_answer_is_only_a_reason_to_wait_at_most_300_s():
    def change(server):
        def strip(answer):
            del answer["SIG_SERV"]
            answer["ERR1"] = "RATE_LIMIT"
            answer["RTY"] = "86400"

        server.bend_signed = strip

    assert bent(change).slept_ms == 300000


def test_an_answer_by_another_server_key_is_not_believed():
    def change(server):
        server.seed = b"X" * 32

    assert bent(change).board.shown[-1][1]["code"] == "SIG_INVALID"


def test_a_link_list_is_followed_before_the_answer_is_believed():
    terminal = Terminal()
    terminal.run(lambda: terminal.beats() == 1)
    keys = [terminal.server.seed, b"T" * 32, b"U" * 32]
    links = []
    for seq in (2, 3):
        key_text = public_text(keys[seq - 1])
        signature = signing.sign_text(CRYPTO, keys[seq - 2], signing.link_text(seq, key_text))
        links.append({"SEQ": str(seq), "KEY": key_text, "SIG": signature})
    terminal.server.seed = keys[2]
    terminal.server.bend = lambda answer: answer.update({"LINK": links})
    terminal.run(lambda: terminal.beats() == 2)
    terminal.server.bend = None
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    assert terminal.server.requests[-1]["KID"] == signing.key_id(CRYPTO, CRYPTO.public_key(keys[2]))


def test_a_revoked_terminal_polls_only_commands_until_it_is_reinstated():
    terminal = Terminal()
    terminal.run(lambda: terminal.heartbeats() == 1)
    terminal.server.answers["heartbeat"] = {"ERR1": "REVOKED"}
    terminal.run(lambda: terminal.agent.identity.state == "REVOKED")
    terminal.server.requests = []
    terminal.run(lambda: terminal.heartbeats() == 2)
    assert set(terminal.server.ops()) == {"commands", "heartbeat"}
    del terminal.server.answers["heartbeat"]
    terminal.run(lambda: terminal.agent.identity.state == "ACTIVE")


def test_a_link_that_dropped_three_times_in_ten_minutes_is_flapping():
    terminal = Terminal()
    terminal.run(lambda: terminal.beats() == 1)
    statuses = []
    for _ in range(3):
        terminal.link_down = True
        terminal.run_cycle()
        terminal.link_down = False
        beats = terminal.beats()
        terminal.run(lambda: terminal.beats() > beats)
        statuses.append(terminal.server.requests[-1]["HB6"])
    terminal.clock.ticks += 600000
    terminal.run(lambda: terminal.beats() > beats + 1)
    statuses.append(terminal.server.requests[-1]["HB6"])
    assert statuses == ["ONLINE", "ONLINE", "FLAPPING", "ONLINE"]


def test_an_idle_day_writes_nothing_to_flash():
    terminal = Terminal()
    terminal.run(lambda: terminal.heartbeats() == 3)
    terminal.fs.operations_left = 0
    terminal.run(lambda: terminal.heartbeats() == 60)


def test_a_heartbeat_request_is_at_most_450_bytes():
    terminal = Terminal()
    terminal.run(lambda: terminal.heartbeats() == 3)
    request = terminal.server.requests[-1]
    assert abs(timetext.parse_ms(request["HB5"]) - NOW_MS) <= 40
    assert len(signing.compose(request, signing.TOON)) <= 450

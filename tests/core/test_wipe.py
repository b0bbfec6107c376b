"""WIPE and REVOKE to their end: what is left, when the key goes, what the power may interrupt."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash

from fake_ports import CRYPTO
from fakes import ADMIN_SEEDS, ready

from ks_agent import signing

HOUR_MS = 3600000
DAY_MS = 24 * HOUR_MS


def wiped(name="WIPE"):
    """A terminal that was erased, and whose acknowledgement cannot be sent."""
    terminal = ready()
    terminal.server.command(name, admins=ADMIN_SEEDS)
    terminal.run(lambda: terminal.agent.identity.state == "WIPING")
    terminal.link_down = True
    return terminal


def power_for(terminal, duration_ms):
    """A boot that lasts as long, unless it ends by itself."""
    terminal.server.offset_ms += terminal.clock.ticks
    terminal.boot()
    while terminal.clock.ticks < duration_ms and terminal.step() is not None:
        pass


def test_the_key_goes_after_seven_days_with_power_however_often_it_was_switched_off():
    terminal = wiped()
    boots = 0
    while terminal.vault.get("key") is not None and boots < 20:
        power_for(terminal, 12 * HOUR_MS)
        boots += 1
    assert 14 <= boots <= 16
    assert terminal.agent.identity.state == "DORMANT"


def test_after_the_end_nothing_is_left_of_what_the_terminal_learned_while_it_waited():
    terminal = wiped("REVOKE")
    terminal.vault.set("counter", b"7")
    terminal.vault.set("wifi_ssid", b"site")
    terminal.vault.set("wifi_password", b"secret")
    power_for(terminal, HOUR_MS)
    terminal.agent.store.write("data/state/crash.toon", {"CLASS": "ValueError"})
    terminal.agent.store.write("data/state/boot.toon", {"SLOT": "a", "MANIFEST": "0" * 64})
    server = terminal.server
    key_text = signing.b64(CRYPTO.public_key(b"T" * 32))
    link = {"SEQ": "2", "KEY": key_text}
    link["SIG"] = signing.sign_text(CRYPTO, server.seed, signing.link_text(2, key_text))
    old = signing.key_id(CRYPTO, CRYPTO.public_key(server.seed))
    server.seed = b"T" * 32

    def link_the_old(answer):
        if server.requests[-1]["KID"] == old:
            answer["LINK"] = [link]

    server.bend = link_the_old
    server.answers["command-ack"] = {"S1": "ok", "RTO": "90"}
    terminal.link_down = False
    terminal.run(lambda: terminal.agent.identity.state == "DORMANT")
    assert terminal.vault.values == {"counter": b"7"}
    left = [path for path in terminal.fs.files if path.startswith("data/")]
    kept = ["boot", "identity", "performed"]
    assert sorted(left) == ["data/state/%s.toon" % name for name in kept]
    assert sorted(terminal.agent.store.read("data/state/identity.toon")) == ["D1", "STATE"]


def test_no_password_outlives_a_wipe_in_the_record_of_a_command_that_was_under_way():
    terminal = ready()
    password = "WIFI_SSID:x|WIFI_PASSWORD:geheim"
    terminal.server.command("APPLY_CONFIG", 1, password)
    terminal.server.command("WIPE", 2, admins=ADMIN_SEEDS)
    terminal.run(lambda: terminal.agent.identity.state == "DORMANT")
    for path, data in terminal.fs.files.items():
        assert b"geheim" not in data, path


def test_a_wiped_terminal_whose_vault_has_lost_the_key_becomes_dormant():
    terminal = wiped()
    terminal.vault.erase("key")
    power_for(terminal, HOUR_MS)
    assert terminal.agent.identity.state == "DORMANT"


def test_a_wipe_in_the_middle_of_a_key_rotation_is_acknowledged_with_the_key_the_server_knows():
    terminal = ready()
    server = terminal.server
    handle = server.handle
    known = [CRYPTO.public_key(terminal.vault.get("key"))]

    def with_one_key(fetch):
        answer = handle(fetch)
        request = server.requests[-1]
        try:
            signing.verify_message(CRYPTO, known[0], request, "SIG1")
        except signing.BadSignature:
            server.requests.pop()
            raise OSError("unsigned")
        if request["OP"] == "rotate-key":
            known[0] = signing.unb64(request["D3"])
            raise OSError("lost")
        return answer

    server.handle = with_one_key
    server.command("ROTATE_DEVICE_KEY", 1)
    row = server.command("WIPE", 2, admins=ADMIN_SEEDS)
    terminal.run(lambda: terminal.agent.identity.state == "DORMANT", 60)
    assert server.acknowledged()[row["CMD1"]] == "OK erased"
    assert terminal.clock.ticks < HOUR_MS and terminal.vault.values == {}

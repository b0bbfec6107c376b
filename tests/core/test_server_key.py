"""The server's key is prepared while the terminal has nothing else to do."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash
from fake_ports import CRYPTO, QuickCrypto
from fakes import ADMIN_SEEDS, SERVER_SEED, Terminal, acknowledgement, public_text

from ks_agent import signing

PIECES, PIECE_MS = 6, 3
SERVER, NEXT_SEED = CRYPTO.public_key(SERVER_SEED), b"T" * 32


class PiecewiseCrypto(QuickCrypto):
    """Prepares a key in PIECES pieces of PIECE_MS each; `done` names the key of each piece."""

    def __init__(self):
        self.clock = None
        self.done = []
        self.forgotten = 0

    def prepare(self, public):
        if self.done.count(public) == PIECES:
            return True
        self.clock.ticks += PIECE_MS
        self.done.append(public)
        return self.done.count(public) == PIECES

    def forget(self):
        self.forgotten += 1


class EndlessCrypto(PiecewiseCrypto):
    def prepare(self, public):
        self.clock.ticks += PIECE_MS * 100
        self.done.append(public)
        return False


class FailingCrypto(PiecewiseCrypto):
    def __init__(self, error):
        PiecewiseCrypto.__init__(self)
        self._error = error

    def prepare(self, public):
        self.done.append(public)
        raise self._error


def terminal_with(crypto):
    terminal = Terminal(crypto=crypto)
    crypto.clock = terminal.clock
    return terminal


def change_key(server):
    """The server signs by its next key, and says how it follows from the first one."""
    key_text = public_text(NEXT_SEED)
    signature = signing.sign_text(CRYPTO, SERVER_SEED, signing.link_text(2, key_text))
    known = signing.key_id(CRYPTO, SERVER)
    server.seed = NEXT_SEED

    def link(answer):
        if server.requests[-1]["KID"] == known:
            answer["LINK"] = [{"SEQ": "2", "KEY": key_text, "SIG": signature}]

    server.bend = link


def test_between_two_pieces_the_terminal_gives_way_to_everything_else():
    crypto = PiecewiseCrypto()
    terminal = terminal_with(crypto)
    while terminal.beats() < 3:
        before = len(crypto.done)
        kind = terminal.step()
        assert len(crypto.done) - before <= 1
        if len(crypto.done) > before and crypto.done.count(SERVER) < PIECES:
            assert kind == "sleep" and terminal.slept_ms == 0
    assert crypto.done == [SERVER] * PIECES


def test_preparing_takes_nothing_from_the_work_and_no_time_from_the_pause():
    crypto = PiecewiseCrypto()
    terminal = terminal_with(crypto)
    terminal.run(lambda: terminal.server.ops()[-1:] == ["heartbeat"])
    assert crypto.done == []
    start = terminal.clock.ticks
    terminal.run(lambda: crypto.done.count(SERVER) == PIECES)
    terminal.run(lambda: terminal.heartbeats() == 2)
    assert 60000 <= terminal.clock.ticks - start <= 60000 + PIECE_MS + 40


def test_a_pause_that_is_over_leaves_the_rest_for_the_next_one():
    crypto = PiecewiseCrypto()
    terminal = terminal_with(crypto)
    prepare = crypto.prepare

    def slowly(public):
        terminal.clock.ticks += 25000
        return prepare(public)

    crypto.prepare = slowly
    terminal.run(lambda: terminal.heartbeats() == 2)
    assert 0 < len(crypto.done) < PIECES
    terminal.run(lambda: terminal.heartbeats() == 4)
    assert len(crypto.done) == PIECES


def test_a_terminal_that_never_reached_its_server_prepares_as_well():
    crypto = PiecewiseCrypto()
    terminal = terminal_with(crypto)
    terminal.link_down = True
    terminal.run(lambda: len(crypto.done) == PIECES)
    assert terminal.agent.identity.state == "UNREGISTERED"


def test_a_registered_terminal_prepares_before_its_first_conversation():
    crypto = PiecewiseCrypto()
    terminal = terminal_with(crypto)
    terminal.run(lambda: terminal.beats() == 1)
    crypto.done.clear()
    terminal.boot()
    terminal.server.requests = []
    terminal.run(lambda: terminal.server.requests)
    assert crypto.done == [SERVER] * PIECES


def test_a_server_key_that_a_link_leads_to_is_prepared_in_its_turn():
    crypto = PiecewiseCrypto()
    terminal = terminal_with(crypto)
    terminal.run(lambda: terminal.beats() == 2)
    change_key(terminal.server)
    terminal.run(lambda: terminal.beats() == 4)
    assert crypto.done == [SERVER] * PIECES + [CRYPTO.public_key(NEXT_SEED)] * PIECES


def test_a_server_key_that_a_command_brings_is_prepared_in_its_turn():
    crypto = PiecewiseCrypto()
    terminal = terminal_with(crypto)
    terminal.run(lambda: terminal.beats() == 2)
    key = "ROLE:server|KEY:" + public_text(NEXT_SEED)
    assert acknowledgement(terminal, terminal.server.command("TRUST_KEY", 1, key)) == "OK "
    terminal.run(lambda: terminal.beats() == 4)
    assert crypto.done[PIECES:] == [CRYPTO.public_key(NEXT_SEED)] * PIECES


def test_whatever_goes_wrong_in_preparing_the_terminal_lives_on_and_leaves_that_key_alone():
    errors = (MemoryError(), ValueError("x"), OSError(28), IndexError("x"), TypeError("x"))
    for error in errors:
        crypto = FailingCrypto(error)
        terminal = terminal_with(crypto)
        terminal.run(lambda terminal=terminal: terminal.beats() == 3)
        assert crypto.done == [SERVER]
        assert terminal.agent.log.has_unsent("WARN")
        change_key(terminal.server)
        terminal.run(lambda terminal=terminal: terminal.beats() == 5)
        assert crypto.done == [SERVER, CRYPTO.public_key(NEXT_SEED)]


def test_preparing_that_never_ends_keeps_no_heartbeat_waiting():
    terminal = terminal_with(EndlessCrypto())
    terminal.run(lambda: terminal.heartbeats() == 1)
    start = terminal.clock.ticks
    terminal.run(lambda: terminal.heartbeats() == 3, 1000)
    assert terminal.clock.ticks - start <= 2 * (60000 + 100 * PIECE_MS + 200)


def test_what_was_made_of_the_private_key_goes_when_the_key_goes():
    for name in ("WIPE", "REVOKE"):
        crypto = PiecewiseCrypto()
        terminal = terminal_with(crypto)
        terminal.run(lambda terminal=terminal: terminal.beats() == 1)
        terminal.server.command(name, admins=ADMIN_SEEDS)
        while terminal.vault.get("key") is not None:
            assert crypto.forgotten == 0
            terminal.step()
        assert crypto.forgotten == 1
        assert terminal.agent.identity.state == "DORMANT"

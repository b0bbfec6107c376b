"""The server's key is prepared while the terminal has nothing else to do."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash
from fake_ports import CRYPTO, PowerCut, QuickCrypto
from fakes import ADMIN_SEEDS, SERVER_SEED, Terminal, acknowledgement, public_text

from ks_agent import signing
from ks_crypto import ed25519, port
from ks_driver.host import TABLE_PATH

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


class Table:
    """A prepared key of the engine below: its table is a hash of the key, again and again."""

    def __init__(self, public, table, whole):
        self.public = public
        self.table = table
        self._filled = len(table) if whole else 0

    def step(self):
        self.table[self._filled : self._filled + 32] = self._row()
        self._filled += 32
        return self._filled == len(self.table)

    def is_valid(self):
        return bytes(self.table[:32]) == self._row()

    def _row(self):
        digest = CRYPTO.sha256()
        digest.update(self.public)
        return digest.digest()


class Engine(QuickCrypto):
    """In the place of `ks_crypto.ed25519`: hashes for signatures, and a table of a few rows."""

    TABLE_BYTES = 32 * PIECES

    def __init__(self):
        self.made = 0

    def prepare(self, public, table=None, whole=False):
        self.made += not whole
        return Table(public, table, whole)

    def sign(self, seed, pieces, check=False):
        return QuickCrypto.sign(self, seed, pieces)

    def verify(self, public, pieces, signature, prepared=None):
        assert prepared is None or prepared.is_valid()
        return QuickCrypto.verify(self, public, pieces, signature)

    def let_go(self):
        pass


class WithTables:
    """`with WithTables() as engine`: the real crypto port has tables, of a fake engine."""

    NAMES = ("TABLE_BYTES", "public_key", "sign", "verify", "prepare", "forget", "let_go")

    def __enter__(self):
        self._kept = {name: getattr(ed25519, name) for name in self.NAMES}
        self._tables = port._tables[:]
        engine = Engine()
        for name in self.NAMES:
            setattr(ed25519, name, getattr(engine, name))
        port._tables.clear()
        return engine

    def __exit__(self, *_):
        for name in self.NAMES:
            setattr(ed25519, name, self._kept[name])
        port._tables.extend(self._tables)


def booted(terminal):
    terminal.crypto = port.Ed25519Crypto(terminal.fs, TABLE_PATH)
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 2)


def test_the_table_is_made_once_and_found_again_by_every_boot():
    with WithTables() as engine:
        terminal = Terminal()
        for _ in range(3):
            booted(terminal)
        assert engine.made == 1
        assert len(terminal.fs.files[TABLE_PATH]) == 32 + Engine.TABLE_BYTES


def test_a_table_that_is_damaged_cut_short_or_of_another_key_is_made_anew():
    with WithTables() as engine:
        terminal = Terminal()
        booted(terminal)
        good = terminal.fs.files[TABLE_PATH]
        other = bytes(32) + good[32:]
        flipped = good[:-1] + bytes((good[-1] ^ 1,))
        for made, bad in enumerate((b"", good[:20], good[:-1], flipped, other)):
            terminal.fs.files[TABLE_PATH] = bad
            booted(terminal)
            assert terminal.fs.files[TABLE_PATH] == good
            assert engine.made == made + 2


def test_the_table_of_the_next_server_key_replaces_the_one_before():
    with WithTables() as engine:
        terminal = Terminal()
        booted(terminal)
        first = terminal.fs.files[TABLE_PATH]
        change_key(terminal.server)
        terminal.run(lambda: terminal.beats() == 4)
        second = terminal.fs.files[TABLE_PATH]
        assert second != first and len(second) == len(first)
        booted(terminal)
        assert engine.made == 2


def test_a_key_whose_table_is_half_made_is_begun_anew_after_another_was_loaded():
    with WithTables() as engine:
        terminal = Terminal()
        booted(terminal)
        crypto = port.Ed25519Crypto(terminal.fs, TABLE_PATH)
        assert not crypto.prepare(b"x" * 32)
        assert not crypto.prepare(b"x" * 32)
        assert crypto.prepare(SERVER)
        assert not crypto.prepare(b"x" * 32)
        assert engine.made == 3


def test_the_power_may_go_at_any_flash_operation_while_the_table_is_kept():
    with WithTables():
        for operations in range(60):
            terminal = Terminal()
            terminal.fs.operations_left = operations
            try:
                booted(terminal)
                cut = False
            except PowerCut:
                cut = True
            terminal.fs.operations_left = -1
            booted(terminal)
            assert len(terminal.fs.files[TABLE_PATH]) == 32 + Engine.TABLE_BYTES
            if not cut:
                break
        assert not cut


def test_a_full_flash_costs_only_the_table_that_cannot_be_kept():
    with WithTables():
        terminal = Terminal()
        terminal.run(lambda: terminal.beats() == 1)
        opened = terminal.fs.open

        def full(path, mode):
            if path == TABLE_PATH and mode == "wb":
                raise OSError(28)
            return opened(path, mode)

        terminal.fs.open = full
        booted(terminal)
        assert TABLE_PATH not in terminal.fs.files
        assert not terminal.agent.log.has_unsent("WARN")


def test_no_table_outlives_a_wipe():
    with WithTables():
        terminal = Terminal()
        booted(terminal)
        assert TABLE_PATH in terminal.fs.files
        terminal.server.command("WIPE", admins=ADMIN_SEEDS)
        terminal.run(lambda: terminal.agent.identity.state == "WIPING")
        assert TABLE_PATH not in terminal.fs.files
        terminal.crypto = port.Ed25519Crypto(terminal.fs, TABLE_PATH)
        terminal.link_down = True
        terminal.boot()
        terminal.run(lambda: terminal.clock.ticks > 60000)
        terminal.link_down = False
        terminal.run(lambda: terminal.agent.identity.state == "DORMANT")
        assert TABLE_PATH not in terminal.fs.files

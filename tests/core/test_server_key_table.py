"""The table of the server's key is kept on the flash, and given up where the room is wanted."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash
from fake_ports import CRYPTO, PowerCut, QuickCrypto
from fakes import ADMIN_SEEDS, Terminal
from test_server_key import PIECES, SERVER, change_key

from ks_crypto import ed25519, port
from ks_driver.host import TABLE_PATH


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


def test_a_terminal_that_made_room_verifies_without_a_table_and_makes_none():
    with WithTables() as engine:
        terminal = Terminal()
        booted(terminal)
        terminal.crypto.make_room()
        terminal.run(lambda: terminal.beats() == 4)
        assert terminal.crypto.prepare(b"x" * 32)
        assert engine.made == 1


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

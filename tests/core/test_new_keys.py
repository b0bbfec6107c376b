"""A private key is made of good randomness only, and kept only after it has proven itself."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash

from fake_ports import QuickCrypto
from fakes import Terminal, acknowledgement, ready
from support import raises

from ks_agent.errors import LocalError
from ks_agent.new_key import PROOF, new_seed

MINUTE_MS = 60000


class FaultyCrypto(QuickCrypto):
    """Signs wrong while `faulty`, as a processor does whose voltage somebody plays with."""

    def __init__(self):
        self.faulty = True

    def sign(self, seed, pieces):
        signature = QuickCrypto.sign(self, seed, pieces)
        return bytes(64) if self.faulty else signature


class Fixed:
    """Randomness that says what it is told to: first `outputs`, then what is random."""

    def __init__(self, rng, outputs):
        self._rng = rng
        self._outputs = list(outputs)

    def is_ready(self):
        return True

    def random_bytes(self, count):
        if self._outputs and count == 32:
            return self._outputs.pop(0)
        return self._rng.random_bytes(count)


def starved(change, crypto=None):
    """A new terminal that `change` keeps from making a key, a minute after it got power."""
    terminal = Terminal(crypto=crypto or QuickCrypto())
    change(terminal)
    while terminal.clock.ticks < MINUTE_MS:
        assert terminal.step() == "sleep"
        assert terminal.slept_ms >= 5000
    assert terminal.vault.values == {}
    assert terminal.server.requests == []
    assert "key_made" not in terminal.board.events()
    return terminal


def test_a_new_terminal_without_entropy_has_no_key_and_makes_it_when_the_radio_is_on():
    terminal = starved(lambda terminal: setattr(terminal.rng, "ready", False))
    assert terminal.board.shown[-1] == ("no_key", {"reason": "no entropy"})
    terminal.rng.ready = True
    terminal.run(lambda: terminal.beats() == 1)
    assert len(terminal.vault.get("key")) == 32
    assert terminal.board.counts["key_made"] == 1


def test_a_terminal_that_loses_power_without_entropy_makes_its_key_at_a_later_boot():
    terminal = starved(lambda terminal: setattr(terminal.rng, "ready", False))
    terminal.boot()
    terminal.step()
    assert terminal.vault.values == {}
    terminal.rng.ready = True
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)


def test_no_output_is_asked_for_while_there_is_no_entropy():
    terminal = Terminal()
    terminal.rng.ready = False
    terminal.rng.random_bytes = None
    error = raises(LocalError, new_seed, terminal.agent.ports)
    assert str(error) == "no entropy"


def test_a_new_key_is_proven_by_what_no_message_could_be():
    terminal = Terminal()
    signed = []

    class Watched(QuickCrypto):
        def sign(self, seed, pieces):
            signed.append((seed, b"".join(pieces)))
            return QuickCrypto.sign(self, seed, pieces)

    terminal.agent.ports.crypto = Watched()
    seed = new_seed(terminal.agent.ports)
    assert signed == [(seed, b"".join(PROOF))]
    assert b":" not in signed[0][1] and b"|" not in signed[0][1]


def test_output_that_is_zero_repeated_short_or_the_present_key_makes_no_key():
    for outputs in (
        (bytes(32), b"x" * 32),
        (b"x" * 32, b"x" * 32),
        (b"x" * 31,),
        (b"",),
        (b"k" * 32, b"y" * 32),
    ):
        terminal = Terminal()
        ports = terminal.agent.ports
        ports.vault.set("key", b"k" * 32)
        ports.rng = Fixed(terminal.rng, outputs)
        assert str(raises(LocalError, new_seed, ports)) == "no entropy"
        assert len(new_seed(ports)) == 32


def test_a_faulty_key_is_not_kept_and_the_next_one_is_another():
    crypto = FaultyCrypto()
    drawn = []

    def watch(terminal):
        draw = terminal.rng.random_bytes

        def watched(count):
            drawn.append(draw(count))
            return drawn[-1]

        terminal.rng.random_bytes = watched

    terminal = starved(watch, crypto)
    assert terminal.board.shown[-1] == ("no_key", {"reason": "faulty key"})
    refused = list(drawn)
    crypto.faulty = False
    terminal.run(lambda: terminal.beats() == 1)
    assert terminal.vault.get("key") in drawn
    assert terminal.vault.get("key") not in refused


def test_a_rotation_without_entropy_leaves_the_old_key_and_can_be_commanded_again():
    terminal = ready()
    old = terminal.vault.get("key")
    terminal.rng.ready = False
    said = acknowledgement(terminal, terminal.server.command("ROTATE_DEVICE_KEY", 1))
    assert said == "ERROR LOCAL no entropy"
    assert terminal.vault.values == {"key": old}
    assert "rotate-key" not in terminal.server.ops()
    terminal.rng.ready = True
    assert acknowledgement(terminal, terminal.server.command("ROTATE_DEVICE_KEY", 2)) == "OK "
    assert terminal.vault.get("key") != old


def test_a_rotation_to_a_faulty_key_leaves_the_old_one():
    crypto = FaultyCrypto()
    crypto.faulty = False
    terminal = Terminal(crypto=crypto)
    terminal.run(lambda: terminal.beats() == 1)
    old = terminal.vault.get("key")
    sign = crypto.sign

    def faulty_for_others(seed, pieces):
        signature = sign(seed, pieces)
        return signature if seed == old else bytes(64)

    crypto.sign = faulty_for_others
    said = acknowledgement(terminal, terminal.server.command("ROTATE_DEVICE_KEY", 1))
    assert said == "ERROR LOCAL faulty key"
    assert terminal.vault.values == {"key": old}
    assert "rotate-key" not in terminal.server.ops()

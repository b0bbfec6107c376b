"""A terminal that people punch at, and what its server has of it."""

from fake_ports import CRYPTO
from fakes import ready

from ks_agent.punch import prev_of, punch_hash
from ks_agent.store import Store


def configured(**fields):
    """A registered terminal with a configuration."""
    terminal = ready()
    config = dict(Store(terminal.fs).read("data/state/config.toon"))
    config.update(fields)
    Store(terminal.fs).write("data/state/config.toon", config)
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    return terminal


def take(terminal, *words):
    """A punch, which wakes the sleeping terminal as its driver does."""
    return terminal.agent.punches.take(*words)


def stored(terminal):
    """The punches on the server, of all journals, by SEQ."""
    found = []
    for jid in terminal.server.journals:
        for _, row in sorted(terminal.server.journals[jid].items()):
            if row is not None:
                found.append(dict(row, JID=jid))
    return found


def check_chain(punches):
    prev = ""
    for punch in punches:
        if punch["SEQ"] == "1":
            prev = ""
        assert punch["PREV"] == prev
        prev = prev_of(punch_hash(CRYPTO.sha256, punch))

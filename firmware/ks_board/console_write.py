"""What the factory writes: keys to trust, the terminal's words, the network, passwords.

Each is checked by the rules by which the agent reads it, and stored whole or not at all.
"""

from ks_agent.errors import Malformed
from ks_agent.ports import NETWORK

from .console_refusal import MALFORMED, Refusal
from .console_text import check_network, text_of

SETUP_LEAST, SETUP_MOST = 8, 63
NAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
NAME_MOST = 64


def write(ports, store, identity, request):
    """Perform `write`. Raises Refusal or Malformed for what cannot be used."""
    writer = _WRITERS.get(text_of(request, "FILE"))
    if writer is None:
        raise Refusal(MALFORMED, "no such FILE")
    writer(ports, store, identity, request)
    return {}


def _trust(ports, store, identity, request):
    from .console_trust import write_trust

    write_trust(store, request)


def _factory(ports, store, identity, request):
    from .console_words import write_words

    write_words(store, identity, request)


def _network(ports, store, identity, request):
    name, password = text_of(request, "WIFI_SSID"), text_of(request, "WIFI_PASSWORD")
    check_network(name, password)
    if password:
        ports.vault.set(NETWORK[1], password.encode())
    else:
        ports.vault.erase(NETWORK[1])
    ports.vault.set(NETWORK[0], name.encode())


def _setup(ports, store, identity, request):
    """The password of the terminal's own network, see `setup_mode`."""
    password = text_of(request, "SETUP_PASSWORD")
    visible = [code for code in password.encode() if 32 < code < 127]
    if len(visible) != len(password.encode()) or not SETUP_LEAST <= len(visible) <= SETUP_MOST:
        raise Malformed("SETUP_PASSWORD is not 8 to 63 visible ASCII characters")
    ports.vault.set("setup", password.encode())


def _board(ports, store, identity, request):
    name = text_of(request, "BOARD")
    if not 1 <= len(name) <= NAME_MOST or name.strip(NAME_CHARACTERS):
        raise Malformed("bad BOARD")
    ports.vault.set("board", name.encode())


_WRITERS = {
    "trust": _trust,
    "factory": _factory,
    "network": _network,
    "setup": _setup,
    "board": _board,
}

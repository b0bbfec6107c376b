"""What the factory writes: keys to trust, the terminal's words, the network, passwords.

Each is checked by the rules by which the agent reads it, and stored whole or not at all.
"""

from ks_agent import config_check, factory, signing, tokens, toon
from ks_agent.errors import KsError, Malformed
from ks_agent.ports import NETWORK
from ks_agent.store import as_text, check_form
from ks_agent.trust import ROLES, SERVER, Trust
from ks_agent.trust_changes import FACTORY_PATH, MAX_BYTES, MAX_KEYS

from .console_refusal import MALFORMED, NOT_ALLOWED, Refusal
from .console_text import check_network, text_of

STAGED = factory.PATH + ".staged"
# Of `factory`; CA may be a text or, since a line is short, rows of PART.
FIELDS = factory.KEPT + factory.CONFIGURED
REQUIRED = ("D1", "SERVER")
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


def check_complete(ports, store, identity):
    """D1, when nothing is missing that the agent needs. Raises Refusal."""
    try:
        Trust(ports.fs, store, ports.crypto)
    except KsError as error:
        raise Refusal(NOT_ALLOWED, str(error))
    try:
        with ports.fs.open(STAGED, "rb") as file:
            words = toon.decode(file.read(factory.MAX_BYTES + 1), factory.MAX_BYTES)
        check_form(words, REQUIRED)
    except (OSError, KsError):
        raise Refusal(NOT_ALLOWED, "write factory comes first")
    _check_same(identity, words["D1"])
    return words["D1"]


def _trust(ports, store, identity, request):
    rows = request.get("TRUST")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_KEYS:
        raise Malformed("no TRUST")
    missing = list(ROLES)
    for row in rows:
        check_form(row, ("KEY", "ROLE"))
        signing.unb64(row["KEY"], 32)
        if row["ROLE"] not in ROLES or (row["ROLE"] == SERVER) != ("SEQ" in row):
            raise Malformed("a row of TRUST without a role, or without its SEQ")
        if row["ROLE"] in missing:
            missing.remove(row["ROLE"])
    if missing:
        raise Malformed("no key of the role " + missing[0])
    data = toon.encode({"TRUST": rows}, as_text) + b"\n"
    if len(data) > MAX_BYTES:
        raise Malformed("TRUST is too long")
    store.write_bytes(FACTORY_PATH, data)


def _factory(ports, store, identity, request):
    words = {key: request[key] for key in FIELDS if key in request}
    if isinstance(words.get("CA"), list):
        words["CA"] = "".join([text_of(row, "PART") for row in words["CA"]])
    check_form(words, REQUIRED)
    if "CA" in words:
        signing.unb64(words["CA"])
    config_check.check({key: words[key] for key in factory.CONFIGURED if key in words})
    _check_same(identity, words["D1"])
    data = toon.encode(words, as_text) + b"\n"
    if len(data) > factory.MAX_BYTES:
        raise Malformed("more than %d bytes" % factory.MAX_BYTES)
    store.write_bytes(STAGED, data)


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


def _check_same(identity, d1):
    tokens.check_value("D1", d1)
    if identity.adopted and identity.d1 != d1:
        raise Refusal(NOT_ALLOWED, "its data are another terminal's: erase the whole flash")


_WRITERS = {
    "trust": _trust,
    "factory": _factory,
    "network": _network,
    "setup": _setup,
    "board": _board,
}

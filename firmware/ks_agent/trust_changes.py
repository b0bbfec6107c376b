"""What is seldom done with the trust store: read it at boot, follow links, change it.

Functions on a Trust, apart from it because a heartbeat needs none of them.
"""

from . import signing, toon
from .errors import BadSignature, CommandRefused, LocalError, Malformed, PeerError
from .store import check_form
from .trust import ADMIN, PATH, ROLES, SERVER, seq

FACTORY_PATH = "trust.toon"
MAX_BYTES = 4096
MAX_KEYS = 16
ROWS = {"TRUST": ("KEY", "ROLE"), "DISTRUSTED": ("KEY",)}


def read(fs, store):
    """(record, whether the terminal's own was damaged): its own, else the factory's.

    Raises LocalError when the factory's cannot be used either.
    """
    record = _usable(store.read_as(PATH, ("TRUST",), ROWS))
    if record is not None:
        return record, False
    return _read_factory(fs), store.exists(PATH)


def _usable(record):
    """The record, or None without a key of each role, or with a row that makes no sense."""
    missing = list(ROLES)
    for row in record["TRUST"] if record else ():
        try:
            signing.unb64(row["KEY"], 32)
        except Malformed:
            return None
        if row["ROLE"] == SERVER and "SEQ" not in row:
            return None
        if row["ROLE"] in missing:
            missing.remove(row["ROLE"])
    return None if missing else record


def _read_factory(fs):
    try:
        with fs.open(FACTORY_PATH, "rb") as file:
            record = toon.decode(file.read(MAX_BYTES + 1), MAX_BYTES)
        check_form(record, ("TRUST",), ROWS)
        if _usable(record):
            return record
        reason = "a key is missing, or is none"
    except (OSError, PeerError) as error:
        reason = str(error)
    raise LocalError(FACTORY_PATH + " cannot be used: " + reason)


def follow(trust, crypto, links):
    """The row that a LINK list leads to, checked one by one; nothing is stored yet."""
    newest = max(trust.rows_of(SERVER), key=seq)
    for link in links:
        key_text = link.get("KEY", "")
        following = seq(newest) + 1
        if link.get("SEQ") != str(following) or key_text in trust.distrusted:
            raise BadSignature("a link that does not follow")
        text = signing.link_text(following, key_text)
        public = signing.unb64(newest["KEY"], 32)
        signing.verify_text(crypto, public, text, link.get("SIG", ""))
        signing.unb64(key_text, 32)
        newest = {"KEY": key_text, "ROLE": SERVER, "SEQ": str(following)}
    return newest


def store_server(trust, newest):
    """After an answer signed by the key that the links end in: it replaces the older ones."""
    rows = [row for row in trust.rows if row["ROLE"] != SERVER]
    trust.write(rows + [newest], trust.distrusted)


def verify_two_admins(trust, crypto, row, d1):
    """Two different admin keys must have signed the command for this very device."""
    text = signing.admin_text(row, d1)
    signers = []
    for field in ("SIG_ADMIN_A", "SIG_ADMIN_B"):
        signature = row.get(field, "")

        def verify(public, signature=signature):
            signing.verify_text(crypto, public, text, signature)
            return public

        signers.append(trust.verify_any(ADMIN, verify))
    if signers[0] == signers[1]:
        raise BadSignature("one administrator signed twice")


def add(trust, role, key_text):
    """Raises CommandRefused for a key that must not, or need not, be trusted."""
    _check(role, key_text)
    if key_text in trust.distrusted:
        raise CommandRefused("DISTRUSTED", "that key was distrusted")
    if trust.has(role, key_text):
        return
    if len(trust.rows) >= MAX_KEYS:
        raise CommandRefused("FULL", "the trust store is full")
    row = {"KEY": key_text, "ROLE": role}
    if role == SERVER:
        row["SEQ"] = str(max([seq(other) for other in trust.rows_of(SERVER)]) + 1)
    trust.write(trust.rows + [row], trust.distrusted)


def remove(trust, role, key_text):
    """Raises CommandRefused for the last key of a role, of administrators for the last but one:
    what takes two of them, this command among it, could never be done again.
    """
    _check(role, key_text)
    rows = [row for row in trust.rows if row["ROLE"] != role or row["KEY"] != key_text]
    if len([row for row in rows if row["ROLE"] == role]) < (2 if role == ADMIN else 1):
        raise CommandRefused("LAST_KEY", "too few keys of its role would be left")
    distrusted = [key for key in trust.distrusted if key != key_text]
    if len(distrusted) >= MAX_KEYS:
        raise CommandRefused("FULL", "no room for another distrusted key")
    trust.write(rows, distrusted + [key_text])


def _check(role, key_text):
    if role not in ROLES:
        raise CommandRefused("MALFORMED", "no such role")
    try:
        signing.unb64(key_text, 32)
    except Malformed:
        raise CommandRefused("MALFORMED", "not a public key")

"""The trust store: which keys may speak for the server, a release, or people (PROTOCOL section 2).

The factory pins the first keys in trust.toon; every change is one atomic record of the whole store.
It is never empty in any role, and a key that was distrusted is never trusted again.
"""

from . import signing, toon
from .errors import BadSignature, CommandRefused, LocalError, Malformed, PeerError
from .store import STATE, check_form

SERVER = "server"
RELEASE = "release"
ADMIN = "admin"
ROLES = (SERVER, RELEASE, ADMIN)

FACTORY_PATH = "trust.toon"
PATH = STATE + "trust.toon"
MAX_BYTES = 4096
MAX_KEYS = 16
ROWS = {"TRUST": ("KEY", "ROLE"), "DISTRUSTED": ("KEY",)}


class Trust:
    def __init__(self, fs, store, crypto):
        self._store = store
        self._crypto = crypto
        record = _usable(store.read_as(PATH, ("TRUST",), ROWS))
        self.restored = record is None and store.exists(PATH)
        if record is None:
            record = _read_factory(fs)
        self._rows = record["TRUST"]
        self._distrusted = [row["KEY"] for row in record.get("DISTRUSTED", [])]

    def _of(self, role):
        return [row for row in self._rows if row["ROLE"] == role]

    def keys(self, role):
        """Public keys (32 bytes each) of a role, the newest server key first."""
        rows = self._of(role)
        if role == SERVER:
            rows.sort(key=_seq, reverse=True)
        return [signing.unb64(row["KEY"], 32) for row in rows]

    def has(self, role, key_text):
        return any([row["KEY"] == key_text for row in self._of(role)])

    def server_key_id(self):
        """KID: the newest server key that this device trusts."""
        return signing.key_id(self._crypto, self.keys(SERVER)[0])

    def follow(self, links):
        """The rows that a LINK list leads to, checked one by one; nothing is stored yet."""
        newest = max(self._of(SERVER), key=_seq)
        for link in links:
            key_text = link.get("KEY", "")
            following = _seq(newest) + 1
            if link.get("SEQ") != str(following) or key_text in self._distrusted:
                raise BadSignature("a link that does not follow")
            text = signing.link_text(following, key_text)
            public = signing.unb64(newest["KEY"], 32)
            signing.verify_text(self._crypto, public, text, link.get("SIG", ""))
            signing.unb64(key_text, 32)
            newest = {"KEY": key_text, "ROLE": SERVER, "SEQ": str(following)}
        return newest

    def store_server(self, newest):
        """After an answer signed by the key that the links end in: it replaces the older ones."""
        rows = [row for row in self._rows if row["ROLE"] != SERVER]
        self._write(rows + [newest], self._distrusted)

    def verify_any(self, role, verify):
        """Run verify(public) with each key of a role; BadSignature when none will do."""
        for public in self.keys(role):
            try:
                return verify(public)
            except BadSignature:
                pass
        raise BadSignature("no trusted %s key signed this" % role)

    def verify_two_admins(self, row, d1):
        """Two different admin keys must have signed the command for this very device."""
        text = signing.admin_text(row, d1)
        signers = []
        for field in ("SIG_ADMIN_A", "SIG_ADMIN_B"):
            signature = row.get(field, "")

            def verify(public, signature=signature):
                signing.verify_text(self._crypto, public, text, signature)
                return public

            signers.append(self.verify_any(ADMIN, verify))
        if signers[0] == signers[1]:
            raise BadSignature("one administrator signed twice")

    def add(self, role, key_text):
        """Raises CommandRefused for a key that must not, or need not, be trusted."""
        _check(role, key_text)
        if key_text in self._distrusted:
            raise CommandRefused("DISTRUSTED", "that key was distrusted")
        if self.has(role, key_text):
            return
        if len(self._rows) >= MAX_KEYS:
            raise CommandRefused("FULL", "the trust store is full")
        row = {"KEY": key_text, "ROLE": role}
        if role == SERVER:
            row["SEQ"] = str(max([_seq(other) for other in self._of(SERVER)]) + 1)
        self._write(self._rows + [row], self._distrusted)

    def remove(self, role, key_text):
        """Raises CommandRefused for the last key of a role."""
        _check(role, key_text)
        rows = [row for row in self._rows if row["ROLE"] != role or row["KEY"] != key_text]
        if not [row for row in rows if row["ROLE"] == role]:
            raise CommandRefused("LAST_KEY", "it is the last key of its role")
        distrusted = [key for key in self._distrusted if key != key_text]
        if len(distrusted) >= MAX_KEYS:
            raise CommandRefused("FULL", "no room for another distrusted key")
        self._write(rows, distrusted + [key_text])

    def is_distrusted(self, key_text):
        return key_text in self._distrusted

    def forget(self):
        """WIPE: back to the factory's keys; what was distrusted stays so."""
        if not self._distrusted:
            self._store.remove(PATH)

    def _write(self, rows, distrusted):
        record = {"TRUST": rows, "DISTRUSTED": [{"KEY": key} for key in distrusted]}
        self._store.write(PATH, record)
        self._rows = rows
        self._distrusted = distrusted


def _seq(row):
    return int(row["SEQ"])


def _check(role, key_text):
    if role not in ROLES:
        raise CommandRefused("MALFORMED", "no such role")
    try:
        signing.unb64(key_text, 32)
    except Malformed:
        raise CommandRefused("MALFORMED", "not a public key")


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

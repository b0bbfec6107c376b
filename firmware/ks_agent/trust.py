"""The trust store: which keys may speak for the server, a release, or people (PROTOCOL section 2).

The factory pins the first keys in trust.toon; every change is one atomic record of the whole store.
It is never empty in any role, and a key that was distrusted is never trusted again. How it changes
is in trust_changes.
"""

from . import envelope
from .errors import BadSignature
from .store import STATE

SERVER = "server"
RELEASE = "release"
ADMIN = "admin"
ROLES = (SERVER, RELEASE, ADMIN)
PATH = STATE + "trust.toon"


class Trust:
    """`rows`: the keys, each {KEY, ROLE} and SEQ for a server key; `distrusted`: texts of keys."""

    def __init__(self, fs, store, crypto):
        from .trust_changes import read

        self._store = store
        self._crypto = crypto
        record, self.restored = read(fs, store)
        self.rows = record["TRUST"]
        self.distrusted = [row["KEY"] for row in record.get("DISTRUSTED", [])]

    def rows_of(self, role):
        return [row for row in self.rows if row["ROLE"] == role]

    def keys(self, role):
        """Public keys (32 bytes each) of a role, the newest server key first."""
        rows = self.rows_of(role)
        if role == SERVER:
            rows.sort(key=seq, reverse=True)
        return [envelope.unb64(row["KEY"], 32) for row in rows]

    def has(self, role, key_text):
        return any([row["KEY"] == key_text for row in self.rows_of(role)])

    def server_key_id(self):
        """KID: the newest server key that this device trusts."""
        return envelope.key_id(self._crypto, self.keys(SERVER)[0])

    def verify_any(self, role, verify):
        """Run verify(public) with each key of a role; BadSignature when none will do."""
        for public in self.keys(role):
            try:
                return verify(public)
            except BadSignature:
                pass
        raise BadSignature("no trusted %s key signed this" % role)

    def forget(self):
        """WIPE: back to the factory's keys; what was distrusted stays so."""
        if not self.distrusted:
            self._store.remove(PATH)

    def write(self, rows, distrusted):
        """Store and use a whole new content, at once."""
        record = {"TRUST": rows, "DISTRUSTED": [{"KEY": key} for key in distrusted]}
        self._store.write(PATH, record)
        self.rows = rows
        self.distrusted = distrusted


def seq(row):
    """A server key's place in the chain, from 1."""
    return int(row["SEQ"])

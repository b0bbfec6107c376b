"""trust.toon over the serial line: the keys that the terminal is to trust.

By the rules by which the agent reads it (ks_agent.trust), whose code there is no room for here.
"""

from ks_agent import envelope, toon
from ks_agent.errors import Malformed
from ks_agent.store import as_text, check_form

PATH = "trust.toon"
MAX_BYTES = 4096
MAX_KEYS = 16
SERVER = "server"
ROLES = (SERVER, "release", "admin")


def write_trust(store, request):
    """Raises Malformed for keys that the agent could not use."""
    rows = request.get("TRUST")
    check_rows(rows)
    data = toon.encode({"TRUST": rows}, as_text) + b"\n"
    if len(data) > MAX_BYTES:
        raise Malformed("TRUST is too long")
    store.write_bytes(PATH, data)


def check_written(fs):
    """Raises Malformed or OSError unless there is a trust.toon that the agent can use."""
    with fs.open(PATH, "rb") as file:
        check_rows(toon.decode(file.read(MAX_BYTES + 1), MAX_BYTES).get("TRUST"))


def check_rows(rows):
    """At least one key of each role, and a number for each of the server's."""
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_KEYS:
        raise Malformed("no TRUST")
    missing = list(ROLES)
    for row in rows:
        check_form(row, ("KEY", "ROLE"))
        envelope.unb64(row["KEY"], 32)
        if row["ROLE"] not in ROLES or (row["ROLE"] == SERVER) != ("SEQ" in row):
            raise Malformed("a row of TRUST without a role, or without its SEQ")
        if row["ROLE"] in missing:
            missing.remove(row["ROLE"])
    if missing:
        raise Malformed("no key of the role " + missing[0])

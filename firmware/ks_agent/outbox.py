"""Acknowledgements wait here, on flash, until the server has answered them with a signature."""

from .errors import Refused
from .store import STATE

FOLDER = STATE + "outbox"
FIELDS = ("OP", "ACK1", "ACK2")
ACKNOWLEDGEMENTS = ("command-ack", "firmware/ack")
# New commands wait while so many are unanswered.
CAPACITY = 64
# These say nothing about the acknowledgement itself (PROTOCOL section 5, Commands).
TRY_AGAIN = ("RATE_LIMIT", "INTERNAL", "UNAVAILABLE")


class Outbox:
    def __init__(self, store, log):
        self._store = store
        self._log = log

    def put(self, op, key, tokens):
        """One entry for each thing acknowledged: the same `key` replaces what waits."""
        self._store.write(self._path(op, key), dict(tokens, OP=op))

    def _path(self, op, key):
        return "%s/%s-%s.toon" % (FOLDER, op.replace("/", "_"), key)

    def find(self, op, key):
        """The waiting entry, or None."""
        return self._store.read_as(self._path(op, key), FIELDS)

    def clear(self):
        self._store.clear(FOLDER)

    def is_full(self):
        return len(self._store.names(FOLDER)) >= CAPACITY

    def flush(self, exchange):
        """Send all that waits. What the server refuses for good is gone, and logged.

        Raises Refused when something has to be tried again; what the server failed at
        (INTERNAL) does not hold up the others.
        """
        failed = None
        for name in self._store.names(FOLDER):
            path = FOLDER + "/" + name
            entry = self._store.read_as(path, FIELDS)
            if entry is None or entry["OP"] not in ACKNOWLEDGEMENTS:
                self._log.error("an acknowledgement was unreadable")
            else:
                try:
                    yield from self._send(exchange, entry)
                except Refused as refused:
                    if refused.code != "INTERNAL":
                        raise
                    failed = refused
                    continue
            self._store.remove(path)
        if failed is not None:
            raise failed

    def _send(self, exchange, entry):
        op = entry.pop("OP")
        try:
            yield from exchange.call(op, entry)
        except Refused as refused:
            if refused.code in TRY_AGAIN:
                raise
            self._log.warn("%s refused: %s" % (op, refused.code))

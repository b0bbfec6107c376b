"""For `port`: makes the table of the server's key, or takes it from the file where it is kept."""

import hashlib

from . import ed25519

_HASH_BYTES = 32


def piece(port, public):
    """Do one piece of work; True when all is done. Raises MemoryError, and ValueError for the key.

    A table that cannot be read is made, and one that cannot be written is made at the next start.
    """
    if port.making is None or port.making.public != public:
        port.prepared = port.making = None  # their table is where the new one goes
        if port.fs is not None and _is_loaded(port, public):
            port.prepared = ed25519.prepare(public, port.table, whole=True)
            return True
        port.making = ed25519.prepare(public, port.table)
    elif port.making.step():
        port.prepared = port.making
        port.making = None
        if port.fs is not None:
            _keep(port, public)
        return True
    return False


def _is_loaded(port, public):
    """Whether the table was kept, for this key, undamaged."""
    try:
        with port.fs.open(port.path, "rb") as file:
            kept_hash = file.read(_HASH_BYTES)
            if file.readinto(port.table) != len(port.table):
                return False
    except OSError:
        return False
    if kept_hash != _hash(port, public):
        return False
    return ed25519.prepare(public, port.table, whole=True).is_valid()


def _keep(port, public):
    try:
        with port.fs.open(port.path, "wb") as file:
            file.write(_hash(port, public))
            file.write(port.table)
    except OSError:
        pass


def _hash(port, public):
    running = hashlib.sha256(public)
    running.update(port.table)
    return running.digest()

"""What is kept of a download over restarts, so that it can go on where it was.

    data/state/download.toon   FW1 FW2 FW4 FW5 of the offer, MANIFEST: its hash, SLOT, and ETAG
    slot_x/                    the trusted manifest and its signature, files that are whole
    slot_x/.part               the bytes, as packed, of the first file that is not

Which slot is a record's is in it: what is kept for one slot is nothing to go on with in the other.
"""

from .store import STATE

PATH = STATE + "download.toon"
# A manifest that is not trusted yet.
MANIFEST_PATH = STATE + "manifest.toon"
PART = "/.part"
SIGNATURE = "/manifest.sig"
ENOSPC = 28
_OFFER = ("FW1", "FW2", "FW4", "FW5")


class Paused(Exception):
    """The time for one piece of a download is over."""


class Stopped(OSError):
    """It is of no use to ask again at once; what there is stays."""


class Gone(Stopped):
    """The server has no such bundle any more."""


class Stale(Stopped):
    """The bytes that were kept of a file are not of the bundle that is there now."""


def read(store, offer, slot):
    """The record of this offer's download into this slot, or None."""
    record = store.read_as(PATH, _OFFER + ("MANIFEST", "SLOT"))
    if record is None or record["SLOT"] != slot:
        return None
    return record if all([record[key] == offer[key] for key in _OFFER]) else None


def write(store, offer, slot, manifest_hash, etag):
    record = {key: offer[key] for key in _OFFER}
    record["MANIFEST"] = manifest_hash
    record["SLOT"] = slot
    if etag is not None:
        record["ETAG"] = etag
    store.write(PATH, record)


def forget(agent):
    """Nothing is left to go on with. The record goes first: without it, the rest is nothing."""
    store, running = agent.store, agent.ports.partition.running
    record = store.read_as(PATH, ("SLOT",))
    store.remove(PATH)
    store.remove(MANIFEST_PATH)
    if record is not None and record["SLOT"] in ("a", "b") and record["SLOT"] != running:
        store.remove("slot_" + record["SLOT"] + PART)
    agent.progress.resumable = False
    agent.progress.pause_ms = None
    agent.image_stream = None

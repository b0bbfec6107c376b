"""From an offer to a manifest that is trusted: fetched, or kept of a download that was begun."""

from . import bundle, download_record
from .download import Source, Trusted
from .download_record import MANIFEST_PATH, SIGNATURE
from .errors import BadSignature, Malformed
from .release_check import check_manifest, check_offer
from .slots import MANIFEST, Slots, digest_of, folder

# Longer than this, no attempt keeps a terminal from heartbeats and from sending punches.
ATTEMPT_MS = 5 * 60000


def trusted(agent, offer):
    """The Trusted of an offer. Raises UpdateRefused, BadSignature, Malformed; Paused and OSError
    where the download ends early.
    """
    check_offer(agent, offer)
    agent.ports.board.show("update_offered", {"FW1": offer["FW1"], "FW2": offer["FW2"]})
    slot = Slots(agent.ports, agent.store).inactive
    record = download_record.read(agent.store, offer, slot)
    etag = record.get("ETAG") if record is not None else None
    source = Source(agent.ports, offer, etag, agent.ports.clock.ticks_ms() + ATTEMPT_MS)
    if record is not None:
        found = _kept(agent, offer, record, source)
        if found is not None:
            return found
    head = bytearray()
    yield from source.read(0, bundle.HEAD_BYTES, head.extend)
    head = bytes(head)
    end = bundle.HEAD_BYTES + bundle.parse_head(head)[0]
    if end > int(offer["FW5"]):
        raise Malformed("a bundle that ends early")
    # A file of its own: the slot is not touched before the manifest is trusted.
    with agent.ports.fs.open(MANIFEST_PATH, "wb") as file:
        yield from source.read(bundle.HEAD_BYTES, end, file.write)
    return _checked(agent, offer, source, head, MANIFEST_PATH, True)


def _checked(agent, offer, source, head, path, is_new):
    manifest_hash = digest_of(agent.ports.fs, agent.ports.crypto, path)
    manifest = check_manifest(agent, offer, head, path, manifest_hash)
    start = bundle.HEAD_BYTES + bundle.parse_head(head)[0]
    return Trusted(source, head, start, manifest, manifest_hash, is_new)


def _kept(agent, offer, record, source):
    """Of a download that was begun; None where it cannot go on."""
    fs = agent.ports.fs
    slot = folder(record["SLOT"])
    try:
        length = fs.stat(slot + MANIFEST)
        with fs.open(slot + SIGNATURE, "rb") as file:
            head = bundle.head_of(length, file.read(bundle.HEAD_BYTES).decode())
        if digest_of(fs, agent.ports.crypto, slot + MANIFEST) == record["MANIFEST"]:
            return _checked(agent, offer, source, head, slot + MANIFEST, False)
    except (BadSignature, Malformed, OSError, UnicodeError):
        pass  # damaged, or by a key that is not trusted any more: all of it anew
    return None

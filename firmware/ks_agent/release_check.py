"""From an offer to a manifest that is trusted: both signatures, and all that must belong together.

Apart from the update, since it is let go before files are unpacked, which takes room.
"""

from . import bundle, download_record, signing, tokens
from .bundle import MANIFEST, digest_of, folder, inactive
from .download import Source, Trusted
from .download_record import MANIFEST_PATH, SIGNATURE
from .errors import BadSignature, Malformed, UpdateRefused
from .timetext import parse_ms
from .trust import RELEASE, SERVER

MAX_BUNDLE_BYTES = 1024 * 1024
MAX_IMAGE_BYTES = 2 * MAX_BUNDLE_BYTES
# Longer than this, no attempt keeps a terminal from heartbeats and from sending punches.
ATTEMPT_MS = 5 * 60000


def trusted(agent, offer):
    """The Trusted of an offer. Raises UpdateRefused, BadSignature, Malformed; Paused and OSError
    where the download ends early.
    """
    _check_offer(agent, offer)
    agent.ports.board.show("update_offered", {"FW1": offer["FW1"], "FW2": offer["FW2"]})
    slot = inactive(agent.ports.partition)
    record = download_record.read(agent.store, offer, slot)
    etag = record.get("ETAG") if record is not None else None
    source = Source(agent.ports, offer, etag, agent.ports.clock.ticks_ms() + ATTEMPT_MS)
    if record is not None:
        found = _kept(agent, offer, record, source)
        if found is not None:
            return found
    came = bytearray()
    yield from source.read(0, bundle.HEAD_BYTES, came.extend)
    head = bytes(came)
    end = bundle.HEAD_BYTES + bundle.parse_head(head)[0]
    if end > int(offer["FW5"]):
        raise Malformed("a bundle that ends early")
    # A file of its own: the slot is not touched before the manifest is trusted.
    with agent.ports.fs.open(MANIFEST_PATH, "wb") as file:
        yield from source.read(bundle.HEAD_BYTES, end, file.write)
    return _checked(agent, offer, source, head, MANIFEST_PATH, True)


def _checked(agent, offer, source, head, path, is_new):
    manifest_hash = digest_of(agent.ports.fs, agent.ports.crypto, path)
    manifest = _check_manifest(agent, offer, head, path, manifest_hash)
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


def _check_offer(agent, offer):
    """Raises UpdateRefused, BadSignature or Malformed for an answer that offers nothing good."""
    for key in ("FW1", "FW2", "FW3", "FW4", "FW5", "FW_SIG"):
        if not isinstance(offer.get(key), str):
            raise UpdateRefused("MISSING_TOKEN", "an offer without " + key)
        tokens.check_value(key, offer[key])

    def verify(public):
        signing.verify_release(agent.ports.crypto, public, offer)

    agent.trust.verify_any(SERVER, verify)
    bundle.version(offer["FW2"])
    has_images = agent.ports.partition.images is not None
    most = MAX_IMAGE_BYTES if has_images else MAX_BUNDLE_BYTES
    if not bundle.HEAD_BYTES < int(offer["FW5"]) <= most:
        raise UpdateRefused("TOO_LARGE", "no room for a bundle of this size")


def _check_manifest(agent, offer, head, path, manifest_hash):
    """The Manifest in a file, once it is the release's, for this terminal, and in time.

    Raises UpdateRefused, BadSignature or Malformed for any other, OSError where there is none.
    """
    length, signature = bundle.parse_head(head)
    text = signing.manifest_hash_text(manifest_hash)

    def verify(public):
        signing.verify_text(agent.ports.crypto, public, text, signature)

    agent.trust.verify_any(RELEASE, verify)
    manifest = bundle.read_manifest(agent.ports.fs, path)
    _check_kind(agent, offer, manifest)
    if manifest["FW1"] != offer["FW1"] or manifest["FW2"] != offer["FW2"]:
        raise UpdateRefused("MIX_AND_MATCH", "the manifest is of another release")
    _check_terminal(agent, manifest)
    from .update_record import counter_in  # now, since verifying took room

    if int(manifest["COUNTER"]) < counter_in(agent.ports.vault):
        raise UpdateRefused("ROLLBACK", "the security counter is behind")
    if not agent.clock.synced or parse_ms(manifest["EXPIRES"]) <= agent.clock.now_ms():
        raise UpdateRefused("EXPIRED", "the release has expired")
    if manifest.bundle_bytes(length) != int(offer["FW5"]):
        raise UpdateRefused("SIZE", "the size does not belong to the manifest")
    return manifest


def _check_kind(agent, offer, manifest):
    """An image has versions of its own, which its installation compares."""
    images = agent.ports.partition.images
    if manifest["KIND"] == bundle.IMAGE and images is not None:
        return
    if manifest["KIND"] != bundle.APPLICATION:
        raise UpdateRefused("KIND", "nothing that this terminal installs")
    if bundle.version(offer["FW2"]) <= bundle.version(agent.progress.version):
        raise UpdateRefused("DOWNGRADE", "not newer than what runs")
    if max(int(offer["FW5"]), manifest.slot_bytes()) > MAX_BUNDLE_BYTES:
        raise UpdateRefused("TOO_LARGE", "no room for files of this size")
    if images is not None:
        from .image_match import image_allows

        image_allows(manifest, images)


def _check_terminal(agent, manifest):
    if agent.identity.get("D2") not in manifest["TYPES"].split(","):
        raise UpdateRefused("WRONG_TYPE", "for another type of device")
    boards = manifest.get("BOARD")
    if boards is not None and agent.ports.board.name not in boards.split(","):
        raise UpdateRefused("WRONG_BOARD", "for another board")
    if int(manifest.get("STAGE0", "1")) > agent.ports.partition.stage0:
        raise UpdateRefused("STAGE0", "needs a newer stage 0")

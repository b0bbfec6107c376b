"""Updates: offered, trusted, downloaded into the other slot, handed to stage 0.

A release is installed only if FW_SIG by a server key and the manifest's signature by a release key
verify, and version, type, counter, expiry, size and hash all belong together. A download goes on
where it was, over broken links and restarts; both signatures are verified anew each time.

What is needed in turn comes into memory in turn: this, to ask; `release_check`, to trust;
`install` or `image_update`, to write.
"""

from . import download_record
from .download_record import ENOSPC, Gone, Paused
from .effects import NO_MEMORY, Restart
from .errors import BadSignature, Malformed, UpdateRefused
from .ports import image_tokens

# For heartbeats and punches between two attempts of which the first ran out of time.
PAUSE_MS = 1000
# A heap in pieces is whole again after a restart.
SHORTAGES_BORNE = 3
# Let go once a manifest is trusted.
CHECKS = (
    "release_check", "image_match", "signing", "update_record", "update_state", "toon_table",
    "toon_text",
)  # fmt: skip
IMAGE = "image"
# What is kept of an offer; the rest of its answer has done its work.
OFFERED = ("FW1", "FW2", "FW3", "FW4", "FW5", "FW_SIG")


class Updater:
    """Built for one step of an update and let go; `agent.progress` stays."""

    def __init__(self, agent):
        self._agent = agent
        self._ports = agent.ports
        self._progress = agent.progress

    def update(self, exchange):
        """One whole attempt. Ends in Restart, or with the running release untouched."""
        self._progress.pause_ms = None
        record = self._record()
        if record.halted:
            download_record.forget(self._agent)
            return
        self._progress.attempt()
        runs = dict(image_tokens(self._ports.partition), FW2=self._progress.version)
        offer = yield from exchange.call("firmware/check", runs)
        if offer["S1"] != "update_available" or self._record().is_banned(offer.get("FW4")):
            download_record.forget(self._agent)
            return
        self._progress.step("offered")
        offer = {key: offer[key] for key in OFFERED if key in offer}
        del record, runs
        self._ports.board.unload(("update_record",))
        try:
            yield from self._take(offer)
        except (BadSignature, Malformed, UpdateRefused) as refused:
            self._refused(offer, refused)
        except Paused:
            self._progress.step("link_lost")
            self._progress.not_before_ms = 0
            self._progress.pause_ms = PAUSE_MS
        except OSError as error:
            self._failed(offer, error)
        except MemoryError as error:
            self._progress.shortages += 1
            is_borne = self._progress.shortages <= SHORTAGES_BORNE
            if self._progress.has_all_room and not is_borne:
                self._record().ban(offer.get("FW4", ""))
                self._refused(offer, UpdateRefused("TOO_LARGE", "no room in memory"))
                return
            self._failed(offer, error)
            if not is_borne:
                yield Restart(NO_MEMORY)

    def _take(self, offer):
        self._ports.crypto.make_room()  # it ends with a restart, if all goes well
        from .release_check import trusted

        found = yield from trusted(self._agent, offer)
        del trusted
        self._progress.step("manifest_trusted")
        self._ports.board.unload(CHECKS)
        if found.manifest["KIND"] == IMAGE:
            from .image_update import ImageUpdate

            yield from ImageUpdate(self._agent).install(offer, found.manifest, found.start)
        else:
            from .install import Installer

            installer = Installer(self._agent, offer, found)
            del found, Installer
            yield from installer.install()

    def _failed(self, offer, error):
        """The link, the server, the flash or the heap: later again, with what there is."""
        if error.args[:1] == (ENOSPC,):
            self._refused(offer, UpdateRefused("TOO_LARGE", "no room on the flash"))
            return
        if isinstance(error, Gone):
            download_record.forget(self._agent)
        self._progress.step("link_lost")
        self._agent.log.warn("update: " + str(error))

    def _refused(self, offer, refused):
        download_record.forget(self._agent)
        self._progress.step("refused")
        text = refused.code + " " + str(refused)
        self._agent.log.error("update refused: " + text)
        detail = {"FW1": offer.get("FW1", ""), "code": refused.code, "reason": str(refused)}
        self._ports.board.show("update_refused", detail)
        report = (offer.get("FW4"), refused.code)
        if report != self._progress.reported and "FW1" in offer and "FW2" in offer:
            self._progress.reported = report
            self._record().acknowledge(offer, "ERROR", text)

    def _record(self):
        from .update_record import UpdateRecord

        return UpdateRecord(self._agent.store, self._agent.outbox)

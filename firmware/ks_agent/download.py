"""A bundle's bytes, range by range, over a link that breaks and from a server that may do anything.

What arrives here is believed by nobody: whoever takes the bytes holds them against hashes.
"""

from . import envelope, tokens
from .download_record import Gone, Paused, Stale, Stopped
from .effects import Download, Sleep
from .errors import UpdateRefused

REQUEST_TIMEOUT_MS = 60000
PAUSE_MS = 1000
# An attempt that brings less counts as one that brought nothing: each costs the flash a block.
PROGRESS_BYTES = 512
MAX_FAILURES = 5
ETAG_MAX_CHARACTERS = 100
GONE = (403, 404, 410, 416)


class _Enough(Exception):
    """All that is wanted is there, and the answer goes on."""


class Trusted:
    """`head` and `manifest` of a bundle, with the manifest's hash in hex; `start`: of its files.

    `is_new`: the manifest is in MANIFEST_PATH, else in the inactive slot with what else is kept.
    """

    def __init__(self, source, head, start, manifest, manifest_hash, is_new):
        self.source = source
        self.head = head
        self.start = start
        self.manifest = manifest
        self.manifest_hash = manifest_hash
        self.is_new = is_new


class Source:
    """The bundle of an offer, at FW3. `etag`: the ETag of what was read of it before, or None."""

    def __init__(self, ports, offer, etag, deadline_ms):
        self._clock = ports.clock
        self._url = offer["FW3"]
        self._size = int(offer["FW5"])
        self._deadline_ms = deadline_ms
        self._digest = ports.crypto.sha256()
        self._digested = 0
        self.etag = etag

    def digest(self):
        """Hex SHA-256 of the bundle, where all of it came through here in order, else None."""
        if self._digested != self._size:
            return None
        return envelope.hex_text(self._digest.digest())

    def read(self, start, end, sink):
        """Give `sink` the bytes from `start` to before `end`, in as many requests as it takes.

        Raises Paused, OSError where no more comes, UpdateRefused, and what the sink raises.
        """
        self._at = start
        self._end = end
        self._sink = sink
        failures = 0
        while self._at < end:
            left_ms = self._deadline_ms - self._clock.ticks_ms()
            if left_ms <= 0:
                raise Paused()
            before = self._at
            try:
                yield from self._ask(min(left_ms, REQUEST_TIMEOUT_MS))
                continue
            except Stopped:
                raise
            except OSError:
                failures = failures + 1 if self._at - before < PROGRESS_BYTES else 0
                if failures == MAX_FAILURES:
                    raise
            yield Sleep(PAUSE_MS << failures)

    def _ask(self, timeout_ms):
        headers = [("Range", "bytes=%d-%d" % (self._at, self._end - 1))]
        if self.etag is not None:
            headers.append(("If-Range", self.etag))
        try:
            response = yield Download(
                self._url, headers, self._begin, self._take, self._size, timeout_ms
            )
        except _Enough:
            return
        if response.status in GONE:
            raise Gone("download status %d" % response.status)
        if response.status not in (200, 206):
            raise Stopped("download status %d" % response.status)
        if self._at < self._end:
            raise OSError("the download ends early")

    def _begin(self, status, headers):
        etag = headers.get("etag")
        if self.etag is None:
            self.etag = etag if _is_strong(etag) else None
        elif etag is not None and etag != self.etag:
            raise Stale("another bundle is there now")
        if status == 206:
            self._skip = 0
            self._check_range(headers.get("content-range", ""))
        else:
            # The server does not know ranges, or If-Range told it to give everything.
            self._skip = self._at
            if headers.get("content-length", str(self._size)) != str(self._size):
                raise Stopped("a download of another size")

    def _check_range(self, text):
        unit, _, span = text.partition(" ")
        span, _, total = span.partition("/")
        first, _, last = span.partition("-")
        is_one = unit == "bytes" and first == str(self._at) and tokens.is_integer(last)
        if not is_one or not self._at <= int(last) < self._end:
            raise Stopped("another range than was asked for")
        if tokens.is_integer(total) and int(total) != self._size:
            raise UpdateRefused("SIZE", "the bundle there has another size")

    def _take(self, piece):
        view = memoryview(piece)[self._skip :]
        self._skip -= len(piece) - len(view)
        wanted = view[: self._end - self._at]
        if len(wanted):
            self._note(wanted)
            self._give(wanted)
            self._at += len(wanted)
        if len(view) > len(wanted):
            raise _Enough()

    def _note(self, piece):
        if self._digested == self._at:
            self._digest.update(piece)
            self._digested += len(piece)

    def _give(self, piece):
        """What the flash does is no failure of the link, to be tried again at once."""
        try:
            self._sink(piece)
        except Stopped:
            raise
        except OSError as error:
            raise Stale(*error.args)


def _is_strong(etag):
    """Whether it is an ETag that a range may be asked for by (RFC 9110, section 13.1.5)."""
    if etag is None or not 3 <= len(etag) <= ETAG_MAX_CHARACTERS:
        return False
    characters = etag.encode()  # as bytes: MicroPython keeps every character of a text for ever
    return etag[:1] == etag[-1:] == '"' and min(characters) > 32 and max(characters) < 127

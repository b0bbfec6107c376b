"""An HTTP/1.1 client for one terminal: strict, bounded, the same on CPython and MicroPython.

    client = HttpClient(authority)                # ks_driver.authority.Authority
    response = await client.request(fetch)        # ks_agent.effects.Fetch
    response = await client.download(download)    # ks_agent.effects.Download

Whatever goes wrong with the link or the answer is an OSError: AnswerRefused for an answer that is
not what was agreed (PROTOCOL section 1: Content-Length, never chunked or compressed),
CertificateRefused for a server that is not who it should be, any other for the network.

A connection is kept for the next request to the same server for `keep_alive_ms`, which is to be
below the server's own limit. It is used again only when it is open and silent, and a request is
never repeated: one that got lost may have been performed, and its repetition would come back as
NONCE_REUSE. The core makes a new request with a new nonce instead.
"""

import asyncio
import errno
import sys

from ks_agent.effects import CERTIFICATE_DATE, Response

from .http_text import AnswerRefused, content_length, is_kept, parse_head, parse_url, request_head

if sys.implementation.name == "micropython":
    from .link_stream import certificate_problem, open_link, within
else:
    from .link_transport import certificate_problem, open_link, within

PIECE_BYTES = 1024
MAX_HEAD_BYTES = 4096
KEEP_ALIVE_MS = 4000
HEAD_END = b"\r\n\r\n"


class CertificateRefused(OSError):
    """The server's certificate did not verify.

    The first argument is CERTIFICATE_DATE when its dates are the only reason, else "certificate".
    """


class HttpClient:
    """`authority()` gives the SSLContext that verifies the server; without it there is no https."""

    def __init__(self, authority=None, keep_alive_ms=KEEP_ALIVE_MS):
        self._authority = authority
        self._keep_alive_ms = keep_alive_ms
        self._kept = None
        self._kept_for = None
        # Once, while there is room in one piece: there is one exchange at a time.
        self._piece = memoryview(bytearray(PIECE_BYTES))

    async def request(self, fetch):
        """Perform a Fetch; the Response holds the whole body."""
        return await self._timed(self._fetch(fetch), fetch.timeout_ms)

    async def download(self, download):
        """Perform a Download: its `begin`, then pieces of the body to its sink, for 200 and 206."""
        return await self._timed(self._stream(download), download.timeout_ms)

    def close(self):
        """Drop the kept connection, if there is one."""
        link = self._kept
        self._kept = None
        if link is not None:
            link.claim()
            link.close()

    async def _timed(self, exchange, timeout_ms):
        try:
            return await within(timeout_ms, exchange)
        except asyncio.TimeoutError:
            raise OSError(errno.ETIMEDOUT, "no answer in time")

    async def _fetch(self, fetch):
        target = parse_url(fetch.url)
        head = request_head(fetch.method, target, fetch.headers, fetch.body)
        exchange = _Exchange(await self._connect(target), self._piece)
        try:
            await exchange.send(head, fetch.body)
            status, headers = await exchange.receive_head()
            body = bytearray(content_length(headers, fetch.max_bytes))
            await exchange.receive_body(len(body), _Filler(body).take)
            self._keep_or_not(exchange, target, headers)
        finally:
            exchange.close()
        return Response(status, headers, body)

    async def _stream(self, download):
        target = parse_url(download.url)
        head = request_head("GET", target, download.headers, None)
        exchange = _Exchange(await self._connect(target), self._piece)
        try:
            await exchange.send(head, None)
            status, headers = await exchange.receive_head()
            if status in (200, 206):
                length = content_length(headers, download.max_bytes)
                download.begin(status, headers)
                await exchange.receive_body(length, download.sink)
                self._keep_or_not(exchange, target, headers)
        finally:
            exchange.close()
        return Response(status, headers, b"")

    async def _connect(self, target):
        link = self._kept
        if link is not None and self._kept_for == target[:3] and link.is_fresh():
            link.claim()
            self._kept = None
            return link
        self.close()
        scheme, host, port, _ = target
        try:
            return await open_link(host, port, self._tls() if scheme == "https" else None)
        except (OSError, ValueError) as error:
            raise link_error(error)

    def _tls(self):
        context = self._authority() if self._authority else None
        if context is None:
            raise CertificateRefused("certificate", "nothing to verify the server with")
        return context

    def _keep_or_not(self, exchange, target, headers):
        if exchange.surplus or not is_kept(headers):
            return
        self.close()
        self._kept = exchange.release()
        self._kept_for = target[:3]
        self._kept.keep(self._keep_alive_ms)


class _Exchange:
    """One request and its answer over a link that it owns until released."""

    def __init__(self, link, piece):
        self._link = link
        self._piece = piece
        self.surplus = b""

    async def send(self, head, body):
        try:
            if body is not None and len(head) + len(body) <= PIECE_BYTES:
                await self._link.send(head + body)  # one segment: no waiting for an ACK between
                return
            await self._link.send(head)
            if body is not None:
                await self._link.send(body)
        except (OSError, ValueError) as error:  # MicroPython shakes hands at the first write
            raise link_error(error)

    async def receive_head(self):
        """(status, headers) of the answer; what follows the head stays in `surplus`."""
        data = b""
        while True:
            data += await self._some()
            end = data.find(HEAD_END)
            if end >= 0:
                break
            if len(data) >= MAX_HEAD_BYTES:
                raise AnswerRefused("the head is too long")
        self.surplus = data[end + len(HEAD_END) :]
        return parse_head(data[:end])

    async def receive_body(self, length, deliver):
        """Call `deliver(memoryview)` for each of the pieces of the `length` bytes of body."""
        early = memoryview(self.surplus)[:length]
        self.surplus = self.surplus[length:]
        if early:
            deliver(early)
        missing = length - len(early)
        while missing:
            count = await self._link.receive(self._piece[: min(missing, PIECE_BYTES)])
            if not count:
                raise AnswerRefused("the body ends early")
            deliver(self._piece[:count])
            missing -= count

    async def _some(self):
        try:
            count = await self._link.receive(self._piece)
        except (OSError, ValueError) as error:
            raise link_error(error)
        if not count:
            raise AnswerRefused("the connection ends before the answer's head does")
        return bytes(self._piece[:count])

    def release(self):
        link = self._link
        self._link = None
        return link

    def close(self):
        if self._link is not None:
            self._link.close()


class _Filler:
    """Collects pieces in a buffer that has the right size from the start."""

    def __init__(self, buffer):
        self._view = memoryview(buffer)
        self._used = 0

    def take(self, piece):
        self._view[self._used : self._used + len(piece)] = piece
        self._used += len(piece)


def link_error(error):
    """The OSError to raise for what a connection raised."""
    problem = certificate_problem(error)
    if problem is not None:
        text, is_date = problem
        return CertificateRefused(CERTIFICATE_DATE if is_date else "certificate", text)
    if isinstance(error, OSError):
        return error
    return OSError(errno.EINVAL, str(error))  # a name that cannot be looked up

"""A connection on CPython's asyncio: a protocol, lighter than its streams by the thousand.

The same names as `link_stream`, of which `http` takes one.
"""

import asyncio
import ssl

READ_AHEAD_BYTES = 8192
DATE_CODES = (9, 10)  # OpenSSL: X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


class Link(asyncio.Protocol):
    """One TCP or TLS connection, read by one task at a time."""

    def __init__(self):
        self._transport = None
        self._buffer = bytearray()
        self._waiter = None
        self._error = None
        self._ended = False
        self._expiry = None

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._buffer += data
        if len(self._buffer) > READ_AHEAD_BYTES:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self):
        self._ended = True
        self._wake()

    def connection_lost(self, exc):
        self._ended = True
        self._error = exc
        self._wake()

    def _wake(self):
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def send(self, data):
        """Hand over all of `data` (at most a request's head and body)."""
        if self._error is not None:
            raise self._error
        self._transport.write(data)

    async def receive(self, view):
        """Fill the start of the memoryview; the number of bytes, 0 at the end of the stream."""
        while not self._buffer:
            if self._error is not None:
                raise self._error
            if self._ended:
                return 0
            self._transport.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        count = min(len(view), len(self._buffer))
        view[:count] = self._buffer[:count]
        del self._buffer[:count]
        return count

    def is_fresh(self):
        """Whether a new exchange may begin: open, and nothing came that nobody asked for."""
        return not (self._ended or self._buffer or self._transport.is_closing())

    def keep(self, ms):
        """Close by itself unless claimed within `ms`."""
        self._expiry = asyncio.get_running_loop().call_later(ms / 1000, self.close)

    def claim(self):
        self._expiry.cancel()

    def close(self):
        self._transport.abort()


async def open_link(host, port, tls):
    """Connect; `tls` is an ssl.SSLContext or None. Raises OSError or ValueError."""
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(Link, host, port, ssl=tls)
    return link


async def within(ms, coroutine):
    """The coroutine's result; asyncio.TimeoutError after `ms`."""
    async with asyncio.timeout(ms / 1000):
        return await coroutine


def certificate_problem(error):
    """(text, whether only dates are wrong) of a certificate's refusal; None for other errors."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return None
    return error.verify_message, error.verify_code in DATE_CODES

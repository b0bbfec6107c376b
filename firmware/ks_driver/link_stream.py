"""A connection on MicroPython's asyncio: a stream, and the socket below it.

The same names as `link_transport`, of which `http` takes one.
"""

import asyncio
import gc
import select

# mbedTLS: MBEDTLS_ERR_X509_CERT_VERIFY_FAILED
CERTIFICATE_VERIFY_FAILED = -0x2700
DATE_PROBLEM = "The certificate validity"


class Link:
    """One TCP or TLS connection, read by one task at a time."""

    def __init__(self, stream):
        self._stream = stream
        self._expiry = None
        self._closed = False

    async def send(self, data):
        """Hand over all of `data` (at most a request's head and body)."""
        self._stream.write(data)
        await self._stream.drain()

    async def receive(self, view):
        """Fill the start of the memoryview; the number of bytes, 0 at the end of the stream."""
        while True:
            count = await self._stream.readinto(view)
            if count is not None:  # TLS took bytes in, but there is no whole record yet
                return count

    def is_fresh(self):
        """Whether a new exchange may begin: open, and nothing came that nobody asked for."""
        if self._closed:
            return False
        poll = select.poll()
        poll.register(self._stream.s, select.POLLIN)
        return not poll.poll(0)

    def keep(self, ms):
        """Close by itself unless claimed within `ms`."""
        self._expiry = asyncio.create_task(self._close_after(ms))

    async def _close_after(self, ms):
        await asyncio.sleep_ms(ms)
        self.close()

    def claim(self):
        self._expiry.cancel()

    def close(self):
        self._closed = True
        self._stream.s.close()


async def open_link(host, port, tls):
    """Connect; `tls` is a tls.SSLContext or None. Raises OSError or ValueError.

    The name lookup blocks: MicroPython has no other. Sockets that a failure leaves behind are
    closed by their finalisers, hence the collection: the chip has few.
    """
    try:
        stream, _ = await asyncio.open_connection(host, port, tls)
    except BaseException:
        gc.collect()
        raise
    return Link(stream)


async def within(ms, coroutine):
    """The coroutine's result; asyncio.TimeoutError after `ms`."""
    return await asyncio.wait_for_ms(coroutine, ms)


def certificate_problem(error):
    """(text, whether only dates are wrong) of a certificate's refusal; None for other errors.

    A ValueError during the handshake lists the problems, one a line.
    """
    if isinstance(error, ValueError):
        lines = [line for line in str(error).split("\n") if line]
        strays = [line for line in lines if not line.startswith(DATE_PROBLEM)]
        return "; ".join(lines), bool(lines) and not strays
    if error.errno == CERTIFICATE_VERIFY_FAILED:
        return "not verified", False
    return None

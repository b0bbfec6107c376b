"""What the core asks of its driver.

The core never does I/O: its generators yield these, the driver performs them and sends the result
in, or throws what went wrong. OSError stands for every failure of the link.
"""

# First argument of the OSError for a certificate that is not valid at the terminal's date.
CERTIFICATE_DATE = "certificate date"


class Fetch:
    """One HTTP exchange; the driver sends a Response.

    `headers` is a list of (name, value); a body over `max_bytes` is a link failure.
    """

    kind = "fetch"

    def __init__(self, method, url, headers, body, max_bytes, timeout_ms):
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.max_bytes = max_bytes
        self.timeout_ms = timeout_ms


class Download:
    """A GET whose body goes to `sink(piece)` as it arrives, for status 200 and 206 only.

    `begin(status, headers)` is called once before the first piece, `headers` as in a Response.
    What either raises ends the transfer and is thrown into the core.
    """

    kind = "download"
    method = "GET"
    body = None

    def __init__(self, url, headers, begin, sink, max_bytes, timeout_ms):
        self.url = url
        self.headers = headers
        self.begin = begin
        self.sink = sink
        self.max_bytes = max_bytes
        self.timeout_ms = timeout_ms


class Response:
    """`headers`: lower-case name -> text."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body


class Sleep:
    kind = "sleep"

    def __init__(self, ms):
        self.ms = ms


# Why an agent restarts for a heap in one piece, in which little else should be.
NO_MEMORY = "no memory for an update"


class Restart:
    """The terminal must go through stage 0 again; nothing is sent back."""

    kind = "restart"

    def __init__(self, reason):
        self.reason = reason

"""The time without TLS, once: TLS needs a date to check certificates (PROTOCOL section 3)."""

from .errors import Refused
from .exchange import WrongTime


def ask(exchange):
    """One signed answer that holds nothing but the time."""
    host, bracket, _ = exchange.config.get("SERVER").partition("://")[2].partition("]")
    if not bracket:  # else it is an IPv6 address, with colons of its own
        host = host.partition(":")[0]
    base = exchange.config.get("TIME_SERVER") or "http://" + host + bracket
    try:
        # With its key: the server may not know a new terminal yet.
        asked = {"D3": exchange.identity.public_text()}
        yield from exchange.once("time", asked, None, None, base)
    except WrongTime as wrong:
        raise Refused("TIMESTAMP_INVALID", wrong.answer)

"""What a configuration must be like; apart from it because it is checked only when it changes."""

from .errors import Malformed
from .log import LEVELS


def check(fields):
    """Raises Malformed for a configuration that could never work."""
    for name in ("SERVER", "TIME_SERVER"):
        server = fields.get(name)
        if server is None:
            continue
        scheme, found, host = server.partition("://")
        bad = [character for character in server if character <= " " or character > "~"]
        if not found or scheme not in ("http", "https") or not host or bad or host[-1] == "/":
            raise Malformed(name + " is not http://host[:port] or https://host[:port]")
    if fields.get("LOG_LEVEL", "ERROR") not in LEVELS:
        raise Malformed("no such LOG_LEVEL")

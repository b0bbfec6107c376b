"""Fields of requests and answers, and the limits of a Wi-Fi network's name and password."""

from ks_agent.errors import Malformed

SSID_MOST_BYTES = 32
# WPA2's; a network that is open has none.
PASSWORD_LEAST_BYTES, PASSWORD_MOST_BYTES = 8, 63


def text_of(request, key):
    """Raises Malformed where there is none, or a list."""
    value = request.get(key)
    if not isinstance(value, str):
        raise Malformed("no " + key)
    return value


def check_network(name, password):
    """Raises Malformed for what no access point has."""
    if not 1 <= len(name.encode()) <= SSID_MOST_BYTES:
        raise Malformed("WIFI_SSID is not 1 to 32 bytes")
    size = len(password.encode())
    if size and not PASSWORD_LEAST_BYTES <= size <= PASSWORD_MOST_BYTES:
        raise Malformed("WIFI_PASSWORD is not 8 to 63 bytes")


def sealed_hello(facts, d1):
    """All that a provisioned terminal tells."""
    fields = {key: facts[key] for key in ("MAC", "BOARD") if key in facts}
    fields["D1"] = d1
    fields["STATE"] = "provisioned"
    return fields

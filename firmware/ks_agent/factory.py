"""What the factory told the terminal of itself: read at the first boot, and where it was lost."""

from . import toon
from .errors import KsError, LocalError
from .store import check_form

PATH = "factory.toon"
MAX_BYTES = 4096
# Of the identity.
KEPT = ("D1", "D2", "D4", "D5", "M1", "OTRT")
# Of the configuration.
CONFIGURED = ("SERVER", "TIME_SERVER", "CA")


def read_factory(fs):
    """factory.toon as provisioning wrote it; {} when there is none. LocalError for any other."""
    try:
        with fs.open(PATH, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        return {}
    try:
        factory = toon.decode(data, MAX_BYTES)
        check_form(factory)
        return factory
    except KsError as error:
        raise LocalError(PATH + ": " + str(error))

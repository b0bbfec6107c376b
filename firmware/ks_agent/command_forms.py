"""Commands: their payloads, and what it takes to believe them (PROTOCOL section 5)."""

from .errors import Malformed, MissingToken


class Command:
    """A command's payload fields, and what it takes to be believed."""

    def __init__(self, required="", optional="", two_admins=False, max_days=None):
        self.required = required.split()
        self.optional = optional.split()
        self.two_admins = two_admins
        self.max_days = max_days


CONFIG_FIELDS = (
    "SERVER TIME_SERVER WIFI_SSID WIFI_PASSWORD LOG_LEVEL CA SITE DUPLICATE_S DIRECTION UNKNOWN"
    " UPLOAD_DELAY_S DAY_START JOURNAL_KIB"
)
_PLAIN = ()
_COMMANDS = {
    "RESTART": _PLAIN,
    "FETCH_LOGS": ("", "LEVEL SINCE"),
    "APPLY_CONFIG": ("", CONFIG_FIELDS),
    "WIPE": ("", "FORCE", True, 30),
    "REVOKE": ("", "", True, 30),
    "ROTATE_DEVICE_KEY": _PLAIN,
    "TRUST_KEY": ("ROLE KEY", "RELEASE_SIG"),
    "DISTRUST_KEY": ("ROLE KEY", "", True),
    "HALT_UPDATES": _PLAIN,
    "RESUME_UPDATES": _PLAIN,
    "IDENTIFY": _PLAIN,
}
COMMAND_NAMES = tuple(_COMMANDS)


def command(name):
    """The declared form of a command; None for one that there is not."""
    form = _COMMANDS.get(name)
    return None if form is None else Command(*form)


def check_payload(name, payload):
    """A command's payload: Malformed for a field its command does not have, or a list."""
    declared = command(name)
    missing = [key for key in declared.required if key not in payload]
    if missing:
        raise MissingToken(missing)
    for key, value in payload.items():
        if not isinstance(value, str):
            raise Malformed(key + " is a list")
        if key not in declared.required and key not in declared.optional:
            raise Malformed(name + " has no " + key)

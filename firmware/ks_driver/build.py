"""When the running application was built: what a terminal without a clock starts from."""

from ks_agent.errors import Malformed
from ks_agent.timetext import parse_ms

MAX_MANIFEST_LINES = 128


def built_ms(fs, slot):
    """BUILT of the slot's manifest in unix ms; 0 where there is none: a time before every other.

    Reads line by line: the table of files need not be in memory for it.
    """
    try:
        with fs.open("slot_" + slot + "/manifest.toon", "rb") as file:
            for _ in range(MAX_MANIFEST_LINES):
                line = file.readline()
                if line.startswith(b"BUILT: "):
                    return parse_ms(line[7:].decode().strip(' "\r\n'))
    except (OSError, Malformed, UnicodeError):
        pass
    return 0

"""One punch: its words, its canonical string, and the hash that chains it to the next.

PROTOCOL section 4: PREV is the first 16 hex digits of SHA-256 of the previous punch's canonical
string over A1 A2 A3 BOOT CLK E1 JID METHOD PREV SEQ UP.
"""

import binascii

from .message import escape

# What A2 and METHOD may say; a journal's records hold an index into these.
DIRECTIONS = ("IN", "OUT", "BREAK_START", "BREAK_END", "OVERTIME_IN", "OVERTIME_OUT")
METHODS = ("RFID", "PIN", "QR", "FINGERPRINT", "FACE", "BUTTON")
# In code-point order, as the canonical string has them.
HASHED = ("A1", "A2", "A3", "BOOT", "CLK", "E1", "JID", "METHOD", "PREV", "SEQ", "UP")
PREV_BYTES = 8


def punch_text(punch):
    """The canonical string that PREV of the next punch is made of; `punch`: a dict of texts."""
    return "|".join([key + ":" + escape(punch[key]) for key in HASHED if key in punch])


def punch_hash(sha256, punch):
    """SHA-256 (32 bytes) of the punch. `sha256()` makes a hash object, as the crypto port does."""
    digest = sha256()
    digest.update(punch_text(punch).encode())
    return digest.digest()


def prev_of(digest):
    """PREV of the punch that follows the one with this hash."""
    return binascii.hexlify(digest[:PREV_BYTES]).decode()

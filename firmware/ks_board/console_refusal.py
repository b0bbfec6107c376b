"""What an operation over the serial line refuses with."""

SEALED = "SEALED"
UNKNOWN_OP = "UNKNOWN_OP"
MALFORMED = "MALFORMED"
NO_SESSION = "NO_SESSION"
NOT_KEYED = "NOT_KEYED"
NO_RADIO = "NO_RADIO"
TEST_FAILED = "TEST_FAILED"
FLASH = "FLASH"
NOT_ALLOWED = "NOT_ALLOWED"
JOIN_FAILED = "JOIN_FAILED"
INTERNAL = "INTERNAL"


class Refusal(Exception):
    """`code` is ERR1, and what is printed of it ERR2: never a value that came over the line."""

    def __init__(self, code, text=""):
        super().__init__(text)
        self.code = code

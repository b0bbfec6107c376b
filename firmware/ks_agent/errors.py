"""What can go wrong, one class for each cause that a caller can act on.

    KsError
      LocalError            our own mistake; nothing was changed
        Corrupt             a record on flash cannot be read
      PeerError             the other side's mistake
        Malformed           not a message (PROTOCOL section 1)
          ToonError         ... at a line and column of a TOON document
          LinesError        ... at a character of a token line
        MissingToken        a message without a token that its operation requires
        BadSignature        a signature that is absent or wrong
        Unbound             a signed answer to somebody else's request
        Refused             a signed, bound answer that says no
        UpdateRefused       a release that must not be installed
        CommandRefused      a command that must not be performed

Each has a stable `code`. A link failure is a plain OSError: it says nothing about either side.
"""


class KsError(Exception):
    code = "INTERNAL"


class LocalError(KsError):
    code = "LOCAL"


class Corrupt(LocalError):
    code = "CORRUPT"


class PeerError(KsError):
    code = "INTERNAL"


class Malformed(PeerError):
    code = "MALFORMED"

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class ToonError(Malformed):
    """Line and column count from 1; the column counts characters of the line."""

    def __init__(self, reason, line, column):
        super().__init__("line %d, column %d: %s" % (line, column, reason))
        self.reason = reason
        self.line = line
        self.column = column


class LinesError(Malformed):
    """`position` is the index, from 0, of the token in the line that is wrong."""

    def __init__(self, reason, position):
        super().__init__("token %d: %s" % (position, reason))
        self.reason = reason
        self.position = position


class MissingToken(PeerError):
    code = "MISSING_TOKEN"

    def __init__(self, missing):
        self.missing = tuple(missing)
        super().__init__("missing: " + ",".join(self.missing))


class BadSignature(PeerError):
    code = "SIG_INVALID"


class Unbound(PeerError):
    """`claim` is the error code that an unsigned answer asserts, `wait_s` its bounded delay."""

    code = "UNBOUND"
    claim = ""
    wait_s = None


class Refused(PeerError):
    """`answer` is the verified answer: its RTY says when to ask again."""

    def __init__(self, code, answer):
        super().__init__(code)
        self.code = code
        self.answer = answer


class UpdateRefused(PeerError):
    """The code names the attack or mistake that the release would have been."""

    def __init__(self, code, reason):
        super().__init__(reason)
        self.code = code


class CommandRefused(PeerError):
    def __init__(self, code, reason):
        super().__init__(reason)
        self.code = code

"""A refusal on its way to the device: ERR1 and what goes with it."""

from __future__ import annotations

from ks_agent.message import escape
from ks_agent.schema import STATUS

DETAIL_MAX_CHARACTERS = 256


def nonce_reused() -> Refusal:
    """The refusal of a request that has been made before."""
    return Refusal("NONCE_REUSE", "this nonce has been used")


def too_many(wait_s: int) -> Refusal:
    """The refusal of a request above its operation's limit."""
    return Refusal("RATE_LIMIT", "too many requests of this kind", rty_s=wait_s)


class Refusal(Exception):
    """Answered as `code`. `rty_s` becomes RTY and Retry-After.

    Raised by an operation after its nonce was stored, the refusal itself is recorded; with
    `recorded=False` nothing is kept of the request, the nonce neither.
    """

    def __init__(
        self,
        code: str,
        text: str,
        details: str = "",
        *,
        rty_s: int = 0,
        recorded: bool = True,
        allow: str = "",
    ) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.details = details
        self.rty_s = rty_s
        self.recorded = recorded
        self.allow = allow

    @property
    def status(self) -> int:
        """The HTTP status that PROTOCOL section 4 gives to the code."""
        return int(STATUS[self.code])

    def answer(self) -> dict[str, str]:
        """The tokens of the refusal."""
        tokens = {"ERR1": self.code, "ERR2": self.text}
        if self.details:
            # what a stranger sent comes back here: short, and on one line
            tokens["ERR3"] = str(escape(self.details))[:DETAIL_MAX_CHARACTERS]
        if self.rty_s:
            tokens["RTY"] = str(self.rty_s)
        return tokens

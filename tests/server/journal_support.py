"""A terminal's journal as a test writes one: numbered, chained, with the terminal's time base."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from ks_agent import timetext
from ks_agent.punch import prev_of, punch_hash
from tests.server.client import Answer, Device

JID = "0123456789abcdef"


@dataclass
class Journal:
    """Rows of the list EVENT, in order of SEQ."""

    device: Device
    jid: str = JID
    rows: list[dict[str, str]] = field(default_factory=list)

    def punch(self, **values: str) -> dict[str, str]:
        """Append a punch; a synchronised one, now, unless told."""
        seq = len(self.rows) + 1
        row = {
            "A1": f"{self.jid}-{seq}", "E1": "04A2B3C4", "A2": "IN",
            "A3": timetext.format_ms(self.device.clock()), "SEQ": str(seq),
            "PREV": self.prev(), "BOOT": "3", "UP": str(100_000 + 1_000 * seq),
            "CLK": "SYNCED", "METHOD": "RFID",
        } | values  # fmt: skip
        self.rows.append(row)
        return row

    def punches(self, count: int, **values: str) -> None:
        """Append so many."""
        for _ in range(count):
            self.punch(**values)

    def prev(self) -> str:
        """PREV of the punch that comes next."""
        if not self.rows:
            return ""
        return str(prev_of(punch_hash(hashlib.sha256, self.rows[-1] | {"JID": self.jid})))

    def branch(self, length: int) -> Journal:
        """The same journal as it was after so many punches."""
        return Journal(self.device, self.jid, list(self.rows[:length]))

    async def send(self, *numbers: int, **tokens: Any) -> Answer:
        """Upload the punches of these numbers; all when none is named."""
        picked = [self.rows[number - 1] for number in numbers] if numbers else self.rows
        return await self.device.call("events", JID=self.jid, EVENT=picked, **tokens)

    async def beat(self, **tokens: Any) -> Answer:
        """A heartbeat that names this journal."""
        told = {"JID": self.jid, "SEQ": str(len(self.rows))} | tokens
        return await self.device.call("heartbeat", **told)

"""GET allow-list: the version that a heartbeat has named, page by page."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent.allow_pages import PAGES_MAX
from ks_agent.errors import Malformed

from ...repository.allow_list import TooLarge
from ..call import Call, Outcome
from ..operation import Operation
from ..refusal import Refusal

_LIST = "list"


class AllowList(Operation):
    """Without AL2 the index; a version that is not the current one is NOT_FOUND."""

    op = "allow-list"

    def check(self, message: dict[str, Any]) -> None:
        if not 0 <= int(message.get("AL2", "0")) < PAGES_MAX:
            raise Malformed("AL2 is no page")

    async def prepare(self, call: Call) -> None:
        try:
            call.values[_LIST] = await call.context.allow_lists.current(call.known.site)
        except TooLarge:
            call.values[_LIST] = None

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        current = call.values[_LIST]
        if current is None or current.version != call.message["AL1"]:
            raise Refusal("NOT_FOUND", "this is not the current version")
        answer: dict[str, Any] = {"S1": "ok", "AL1": current.version}
        number = call.get("AL2")
        if number is None:
            answer["AL3"] = str(len(current.pages))
            answer["AL4"] = current.index
            return Outcome(answer)
        if int(number) >= len(current.pages):
            raise Refusal("NOT_FOUND", "this version has no such page")
        answer["AL2"] = number
        answer["AL5"] = current.pages[int(number)]
        return Outcome(answer)

"""The admin API's part for factories: one-time tokens and the whitelist, many at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .admin_rollouts import RolloutApi

WHITELIST_MAX = 5000
TOKENS_MAX = 1000


class FactoryApi(RolloutApi):
    """Raises AdminError."""

    async def make_tokens(self, count: int, valid_hours: int) -> dict[str, Any]:
        """Tokens for whichever device comes; this answer alone has their texts."""
        return await self._json("POST", "/tokens", {"count": count, "valid_hours": valid_hours})

    async def import_tokens(self, tokens: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Each with `id` (SHA-256, hex), `d1`, `expires_ms`."""
        return await self._in_parts("/tokens/import", "tokens", tokens, TOKENS_MAX)

    async def import_whitelist(self, entries: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Each with `d1`, `public_key`, and perhaps `note`."""
        return await self._in_parts("/whitelist/bulk", "entries", entries, WHITELIST_MAX)

    async def whitelist_entries(self) -> list[dict[str, Any]]:
        return await self._all("/whitelist")

    async def unlist(self, d1: str) -> None:
        """It may not register any more; what has registered stays."""
        await self._json("DELETE", f"/whitelist/{d1}")

    async def _in_parts(
        self, path: str, name: str, items: Sequence[Mapping[str, Any]], most: int
    ) -> dict[str, int]:
        counts: dict[str, int] = {}
        for start in range(0, len(items), most):
            answer = await self._json("POST", path, {name: list(items[start : start + most])})
            counts = {key: counts.get(key, 0) + int(value) for key, value in answer.items()}
        return counts

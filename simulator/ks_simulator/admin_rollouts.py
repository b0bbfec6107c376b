"""The part of the admin API about rollouts: a release offered to a growing share of the fleet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .admin_punches import PunchApi

STEPS = ("start", "promote", "pause", "resume", "abort", "revoke")
# from which nothing leads on
ENDED = ("aborted", "done", "revoked")
# of one device in a rollout; the last is derived and stands beside one of the others
DEVICE_STATES = (
    "waiting",
    "offered",
    "downloading",
    "updated",
    "postponed",
    "rolled_back",
    "failed",
    "penalty",
    "halted",
    "offline",
)
# what counts as an attempt that went wrong
BAD_STATES = ("rolled_back", "failed", "penalty")


class RolloutApi(PunchApi):
    """Calls as methods; answers are JSON objects. Raises AdminError."""

    async def create_rollout(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """A rollout in the state draft; `form` as in POST /rollouts."""
        return await self._json("POST", "/rollouts", form)

    async def rollouts(self, **query: str) -> list[dict[str, Any]]:
        """All of them, the newest first."""
        return await self._all("/rollouts", **query)

    async def rollout(self, number: int) -> dict[str, Any]:
        return await self._json("GET", f"/rollouts/{number}")

    async def rollout_step(self, number: int, step: str) -> dict[str, Any]:
        """One of STEPS; gives the rollout as it is then."""
        return await self._json("POST", f"/rollouts/{number}/{step}")

    async def rollout_devices(self, number: int, **query: str) -> list[dict[str, Any]]:
        """The devices that it is for, each with its bucket and state."""
        return await self._all(f"/rollouts/{number}/devices", **query)

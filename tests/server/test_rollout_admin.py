"""The admin API of rollouts: forms, steps, pages."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from ks_server.db.rollout_schema import rollouts
from ks_server.db.schema import admin_actions, releases
from ks_server.rollout_engine import TRANSITIONS
from tests.server.rollout_support import FW1, NEW, Desk


async def test_a_rollout_is_shown_as_it_was_drafted(desk: Desk) -> None:
    await desk.fleet(3)
    form: dict[str, Any] = {
        "fw1": FW1, "phases": [0.5, 10, 50, 100], "soak_s": 7200, "automatic": True,
        "filter": {"types": ["ESP32_TERMINAL"], "devices": ["dev_0001", "dev_0002"]},
        "abort_share": 12.5, "abort_min": 4, "abort_count": 9, "penalty": 2,
        "downloads_at_once": 7,
    }  # fmt: skip
    made = await desk.call("POST", "/rollouts", form, status=201)
    nobody = ("offered", "downloading", "postponed", "updated", "rolled_back", "failed")
    assert made == form | {
        "id": 1, "fw2": NEW, "kind": "application", "state": "draft", "phase": 0,
        "phase_started": None, "started": None, "ended": None, "reason": None,
        "created": "2027-01-15T08:00:00.000Z", "attempts": 0, "failure_share": None,
        "filter": form["filter"] | {"models": None, "sites": None, "versions": None},
        "counts": dict.fromkeys((*nobody, "penalty", "halted", "offline"), 0)
        | {"targeted": 2, "waiting": 2},
    }  # fmt: skip
    assert await desk.view(1) == made
    assert (await desk.call("GET", "/rollouts"))["items"] == [made]


async def test_what_is_not_said_is_careful(desk: Desk) -> None:
    made = await desk.call("POST", "/rollouts", {"fw1": FW1}, status=201)
    assert (made["phases"], made["automatic"], made["soak_s"]) == ([2, 10, 50, 100], False, 86_400)
    assert (made["abort_share"], made["abort_min"], made["abort_count"]) == (20, 5, None)
    assert (made["penalty"], made["downloads_at_once"]) == (3, None)


@pytest.mark.parametrize(
    "values",
    [
        {"phases": []}, {"phases": [0]}, {"phases": [5, 5]}, {"phases": [5, 2]}, {"phases": [101]},
        {"phases": [1, "x"]}, {"phases": 5}, {"abort_share": 0}, {"abort_share": 101},
        {"abort_min": 0}, {"abort_count": 0}, {"penalty": 0}, {"downloads_at_once": 0},
        {"soak_s": -1}, {"filter": {"owners": ["x"]}}, {"filter": {"devices": ["a b"]}},
        {"filter": {"sites": []}}, {"state": "running"}, {"fw1": "a/b"}, {"abort_share": None},
    ],
)  # fmt: skip
async def test_a_form_that_makes_no_sense_is_refused(desk: Desk, values: dict[str, Any]) -> None:
    form = {"fw1": FW1, "phases": [5, 100], **values}
    assert (await desk.refused("POST", "/rollouts", form))[0] == "INVALID"
    assert await desk.server.rows(rollouts) == []


async def test_the_canary_is_small_unless_the_fleet_is(desk: Desk) -> None:
    await desk.fleet(20)
    code, message = await desk.refused("POST", "/rollouts", {"fw1": FW1, "phases": [6, 100]})
    assert (code, "of 20 devices" in message) == ("INVALID", True)
    assert await desk.server.rows(rollouts) == []
    few = {
        "fw1": FW1,
        "phases": [6, 100],
        "filter": {"devices": [f"dev_{n:04}" for n in range(19)]},
    }
    await desk.call("POST", "/rollouts", few, status=201)
    await desk.call("POST", "/rollouts", {"fw1": FW1, "phases": [5, 100]}, status=201)


async def test_somebody_is_in_the_first_phase_however_few_there_are(desk: Desk) -> None:
    await desk.fleet(20)
    for _ in range(10):
        made = await desk.call("POST", "/rollouts", {"fw1": FW1, "phases": [5, 100]}, status=201)
        page = await desk.call("GET", f"/rollouts/{made['id']}/devices?limit=200")
        assert any(item["in_phase"] for item in page["items"])


@pytest.mark.parametrize(
    ("values", "code"),
    [({"state": "revoked"}, "WRONG_STATE"), ({"expires_ms": 1}, "EXPIRED")],
)
async def test_a_release_that_must_not_go_out_has_no_rollout(
    desk: Desk, values: dict[str, Any], code: str
) -> None:
    await desk.server.release("rel-3", "1.3.0", **values)
    assert (await desk.refused("POST", "/rollouts", {"fw1": "rel-3"}))[0] == code
    assert (await desk.refused("POST", "/rollouts", {"fw1": "none"}))[0] == "NOT_FOUND"


async def test_an_unsigned_release_may_be_drafted_but_not_started(desk: Desk) -> None:
    await desk.server.release("rel-3", "1.3.0", state="draft")
    number = await desk.draft("rel-3")
    assert (await desk.refused("POST", f"/rollouts/{number}/start"))[0] == "WRONG_STATE"
    mine = releases.c.fw1 == "rel-3"
    await desk.server.execute(releases.update().where(mine).values(state="signed"))
    assert (await desk.step(number, "start"))["state"] == "running"


async def test_each_step_is_taken_only_from_its_states(desk: Desk) -> None:
    await desk.fleet(1)
    for step, (states, _) in TRANSITIONS.items():
        for state in ("draft", "running", "paused", "aborted", "done"):
            number = await desk.draft(phases=[5, 100])
            await desk.server.execute(
                rollouts.update().where(rollouts.c.id == number).values(state=state)
            )
            if step != "revoke" and state not in states:
                code, message = await desk.refused("POST", f"/rollouts/{number}/{step}")
                assert (code, state in message) == ("WRONG_STATE", True)
            elif step != "revoke":
                assert (await desk.step(number, step))["state"] == TRANSITIONS[step][1]


async def test_the_last_phase_is_followed_by_none(desk: Desk) -> None:
    number = await desk.start(phases=[5, 100])
    assert (await desk.step(number, "promote"))["phase"] == 1
    assert (await desk.refused("POST", f"/rollouts/{number}/promote"))[0] == "WRONG_STATE"


async def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    for method, path in (
        ("GET", "/rollouts/9"), ("GET", "/rollouts/9/devices"), ("POST", "/rollouts/9/start"),
    ):  # fmt: skip
        assert (await desk.refused(method, path))[0] == "NOT_FOUND"
    assert (await desk.refused("POST", "/rollouts/1/explode"))[0] == "INVALID"
    assert (await desk.refused("GET", "/rollouts/x"))[0] == "INVALID"
    assert (await desk.refused("GET", "/rollouts?state=odd"))[0] == "INVALID"


async def test_lists_come_in_pages(desk: Desk) -> None:
    await desk.fleet(1200)
    numbers = [await desk.draft(phases=[5, 100]) for _ in range(5)]
    seen, after = [], ""
    while True:
        page = await desk.call("GET", f"/rollouts?limit=2{after}")
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == numbers[::-1]
    seen, after = [], ""
    while True:
        page = await desk.call("GET", f"/rollouts/1/devices?state=waiting&limit=200{after}")
        seen += [item["d1"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert len(seen) == 1200
    assert all(one < other for one, other in pairwise(seen))
    assert (await desk.call("GET", "/rollouts/1/devices?state=updated"))["items"] == []
    assert (await desk.refused("GET", "/rollouts/1/devices?after=x"))[0] == "BAD_CURSOR"


async def test_what_people_do_to_rollouts_is_recorded(desk: Desk) -> None:
    await desk.fleet(1)
    number = await desk.start(phases=[5, 100])
    for step in ("promote", "pause", "resume", "abort", "revoke"):
        await desk.step(number, step)
    rows = [(row["action"], row["subject"]) for row in await desk.server.rows(admin_actions)]
    steps = ("start", "promote", "pause", "resume", "abort", "revoke")
    assert rows == [("rollout", "1"), *((f"rollout-{step}", "1") for step in steps)]

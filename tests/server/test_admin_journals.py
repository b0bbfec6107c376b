"""Reconciliation: every number of a journal is stored, waiting, or in a named gap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ks_server.db.punch_schema import punch_conflicts, punch_findings, punch_gaps

from .admin_support import NOW_MS, Admin, after, open_admin
from .punch_support import JID, add, add_journal, chain, store

module = import_module("ks_server.admin.journals")


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        await opened.add_device("dev_1")
        yield opened


async def reconcile(admin: Admin) -> dict[str, Any]:
    [journal] = (await admin.call("GET", "/devices/dev_1/journals"))["items"]
    found: dict[str, Any] = journal
    return found


async def hold(admin: Admin, *numbers: int) -> None:
    await store(admin, [row for row in chain(max(numbers)) if row["seq"] in numbers])


def ranges(items: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(item["first_seq"], item["last_seq"]) for item in items]


async def test_a_journal_that_is_all_there_is_complete(admin: Admin) -> None:
    await add_journal(admin, ack_seq=5, seq_top=5, seq_min=3, j1=1, j2=99_000, duplicates=7)
    await hold(admin, 1, 2, 3, 4, 5)
    assert await reconcile(admin) == {
        **{"jid": JID, "verdict": "complete", "seq_top": 5, "ack_seq": 5, "seq_min": 3},
        **{"stored": 5, "quarantine": 0, "duplicates": 7, "conflicts": 0, "open_findings": 0},
        **{"received": [{"first_seq": 1, "last_seq": 5}], "gaps": [], "missing": 0},
        **{"unsent": 0, "oldest_unsent": None, "waiting_since": None, "truncated": False},
        **{"fill_percent": 1, "room": 99_000, "first": after(), "last": after()},
        **{"closed": None, "closed_by": None},
    }


async def test_what_has_not_come_yet_is_waited_for(admin: Admin) -> None:
    await add_journal(admin, ack_seq=2, seq_top=9)
    await hold(admin, 1, 2, 5, 6)
    journal = await reconcile(admin)
    assert (journal["verdict"], ranges(journal["received"])) == ("waiting", [(1, 2), (5, 6)])
    assert (journal["unsent"], journal["oldest_unsent"]) == (5, 3)  # 3 4 7 8 9
    assert journal["waiting_since"] == after()


async def test_what_will_never_come_is_a_gap_with_its_reason(admin: Admin) -> None:
    await add_journal(admin, ack_seq=9, seq_top=9, closed_ms=NOW_MS, closed_by="cmd")
    await hold(admin, 3, 4, 6)
    for first, last in ((1, 2), (5, 5), (7, 9)):
        await add(admin, punch_gaps, first_seq=first, last_seq=last, recorded_ms=NOW_MS)
    for kind, first, last in (("gap", 1, 2), ("gap", 5, 5), ("lost", 7, 9)):
        await add(admin, punch_findings, kind=kind, first_seq=first, last_seq=last, found_ms=1)
    journal = await reconcile(admin)
    assert (journal["verdict"], journal["missing"], journal["unsent"]) == ("gap", 6, 0)
    assert [(gap["first_seq"], gap["last_seq"], gap["reason"]) for gap in journal["gaps"]] == [
        (1, 2, "gap"),
        (5, 5, "gap"),
        (7, 9, "lost"),
    ]
    assert (journal["closed"], journal["closed_by"]) == (after(), "cmd")
    assert journal["open_findings"] == 3


async def test_rejected_punches_and_conflicts_are_counted(admin: Admin) -> None:
    rows = chain(3)
    rows[1] |= {"state": "quarantine", "err1": "MALFORMED"}
    await store(admin, rows)
    await add_journal(admin, ack_seq=3)
    await add(admin, punch_conflicts, seq=2, hash="0" * 16, received_ms=1)
    journal = await reconcile(admin)
    assert (journal["quarantine"], journal["conflicts"], journal["stored"]) == (1, 1, 3)
    assert (journal["seq_top"], journal["verdict"]) == (3, "complete")


async def test_a_journal_of_which_nothing_came_waits_for_everything(admin: Admin) -> None:
    await add_journal(admin, seq_top=3)
    journal = await reconcile(admin)
    assert (journal["verdict"], journal["received"], journal["unsent"]) == ("waiting", [], 3)
    assert (journal["oldest_unsent"], journal["waiting_since"]) == (1, None)


async def test_a_journal_full_of_holes_is_shown_up_to_a_bound(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RANGES_MAX", 3)
    await add_journal(admin, seq_top=100)
    await hold(admin, 1, 3, 5, 7, 9)
    journal = await reconcile(admin)
    assert journal["truncated"]
    assert ranges(journal["received"]) == [(1, 1), (3, 3), (5, 5)]
    assert (journal["unsent"], journal["verdict"]) == (2, "waiting")


async def test_journals_come_in_pages_and_only_of_a_device_that_is_there(admin: Admin) -> None:
    for number in range(45):
        await add_journal(admin, jid=f"{number:016x}")
    assert len(await admin.all_items("/devices/dev_1/journals", 200)) == 45
    page = await admin.call("GET", "/devices/dev_1/journals", params={"limit": 200})
    assert len(page["items"]) == module.JOURNALS_MAX
    await admin.refused("GET", "/devices/dev_2/journals", status=404, code="NOT_FOUND")

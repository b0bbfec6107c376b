"""`ks punches`, `ks employees`, `ks sites` and `ks verify` against a real server."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import os
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ks_agent import timetext
from ks_agent.punch import prev_of, punch_hash
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerProcess, server_settings
from ks_tools.asking import printable
from ks_tools.cli import run
from ks_tools.workspace import Workspace, read_seed
from tests.server.client import Clock, Device

JID = "00112233445566ff"
PEOPLE = "external_id;name;cards;site\np-1;Ann Müller;card-1|spare;hq\np-2;Bo;card-2;\n"


class Desk:
    """A person's folder with keys, a server that runs, and a terminal with its journal."""

    def __init__(
        self, server: ServerProcess, device: Device, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.server = server
        self.device = device
        self._capsys = capsys

    async def ks(self, *arguments: str) -> tuple[int, str]:
        return await self.offline(*arguments, "--server", self.server.url)

    async def offline(self, *arguments: str) -> tuple[int, str]:
        status = await asyncio.to_thread(run, list(arguments))
        captured = self._capsys.readouterr()
        return status, captured.out + captured.err

    async def json(self, *arguments: str, status: int = 0) -> Any:
        ended, shown = await self.ks(*arguments, "--json")
        assert ended == status, shown
        return json.loads(shown)

    async def punch(self, *numbers: int, cards: int = 3, **tokens: str) -> None:
        """Send these numbers of a journal whose punches are a second apart and now."""
        now_ms = self.device.clock()
        rows: list[dict[str, str]] = []
        prev = ""
        for seq in range(1, max(numbers) + 1):
            row = {
                "A1": f"{JID}-{seq}",
                "A2": "IN" if seq % 2 else "OUT",
                "A3": str(timetext.format_ms(now_ms + seq * 1000)),
                "BOOT": "1",
                "CLK": "SYNCED",
                "E1": f"card-{seq % cards}",
                "METHOD": "RFID",
                "PREV": prev,
                "SEQ": str(seq),
                "UP": str(seq * 1000),
            }
            prev = str(prev_of(punch_hash(hashlib.sha256, {**row, "JID": JID})))
            rows.append(row)
        wanted = [row for row in rows if int(row["SEQ"]) in numbers]
        answer = await self.device.call("events", JID=JID, EVENT=wanted, **tokens)
        assert answer.code == "ok", answer.message


@pytest.fixture
async def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Desk]:
    monkeypatch.chdir(tmp_path)
    for name in ("KS_DATA", "KS_OFFLINE_KEYS"):
        monkeypatch.delenv(name, raising=False)
    workspace = Workspace()
    workspace.make_keys()
    admins = [read_seed(path) for path in workspace.admin_keys]
    keys = RoleKeys(
        read_seed(workspace.server_key), read_seed(workspace.release_key), (admins[0], admins[1])
    )
    server = ServerProcess(server_settings(tmp_path / "server", keys, REGISTRATION_MODE="open"))
    monkeypatch.setenv("ADMIN_TOKEN", server.admin_token)
    async with server.running():
        clock = Clock(time.time_ns() // 1_000_000)
        async with httpx.AsyncClient() as client:
            device = Device(client, clock, base=server.url, trusted_seed=keys.server)
            assert (await device.call("register")).code == "registered"
            yield Desk(server, device, capsys)


async def test_from_an_empty_server_to_a_verified_receipt(desk: Desk, tmp_path: Path) -> None:
    """The whole story of an office, in the order in which it happens there."""
    status, shown = await desk.ks(
        "sites", "set", "hq", "--zone", "Asia/Kathmandu", "--device", "dev_1", "--name", "Roof"
    )
    assert (status, shown.splitlines()[1].split()) == (
        0,
        ["hq", "Roof", "Asia/Kathmandu", "no", "1"],
    )
    (tmp_path / "people.csv").write_text(PEOPLE, "utf-8")
    status, shown = await desk.ks("employees", "import", "people.csv")
    assert (status, "stored: 2 new" in shown) == (0, True)
    status, shown = await desk.ks("employees", "import", "people.csv")
    assert "0 new, 0 changed, 2 unchanged" in shown
    await desk.punch(1, 2, 3, 4)
    await desk.punch(3, 4)

    status, shown = await desk.ks("punches", "list", "--site", "hq")
    assert status == 0
    assert [line.split()[-1] for line in shown.splitlines()[1:3]] == ["1", "2"]
    assert "Ann Müller" in shown and "+05:45" in shown and "unknown_person" in shown
    assert len(await desk.json("punches", "list", "--person", "p-1")) == 2
    assert len(await desk.json("punches", "list", "--limit", "1")) == 1
    assert "--limit 0" in (await desk.ks("punches", "list", "--limit", "1"))[1]

    status, shown = await desk.ks("punches", "reconcile")
    assert (status, "complete" in shown) == (0, True)
    [journal] = (await desk.json("punches", "reconcile", "dev_1"))["dev_1"]
    assert (journal["stored"], journal["unsent"]) == (4, 0)

    status, shown = await desk.ks("punches", "receipt", "dev_1", JID, "2", "4")
    assert status == 0
    file = f"receipt-dev_1-{JID}-2-4.toon"
    status, shown = await desk.offline("verify", file)
    assert (status, shown.startswith("VERIFIED  3 punches of dev_1")) == (0, True)
    public = next(row.key for row in Workspace().read_trust() if row.role == "server")
    status, shown = await desk.offline("verify", file, "--key", public, "--json")
    assert (status, json.loads(shown)["first_seq"]) == (0, 2)


async def test_exports_are_whole_files_of_three_kinds(desk: Desk, tmp_path: Path) -> None:
    await desk.punch(1, 2, 3)
    for name in ("all.csv", "all.json", "all.xlsx"):
        status, shown = await desk.ks("punches", "export", name, "--d1", "dev_1")
        assert (status, shown.startswith(f"{name}: ")) == (0, True)
    with (tmp_path / "all.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["seq"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    assert len(json.loads((tmp_path / "all.json").read_text("utf-8"))["items"]) == 3
    assert zipfile.is_zipfile(tmp_path / "all.xlsx")
    status, shown = await desk.ks("punches", "export", "bad.csv", "--day", "someday")
    assert (status, shown.count("\n"), "INVALID" in shown) == (1, 1, True)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("bad.csv")]


async def test_a_gap_is_told_with_its_reason_until_somebody_has_seen_it(desk: Desk) -> None:
    await desk.punch(4, 6, SEQ_MIN="3")
    status, shown = await desk.ks("punches", "reconcile", "dev_1")
    assert status == 1
    assert "SEQ 1-2 will not come: the terminal no longer held them" in shown
    assert "2 to come, the oldest SEQ 3, waited for since" in shown
    [finding] = await desk.json("punches", "findings", "--kind", "gap")
    assert (finding["first_seq"], finding["last_seq"]) == (1, 2)
    status, shown = await desk.ks("punches", "findings", "--acknowledge", str(finding["id"]))
    assert (status, "seen" in shown) == (0, True)
    assert await desk.json("punches", "findings", "--kind", "gap") == []
    assert len(await desk.json("punches", "findings", "--kind", "gap", "--all")) == 1
    status, shown = await desk.ks("punches", "receipt", "dev_1", JID, "1", "4")
    assert (status, "RANGE_INCOMPLETE" in shown) == (1, True)


async def test_who_is_erased_is_gone_and_receipts_still_verify(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("external_id,name,cards\np-1,Ann,card-1\n", "utf-8")
    await desk.ks("employees", "import", "people.csv")
    await desk.punch(1, 2, 3)
    await desk.ks("punches", "receipt", "dev_1", JID, "1", "3", "-o", "before.toon")
    status, shown = await desk.ks("employees", "erase", "p-1", "--yes")
    assert (status, shown) == (0, "erased: 1 punches, 0 conflicts, 1 cards\n")
    assert await desk.json("employees", "list") == []
    await desk.punch(1, 2, 3)  # what the terminal still holds changes nothing
    status, shown = await desk.ks("punches", "list")
    assert "Ann" not in shown and "card-1" not in shown and "(erased)" in shown
    await desk.ks("punches", "receipt", "dev_1", JID, "1", "3", "-o", "after.toon")
    for name, erased in (("before.toon", 0), ("after.toon", 1)):
        status, shown = await desk.offline("verify", name, "--json")
        assert (status, json.loads(shown)["erased"]) == (0, erased)
    status, shown = await desk.ks("employees", "erase", "p-1", "--yes")
    assert (status, "no such employee" in shown) == (1, True)


async def test_an_import_with_mistakes_names_their_lines_and_stores_nothing(
    desk: Desk, tmp_path: Path
) -> None:
    text = "external_id,name,cards\np-1,Ann,a\np 2,Bo,b\np-3,Cy,a\n"
    (tmp_path / "people.csv").write_text(text, "utf-8")
    status, shown = await desk.ks("employees", "import", "people.csv")
    assert status == 1
    assert "people.csv:3: external_id must be" in shown and "(BAD_EXTERNAL_ID)" in shown
    assert "people.csv:4: cards" in shown and "nothing stored" in shown
    assert await desk.json("employees", "list") == []
    result = await desk.json("employees", "import", "people.csv", "--skip-errors", status=1)
    assert (result["stored"], result["created"], result["error_count"]) == (True, 1, 2)
    status, shown = await desk.ks("employees", "list")
    assert (status, "p-1" in shown) == (0, True)


async def test_a_receipt_that_was_touched_does_not_verify(desk: Desk, tmp_path: Path) -> None:
    await desk.punch(1, 2, 3)
    await desk.ks("punches", "receipt", "dev_1", JID, "1", "3", "-o", "good.toon")
    good = (tmp_path / "good.toon").read_bytes()
    (tmp_path / "bad.toon").write_bytes(good.replace(b"card-2", b"card-9"))
    status, shown = await desk.offline("verify", "bad.toon")
    assert (status, shown.startswith("NOT VERIFIED  SEQ 3 does not follow SEQ 2")) == (1, True)
    status, shown = await desk.offline("verify", "bad.toon", "--json")
    assert (status, json.loads(shown)["code"]) == (1, "CHAIN")
    stranger = RoleKeys.make().trusted()[0].key
    status, shown = await desk.offline("verify", "good.toon", "--key", stranger)
    assert (status, "UNKNOWN_KEY" in shown) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "nowhere.toon"], "nowhere.toon"),
        (["verify", "people.csv", "--trust", "nowhere"], "nowhere is missing"),
        (["verify", "people.csv", "--trust", "people.csv"], "not a list of trusted keys"),
        (["verify", "people.csv", "--key", "x"], "not an Ed25519 public key"),
        (["verify", "people.csv", "--key", "x", "--trust", "y"], "not both"),
        (["verify", "people.csv"], "NOT VERIFIED"),
        (["punches", "export", "file.ods"], "ends in none of"),
        (["punches", "reconcile", "../x"], "is no D1"),
        (["punches", "receipt", "dev_1", "../x", "1", "2"], "is no JID"),
        (["employees", "import", "nowhere.csv"], "nowhere.csv"),
        (["sites", "set", "a b"], "is no site"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KS_DATA", raising=False)
    monkeypatch.setenv("ADMIN_TOKEN", "x" * 20)
    Workspace().make_keys()
    (tmp_path / "people.csv").write_text("external_id\np-1\n", "utf-8")
    status = run(arguments)
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert (status, shown.count("\n"), said in shown) == (1, 1, True), shown


def test_what_a_device_sent_cannot_steer_the_terminal() -> None:
    assert printable("card\x1b[2J\u202e1") == "card\ufffd[2J\ufffd1"

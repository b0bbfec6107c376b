"""`ks rollout` against a desk that answers as the admin API does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ks_simulator.application import build
from ks_simulator.keys import RoleKeys
from ks_tools import rollout_view, rollout_watch
from ks_tools.cli import run
from ks_tools.release import write_release

ROLLOUT: dict[str, Any] = {
    "id": 3, "fw1": "app-1.1.0", "fw2": "1.1.0", "state": "draft", "phases": [2, 10, 100],
    "phase": 0, "phase_started": None, "soak_s": 3600, "automatic": True, "abort_share": 20,
    "abort_min": 5, "abort_count": None, "penalty": 3, "downloads_at_once": None, "filter": {},
    "reason": None, "created": "2026-11-20T10:00:00.000Z", "started": None, "ended": None,
    "kind": "application", "attempts": 0, "failure_share": None,
    "counts": {
        "targeted": 20, "waiting": 20, "offered": 0, "downloading": 0, "postponed": 0, "updated": 0,
        "rolled_back": 0, "failed": 0, "penalty": 0, "halted": 0, "offline": 0,
    },
}  # fmt: skip
RUNNING = {
    "state": "running", "started": "2020-11-20T10:00:00.000Z",
    "phase_started": "2020-11-20T10:00:00.000Z",
}  # fmt: skip


def seen(counts: dict[str, int], **changes: Any) -> dict[str, Any]:
    return ROLLOUT | RUNNING | changes | {"counts": ROLLOUT["counts"] | counts}


class Desk:
    """Answers GET /rollouts/3 with `looks`, one after the other, the last for ever."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.looks: list[dict[str, Any] | int] = [ROLLOUT]
        self.asked: list[tuple[str, str, Any]] = []
        self.devices: list[dict[str, Any]] = []
        self._capsys = capsys

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/admin")
        is_form = request.headers.get("content-type") == "application/json"
        body = json.loads(request.content) if is_form else dict(request.url.params)
        self.asked.append((request.method, path, body))
        if path == "/rollouts/4":
            error = {"code": "NOT_FOUND", "message": "no such rollout"}
            return httpx.Response(404, json={"error": error})
        if path.endswith("/devices"):
            return httpx.Response(200, json={"items": self.devices, "next": None})
        if path == "/releases":
            return httpx.Response(201, json={"fw1": "app-1.1.0", "state": "draft"})
        if path == "/rollouts" and request.method == "GET":
            return httpx.Response(200, json={"items": self.looks, "next": None})
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, int):
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, json=look)

    def ks(self, *arguments: str) -> tuple[int, str]:
        status = run(["rollout", *arguments])
        captured = self._capsys.readouterr()
        return status, captured.out + captured.err


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    monkeypatch.setenv("ADMIN_TOKEN", "a-token-for-tests-only")
    made = Desk(capsys)
    client = httpx.AsyncClient

    def connect(**options: Any) -> httpx.AsyncClient:
        return client(transport=httpx.MockTransport(made.answer), **options)

    monkeypatch.setattr("ks_simulator.admin.httpx.AsyncClient", connect)
    return made


def test_a_rollout_is_drafted_with_its_phases_filters_and_limits(desk: Desk) -> None:
    status, shown = desk.ks(
        "create", "app-1.1.0", "--phases", "2,10,100", "--site", "berlin", "--site", "bonn",
        "--type", "ESP32_TERMINAL", "--soak", "2h", "--automatic", "--abort-share", "12.5",
        "--abort-count", "4", "--downloads-at-once", "10",
    )  # fmt: skip
    assert status == 0, shown
    assert "next: ks rollout start 3" in shown
    assert desk.asked == [
        (
            "POST",
            "/rollouts",
            {
                "fw1": "app-1.1.0", "phases": [2, 10, 100], "soak_s": 7200, "automatic": True,
                "filter": {"types": ["ESP32_TERMINAL"], "sites": ["berlin", "bonn"]},
                "abort_share": 12.5, "abort_min": 5, "abort_count": 4, "penalty": 3,
                "downloads_at_once": 10,
            },
        )
    ]  # fmt: skip


@pytest.mark.parametrize("share", ["0", "-1", "100.5", "nan", "inf"])
def test_a_share_that_the_server_refuses_is_never_sent(desk: Desk, share: str) -> None:
    status, shown = desk.ks("create", "app-1.1.0", f"--abort-share={share}")
    assert status == 1
    assert "is no percentage above 0 and up to 100" in shown
    assert "at the first failure: --abort-count 1" in shown
    assert desk.asked == []


def test_a_rollout_can_be_started_as_it_is_made(desk: Desk) -> None:
    assert desk.ks("create", "app-1.1.0", "--start")[0] == 0
    assert [path for _, path, _ in desk.asked] == ["/rollouts", "/rollouts/3/start"]


@pytest.mark.parametrize("step", ["start", "promote", "pause", "resume", "abort", "revoke"])
def test_each_step_is_one_command(desk: Desk, step: str) -> None:
    status, shown = desk.ks(step, "3", "--json")
    assert (status, json.loads(shown)) == (0, ROLLOUT)
    assert [asked[:2] for asked in desk.asked] == [("POST", f"/rollouts/3/{step}")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "4"], "no such rollout (NOT_FOUND)"),
        (["start", "0"], "ID"),
        (["create", "../x"], "is no FW1"),
        (["create", "app", "--phases", "10,2"], "do not rise"),
        (["create", "app", "--phases", "2,nan"], "do not rise"),
        (["create", "app", "--phases", "0,50"], "do not rise"),
        (["create", "app", "--phases", "2,101"], "do not rise"),
        (["create", "app", "--phases", "all"], "no list of percentages"),
        (["create", "app", "--soak", "soon"], "no duration"),
        (["create", "app", "--device", "a/b"], "is no D1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(desk: Desk, arguments: list[str], said: str) -> None:
    status, shown = desk.ks(*arguments)
    assert status in (1, 2)
    assert (shown.count("\n"), said in shown) == (1, True), shown


def test_what_is_shown_says_how_far_it_is_and_what_stops_it(desk: Desk) -> None:
    counts = {"updated": 1, "rolled_back": 1, "waiting": 18}
    desk.looks = [seen(counts, phase=1, attempts=2, failure_share=50, filter={"sites": ["a", "b"]})]
    status, shown = desk.ks("show", "3")
    assert status == 0
    assert "rollout 3: app-1.1.0 1.1.0, running" in shown
    assert "✓ 2 % -> ▸ 10 % -> 100 %" in shown
    assert "phase    2 of 3, 10 %" in shown
    assert "18 waiting, 1 updated, 1 rolled back of 20" in shown
    assert "failure share 50 % of 2 (aborts at 20 % of 5 or more), penalty after 3" in shown
    assert "filter   sites a, b" in shown
    assert "soaked, 100 % are next once all is well" in shown


def test_the_list_is_a_table(desk: Desk) -> None:
    desk.looks = [seen({"updated": 2, "failed": 1}, state="aborted", reason="why \x1b[2J")]
    status, shown = desk.ks("list")
    assert status == 0
    header, row = shown.splitlines()
    assert " ".join(header.split()) == "id release version state phase devices updated bad why"
    assert " ".join(row.split()) == "3 app-1.1.0 1.1.0 aborted 1 of 3, 2 % 20 2 1 why \ufffd[2J"
    desk.looks = []
    assert desk.ks("list") == (0, "no rollouts\n")


def test_devices_can_be_asked_for_by_state(desk: Desk) -> None:
    desk.devices = [
        {
            "d1": "t-1", "bucket": 17, "in_phase": True, "failures": 1, "state": "offline",
            "last_state": "offered", "detail": "ROLLED_BACK crash", "log1": "l1", "site": None,
            "fw2": "1.0.0", "from_fw2": "1.0.0", "offered": "2026-11-20T10:00:00.000Z",
            "changed": "2026-11-20T10:00:00.000Z", "last_seen": "2026-11-20T10:00:00.000Z",
        }
    ]  # fmt: skip
    status, shown = desk.ks("devices", "3", "--state", "offline")
    assert status == 0
    assert "t-1" in shown
    assert "offline (offered)" in shown
    assert "ROLLED_BACK crash" in shown
    assert desk.asked[0][2]["state"] == "offline"


def test_watching_tells_changes_alone_and_fails_when_it_is_aborted(desk: Desk) -> None:
    bad = seen({"rolled_back": 2}, state="aborted", reason="failure share", failure_share=100)
    first = seen({"offered": 2})
    desk.looks = [first, first, seen({"offered": 1, "rolled_back": 1}), bad]
    status, shown = desk.ks("watch", "3", "--interval", "0.1")
    assert status == 1
    assert [" offered" in line for line in shown.splitlines()] == [True, True, False]
    assert "aborted: failure share" in shown.splitlines()[-1]


def test_a_server_that_goes_away_is_waited_for(desk: Desk) -> None:
    done = seen({"updated": 20, "waiting": 0}, state="done")
    desk.looks = [seen({"offered": 2}), 0, 0, done]
    status, shown = desk.ks("watch", "3", "--interval", "0.1", "--json")
    assert status == 0
    assert shown.count("does not answer") == 1
    looks = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
    assert [look["state"] for look in looks] == ["running", "done"]


def test_on_a_terminal_there_is_a_picture_of_phases_states_and_trouble(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_watch, "is_watched", lambda: True)
    drawn: list[str] = []
    draw: Callable[..., Any] = rollout_view.picture

    def picture(*given: Any) -> Any:
        from rich.console import Console

        console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        shown = draw(*given)
        console.print(shown)
        console.file.close()
        drawn.append(console.export_text())
        return shown

    monkeypatch.setattr(rollout_watch, "picture", picture)
    desk.devices = [
        {"d1": f"t-{n}", "bucket": n, "state": "failed", "detail": "HASH"} for n in range(10)
    ]
    going = seen({"offered": 2, "failed": 10}, attempts=12, failure_share=83.3, automatic=False)
    desk.looks = [going, seen({"updated": 20}, state="done", phase=2)]
    status, shown = desk.ks("watch", "3", "--interval", "0.1")
    assert status == 0, shown
    assert "▸ 2 % (buckets 0-199)   10 %   100 %" in drawn[0]
    assert "failure share 83.3 % of 12 (aborts" in drawn[0]
    assert "promotion by hand, then 10 % are next" in drawn[0]
    assert "t-7 (bucket 7) failed: HASH" in drawn[0]
    assert "t-8" not in drawn[0]
    assert "and 2 more" in drawn[0]
    assert "rollout 3: app-1.1.0 1.1.0, done" in shown


def test_a_release_on_disk_is_uploaded_and_signed_but_not_published(
    desk: Desk, tmp_path: Path
) -> None:
    keys = RoleKeys.make()
    files = {"main.py": b"def main(root, slot):\n    return None\n"}
    release = build(files, version="1.1.0", counter=1)
    folder = tmp_path / "app-1.1.0"
    write_release(release, folder)
    status, shown = desk.ks("create", "app-1.1.0", "--upload", str(folder))
    assert (status, desk.asked) == (1, [])
    assert "sign" in shown
    release = release.signed(keys.release)
    write_release(release, tmp_path / "signed")
    status, shown = desk.ks("create", "app-1.2.0", "--upload", str(tmp_path / "signed"))
    assert (status, "holds app-1.1.0, not app-1.2.0" in shown) == (1, True)
    status, shown = desk.ks("create", "app-1.1.0", "--upload", str(tmp_path / "signed"))
    assert status == 0, shown
    asked = [path for _, path, _ in desk.asked]
    assert asked == ["/releases", "/releases/app-1.1.0/sign", "/rollouts"]

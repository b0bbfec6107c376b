"""`ks tokens` and `ks whitelist` against a real server: how terminals come to be admitted."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerProcess, server_settings
from ks_tools.cli import run

HOUR_MS = 3_600_000
Ks = Callable[..., Any]


@pytest.fixture
async def ks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Ks]:
    monkeypatch.chdir(tmp_path)
    server = ServerProcess(server_settings(tmp_path / "server", RoleKeys.make()))
    monkeypatch.setenv("ADMIN_TOKEN", server.admin_token)
    async with server.running():

        async def call(*arguments: str, status: int = 0) -> str:
            line = [*arguments, "--server", server.url]
            ended = await asyncio.to_thread(run, line)
            captured = capsys.readouterr()
            assert ended == status, captured.out + captured.err
            return captured.out + captured.err

        yield call


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


def entry(number: int, **fields: Any) -> str:
    return json.dumps({"d1": f"ks-{number}", "public_key": key(number), **fields}) + "\n"


async def test_tokens_are_made_once_listed_by_hash_and_deleted(ks: Ks, tmp_path: Path) -> None:
    await ks("tokens", "create", "otrt.txt", "--count", "3", "--hours", "2")
    file = tmp_path / "otrt.txt"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    made = file.read_text("ascii").split()
    ids = {hashlib.sha256(token.encode()).hexdigest() for token in made}
    listed = json.loads(await ks("tokens", "list", "--json"))
    assert ({each["id"] for each in listed}, len(ids)) == (ids, 3)
    shown = await ks("tokens", "list")
    assert not any(token in shown for token in made)
    gone = sorted(ids)[0]
    await ks("tokens", "delete", gone[:12])
    assert gone not in await ks("tokens", "list", "--json")
    assert "0 tokens" in await ks("tokens", "delete", gone, status=1)
    assert "0 tokens" in await ks("tokens", "delete", "", status=1)


async def test_a_file_of_tokens_is_never_written_over_nor_left_empty(
    ks: Ks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "otrt.txt").write_text("precious", "ascii")
    assert "otrt.txt" in await ks("tokens", "create", "otrt.txt", status=1)
    assert (tmp_path / "otrt.txt").read_text("ascii") == "precious"
    assert "one token" in await ks(
        "tokens", "create", "b.txt", "--device", "ks-1", "--count", "2", status=1
    )
    monkeypatch.setenv("ADMIN_TOKEN", "another-token-that-is-not-the-server-s")
    await ks("tokens", "create", "c.txt", status=1)
    assert sorted(os.listdir(tmp_path)) == ["otrt.txt", "server"]


async def test_a_batch_made_without_a_link_is_imported_and_again_changes_nothing(
    ks: Ks, tmp_path: Path
) -> None:
    expires = time.time_ns() // 1_000_000 + HOUR_MS
    token = hashlib.sha256(b"token of ks-2").hexdigest()
    file = tmp_path / "whitelist.jsonl"
    file.write_text(
        entry(1, note="factory A 000001")
        + entry(2, otrt_hash=token, otrt_expires=expires)
        + entry(3, re_enrol=True),
        "utf-8",
    )
    first = json.loads(await ks("whitelist", "import", str(file), "--json"))
    assert (first["added"], first["tokens_added"], first["re_enrolled"]) == (3, 1, 0)
    again = json.loads(await ks("whitelist", "import", str(file), "--json"))
    assert (again["added"], again["unchanged"], again["tokens_added"]) == (0, 3, 0)
    [stored] = json.loads(await ks("tokens", "list", "--json"))
    assert (stored["id"], stored["d1"]) == (token, "ks-2")
    assert "ks-1" in await ks("whitelist", "list")
    await ks("whitelist", "remove", "ks-1")
    await ks("whitelist", "add", "ks-9", key(9))
    listed = json.loads(await ks("whitelist", "list", "--json"))
    assert [each["d1"] for each in listed] == ["ks-2", "ks-3", "ks-9"]


async def test_tokens_of_another_device_or_good_for_ever_are_refused(
    ks: Ks, tmp_path: Path
) -> None:
    now_ms = time.time_ns() // 1_000_000
    token = hashlib.sha256(b"token").hexdigest()
    file = tmp_path / "whitelist.jsonl"
    file.write_text(entry(1, otrt_hash=token, otrt_expires=now_ms + HOUR_MS), "utf-8")
    await ks("whitelist", "import", str(file))
    file.write_text(entry(2, otrt_hash=token, otrt_expires=now_ms + HOUR_MS), "utf-8")
    assert "another device" in await ks("whitelist", "import", str(file), status=1)
    other = hashlib.sha256(b"other").hexdigest()
    file.write_text(entry(2, otrt_hash=other, otrt_expires=now_ms + 9999 * HOUR_MS), "utf-8")
    assert "INVALID" in await ks("whitelist", "import", str(file), status=1)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no object"),
        ('{"d1": "ks-1"}', "no object"),
        ('{"d1": "../x", "public_key": ""}', "is no D1"),
        ('{"d1": 7, "public_key": ""}', "d1 is not known"),
        ('{"d1": "a", "public_key": "", "seed": ""}', "seed is not known"),
        ('{"d1": "a", "public_key": "", "otrt_hash": ""}', "belong together"),
    ],
)
def test_a_line_that_is_none_is_named_before_a_server_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    file = tmp_path / "whitelist.jsonl"
    file.write_text(entry(1) + line + "\n", "utf-8")
    assert run(["whitelist", "import", str(file)]) == 1
    shown = capsys.readouterr().err
    assert said in shown and (":2:" in shown or "is no D1" in shown)

"""Whatever is sent to the admin API, it answers with a result or a named error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_server.admin import create_api
from ks_server.admin.errors import STATUS

from .admin_support import Admin, open_admin

OPERATIONS = sorted(
    (method.upper(), path)
    for path, operations in create_api().openapi()["paths"].items()
    for method in operations
)

text = st.text(max_size=80)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
NAMES = (
    *("d1", "public_key", "note", "entries", "count", "valid_hours", "name", "payload"),
    *("priority", "expires", "signature", "reason", "limit", "after", "state", "search"),
    *("d2", "seen_before", "cmd1", "fw1", "subject", "site", "time_zone", "allow_list", "zone"),
    *("external_id", "cards", "active_from", "active_to", "credential", "employee_id", "e1"),
    *("person", "jid", "day", "from", "to", "format", "kind", "open", "first_seq", "last_seq"),
    *("phases", "filter", "soak_s", "automatic", "abort_share", "abort_min", "abort_count"),
    *("penalty", "downloads_at_once", "types", "models", "sites", "versions", "devices"),
)
names = st.sampled_from(NAMES)
forms = st.dictionaries(names, values | st.sampled_from(["dev_1", "WIPE", "RESTART"]), max_size=5)
bodies = st.binary(max_size=300) | forms.map(json.dumps).map(str.encode)
queries = st.dictionaries(names, text, max_size=3)


class Runner:
    """An admin API that lives through many examples."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.Runner()
        self._opened = open_admin(folder)
        self.admin: Admin = self._loop.run(self._opened.__aenter__())
        self._loop.run(self.admin.add_device("dev_1"))

    def send(self, request: httpx.Request) -> httpx.Response:
        return self._loop.run(self.admin.client.send(request))

    def close(self) -> None:
        self._loop.run(self._opened.__aexit__(None, None, None))
        self._loop.close()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    opened = Runner(tmp_path_factory.mktemp("admin"))
    yield opened
    opened.close()


@settings(deadline=None)
@given(
    operation=st.sampled_from(OPERATIONS),
    subject=st.sampled_from(["dev_1", "1", "0" * 64]) | text,
    query=queries,
    body=bodies,
)
def test_any_request_gets_a_result_or_a_named_error(
    runner: Runner,
    operation: tuple[str, str],
    subject: str,
    query: dict[str, str],
    body: bytes,
) -> None:
    method, template = operation
    start, brace, rest = template.partition("{")
    path = start + (quote(subject, safe="") + rest.partition("}")[2] if brace else "")
    request = runner.admin.client.build_request(
        method,
        f"http://server{path}",
        params=query,
        content=body,
        headers={"Content-Type": "application/json"},
    )
    answer = runner.send(request)
    assert answer.status_code < 500, (answer.text, path)
    if answer.is_error:
        error: dict[str, Any] = answer.json()["error"]
        assert STATUS[error["code"]] == answer.status_code
        assert error["message"]

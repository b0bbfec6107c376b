"""Who may use the admin API, and the form in which it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from ks_server.admin import create_admin, create_api
from ks_server.admin.errors import STATUS
from ks_server.admin.guard import BODY_MAX_BYTES
from ks_server.context import open_context

from .admin_support import TOKEN, Admin, admin_settings, open_admin

PATHS = ("/overview", "/devices", "/openapi.json", "/nowhere", "")


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer " + TOKEN[:-1],
        "Bearer " + TOKEN + "x",
        "Bearer " + TOKEN.upper(),
        "Basic " + TOKEN,
        TOKEN,
    ],
)
async def test_nothing_is_answered_without_the_token(admin: Admin, value: str | None) -> None:
    del admin.client.headers["Authorization"]
    headers = {} if value is None else {"Authorization": value}
    for path in PATHS:
        await admin.refused("GET", path, status=401, code="UNAUTHORIZED", headers=headers)
    answer = await admin.client.get("/api/admin/devices", headers=headers)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_two_tokens_are_no_token(admin: Admin) -> None:
    del admin.client.headers["Authorization"]
    headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other")]
    answer = await admin.client.get("/api/admin/devices", headers=headers)
    assert answer.status_code == 401


async def test_the_word_bearer_may_be_written_small(admin: Admin) -> None:
    await admin.call("GET", "/devices", headers={"Authorization": f"bearer {TOKEN}"})


async def test_everything_is_refused_while_no_token_is_configured(tmp_path: Path) -> None:
    settings = admin_settings(tmp_path, admin_token="")
    async with open_context(settings) as context:
        transport = httpx.ASGITransport(create_admin(context))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            for token in ("", "x", TOKEN):
                for path in PATHS:
                    answer = await client.get(
                        "/api/admin" + path, headers={"Authorization": f"Bearer {token}"}
                    )
                    assert answer.status_code == 403
                    assert answer.json()["error"]["code"] == "ADMIN_DISABLED"


async def test_the_body_of_a_stranger_is_never_read(tmp_path: Path) -> None:
    async def receive() -> dict[str, object]:
        raise AssertionError("read")

    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    async with open_context(admin_settings(tmp_path)) as context:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/admin/releases",
            "headers": [],
            "query_string": b"",
        }
        await create_admin(context)(scope, receive, send)
    assert sent[0]["status"] == 401


async def test_unknown_paths_and_methods_have_codes_too(admin: Admin) -> None:
    await admin.refused("GET", "/nowhere", status=404, code="NOT_FOUND")
    await admin.refused("PATCH", "/devices", status=405, code="METHOD_NOT_ALLOWED")


async def test_invalid_input_is_named_by_field_and_not_repeated(admin: Admin) -> None:
    message = await admin.refused(
        "PUT",
        "/whitelist/dev_1",
        {"public_key": "my-secret-mistake", "colour": "red"},
        status=422,
        code="INVALID",
    )
    assert "public_key" in message
    assert "colour" in message
    assert "my-secret-mistake" not in message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"\xff"', b'{"count": 1e999}'])
async def test_a_body_that_is_no_form_is_invalid(admin: Admin, content: bytes) -> None:
    await admin.refused("POST", "/tokens", status=422, code="INVALID", content=content)


async def test_a_lone_surrogate_is_invalid(admin: Admin) -> None:
    body = b'{"entries": [{"d1": "dev_1", "public_key": "a", "note": "\\ud800"}]}'
    headers = {"Content-Type": "application/json"}
    await admin.refused(
        "POST", "/whitelist/bulk", status=422, code="INVALID", content=body, headers=headers
    )


async def test_a_body_beyond_the_limit_is_refused(admin: Admin) -> None:
    content = b"[" + b" " * BODY_MAX_BYTES
    headers = {"Content-Type": "application/json"}
    await admin.refused(
        "POST", "/whitelist/bulk", status=413, code="TOO_LARGE", content=content, headers=headers
    )


async def test_a_crash_is_an_answer_and_not_told_in_it(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_arguments: object) -> None:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(admin.context.writer, "run", crash)
    message = await admin.refused("POST", "/tokens", {}, status=500, code="INTERNAL")
    assert "secret" not in message


async def test_a_database_that_fails_is_unavailable(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.context.writer, "_closed", True)
    answer = await admin.client.post("/api/admin/tokens", json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_the_description_of_the_api_names_scheme_and_every_operation(admin: Admin) -> None:
    described = await admin.call("GET", "/openapi.json")
    scheme = described["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    assert len(operations) > 25
    assert all(operation["security"] == [{"token": []}] for operation in operations)
    assert all(operation["description"] for operation in operations)
    assert described == create_api().openapi()


async def test_pages_are_bounded(admin: Admin) -> None:
    for limit in (0, 201, "x"):
        await admin.refused("GET", "/devices", status=422, code="INVALID", params={"limit": limit})


async def test_a_cursor_is_of_our_own_making_or_refused(admin: Admin) -> None:
    cursors = ["x", "bnVsbA==", "W10=", "WzFd", "WyJhIiwgImIiXQ==", "\u00e9", "W251bGxd", "W10"]
    for cursor in cursors:
        await admin.refused(
            "GET", "/devices", status=400, code="BAD_CURSOR", params={"after": cursor}
        )


async def test_a_number_beyond_the_databases_is_no_crash(admin: Admin) -> None:
    huge = "WzE4NDQ2NzQ0MDczNzA5NTUxNjE2XQ=="  # [2**64]
    await admin.refused("GET", "/logs", status=400, code="BAD_CURSOR", params={"after": huge})
    await admin.refused("GET", f"/logs/{2**64}", status=422, code="INVALID")
    await admin.refused(
        "GET", "/devices", status=422, code="INVALID", params={"seen_before": 2**64}
    )


def test_every_code_has_one_status() -> None:
    assert all(400 <= status < 600 for status in STATUS.values())

"""What watches the server gets the truth, and the application answers for every path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from ks_server.app import Application, create_app
from ks_server.context import Context
from ks_server.keys import ConfigurationError
from ks_server.nonces import READY_BEHIND_MS
from ks_server.settings import FixedSettings

from .admin_support import NOW_MS, TOKEN, admin_settings

READY = {"database": "ok", "migrations": "ok", "clock": "ok", "writer": "ok"}


@dataclass
class Running:
    client: httpx.AsyncClient
    context: Context
    clock: dict[str, int]

    async def get(self, path: str, status: int = 200) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def opened(data: Path, now_ms: int = NOW_MS) -> AsyncIterator[Running]:
    clock = {"ms": now_ms}
    app = create_app(admin_settings(data), now_ms=lambda: clock["ms"])
    async with app.running() as context:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            yield Running(client, context, clock)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with opened(tmp_path) as server:
        yield server


async def test_a_server_at_its_work_is_alive_ready_and_healthy(running: Running) -> None:
    assert await running.get("/healthz") == {"status": "alive"}
    assert await running.get("/health") == {"status": "ok", "database": "ok"}
    assert await running.get("/readyz") == {"status": "ready", "checks": READY}


async def test_answers_about_health_are_not_kept_by_caches(running: Running) -> None:
    for path in ("/health", "/healthz", "/readyz"):
        answer = await running.client.get(path)
        assert answer.headers["cache-control"] == "no-store"


def destroy_database(folder: Path) -> None:
    for file in folder.glob("server.sqlite3*"):
        file.unlink()
    (folder / "server.sqlite3").mkdir()


async def test_without_its_database_it_lives_but_is_neither_ready_nor_healthy(
    running: Running, tmp_path: Path
) -> None:
    await running.context.engine.dispose()
    destroy_database(tmp_path)
    assert await running.get("/healthz") == {"status": "alive"}
    assert await running.get("/health", 503) == {"status": "failing", "database": "unreachable"}
    ready = await running.get("/readyz", 503)
    assert ready["checks"] == {**READY, "database": "unreachable", "migrations": "unknown"}


async def test_a_database_behind_its_migrations_is_not_ready(running: Running) -> None:
    async with running.context.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'older'"))
    ready = await running.get("/readyz", 503)
    assert ready["checks"] == {**READY, "migrations": "behind"}
    assert await running.get("/health") == {"status": "ok", "database": "ok"}


async def test_a_clock_far_behind_what_was_stored_is_not_ready(running: Running) -> None:
    running.clock["ms"] = NOW_MS - READY_BEHIND_MS
    assert (await running.get("/readyz"))["status"] == "ready"
    running.clock["ms"] -= 1
    ready = await running.get("/readyz", 503)
    assert ready["checks"] == {**READY, "clock": "behind"}


async def test_a_clock_behind_is_noticed_after_a_restart_too(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    async with opened(tmp_path, NOW_MS - READY_BEHIND_MS - 1) as server:
        assert (await server.get("/readyz", 503))["checks"]["clock"] == "behind"


async def test_metrics_are_prometheus_text_and_of_this_app_alone(
    running: Running, tmp_path: Path
) -> None:
    await running.client.get("/healthz")
    async with opened(tmp_path / "other") as other:
        answer = await other.client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'ks_http_requests_total{area="health"' not in answer.text
    answer = await running.client.get("/metrics")
    assert 'ks_http_requests_total{area="health",status="200"} 1.0' in answer.text


async def test_a_refusal_before_the_signature_is_counted_without_a_word_of_the_stranger(
    running: Running,
) -> None:
    await running.client.post("/api/devices/heartbeat", content=b"garbage-of-a-stranger")
    answer = await running.client.get("/metrics")
    line = 'ks_device_refusals_total{code="MALFORMED",op="heartbeat",signed="false"} 1.0'
    assert line in answer.text
    assert "stranger" not in answer.text


async def test_only_reading_is_possible(running: Running) -> None:
    answer = await running.client.post("/readyz")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_other_paths_are_not_found(running: Running) -> None:
    for path in ("/", "/api", "/api/devicesx", "/health/", "/favicon.ico"):
        answer = await running.client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND"), path


async def test_the_device_api_answers_in_messages_and_the_admin_api_in_json(
    running: Running,
) -> None:
    answer = await running.client.get("/api/devices/nowhere")
    assert answer.text.startswith("ERR1:NOT_FOUND")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = await running.client.get("/api/admin/overview", headers=headers)
    assert answer.json()["devices"] == {}


async def test_the_lifespan_of_asgi_opens_and_closes_everything(tmp_path: Path) -> None:
    app = create_app(admin_settings(tmp_path))
    inbox: list[dict[str, Any]] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_server_without_a_key_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no server key"):
        async with Application(FixedSettings(data=tmp_path)).running():
            pass
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await Application(FixedSettings(data=tmp_path))({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]


async def test_an_open_server_warns_at_its_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = admin_settings(
        tmp_path, registration_mode="open", admin_token="", release_public_keys=""
    )
    async with create_app(settings).running():
        pass
    for warning in ("registration_open", "admin_api_off", "no_release_keys"):
        assert warning in caplog.text

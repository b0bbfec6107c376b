"""What watches the server: `/health`, `/healthz`, `/readyz` and `/metrics`. Not device calls.

/healthz   the process answers: restart it when it does not
/readyz    it can do its work: send it requests only then
/health    a summary for people and simple monitors
/metrics   Prometheus text
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .context import Context
from .db.migrate import configuration
from .metrics import CONTENT_TYPE
from .nonces import READY_BEHIND_MS

OK: Final = "ok"

Handler = Callable[[Request], Awaitable[Response]]


class Health:
    """Answers by the state of one context; holds no state but the newest migration's name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._heads: set[str] | None = None
        self.routes: dict[str, Handler] = {
            "/health": self.health,
            "/healthz": self.alive,
            "/readyz": self.ready,
            "/metrics": self.metrics,
        }

    async def alive(self, _request: Request) -> Response:
        """Liveness: an answer is enough."""
        return _json({"status": "alive"}, True)

    async def health(self, _request: Request) -> Response:
        """Status and database; 503 when the database cannot be reached."""
        database = await self._database()
        reachable = database != "unreachable"
        return _json(
            {"status": OK if reachable else "failing", "database": OK if reachable else database},
            reachable,
        )

    async def ready(self, _request: Request) -> Response:
        """Readiness; 503 and the failing check otherwise. A clock more than 60 s behind the
        highest time ever stored would accept nonces again (PROTOCOL section 3). The cleaning
        writes once a minute, so a writer that works again is noticed without requests."""
        database = await self._database()
        behind = self._context.fence.behind_ms() > READY_BEHIND_MS
        checks = {
            "database": "unreachable" if database == "unreachable" else OK,
            "migrations": database if database in (OK, "behind") else "unknown",
            "clock": "behind" if behind else OK,
            "writer": "failing" if self._context.writer.is_failing else OK,
        }
        good = all(state == OK for state in checks.values())
        return _json({"status": "ready" if good else "not ready", "checks": checks}, good)

    async def metrics(self, _request: Request) -> Response:
        """Prometheus text."""
        return Response(self._context.metrics.render(), media_type=CONTENT_TYPE)

    async def _database(self) -> str:
        """`ok`, `behind` (reachable, but migrations are missing) or `unreachable`."""
        try:
            async with self._context.engine.connect() as connection:
                if self._heads is None:
                    self._heads = await connection.run_sync(_newest)
                result = await connection.execute(text("SELECT version_num FROM alembic_version"))
                versions = {str(version) for version in result.scalars()}
        except (SQLAlchemyError, OSError):
            return "unreachable"
        return OK if versions == self._heads else "behind"


def _newest(connection: Connection) -> set[str]:
    return set(ScriptDirectory.from_config(configuration(connection)).get_heads())


def _json(content: dict[str, object], good: bool) -> JSONResponse:
    return JSONResponse(content, 200 if good else 503, {"Cache-Control": "no-store"})

"""Brings the database to its newest form with Alembic, at every start."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

_SCRIPTS: Final = Path(__file__).parent.parent / "migrations"


def configuration(connection: Connection) -> Config:
    """Alembic's configuration for our scripts on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


async def upgrade(engine: AsyncEngine) -> None:
    """Run the migrations that the database has not seen."""
    async with engine.connect() as connection:
        writing = await connection.execution_options(writes=True)
        async with writing.begin():
            await writing.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    command.upgrade(configuration(connection), "head")

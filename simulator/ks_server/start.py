"""What cannot start, said in a way that an operator can act upon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic.util import CommandError
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from .keys import ConfigurationError, public_keys
from .log import redactor
from .settings import Settings


def check_settings(settings: Settings) -> None:
    """What would otherwise show only when somebody needs it. Raises ConfigurationError, OSError."""
    public_keys("RELEASE_PUBLIC_KEYS", settings.release_public_keys)
    public_keys("ADMIN_PUBLIC_KEYS", settings.admin_public_keys)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Failures of folder and database become ConfigurationError, in one line without secrets."""
    try:
        yield
    except (ArgumentError, ModuleNotFoundError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"DATABASE_URL names no database that this server can use: {redactor.text(reason)}"
        ) from None
    except DBAPIError as error:
        raise ConfigurationError(_of_database(settings, error.orig)) from None
    except (SQLAlchemyError, CommandError) as error:
        raise ConfigurationError(_of_database(settings, error)) from None
    except OSError as error:
        if settings.database_url and error.filename is None:  # of a socket
            raise ConfigurationError(_of_database(settings, error)) from None
        where = error.filename or settings.data
        raise ConfigurationError(f"{where} cannot be used: {error.strerror or error}") from None


def _of_database(settings: Settings, error: BaseException | None) -> str:
    name = "of DATABASE_URL" if settings.database_url else f"in {settings.data}"
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"the database {name} cannot be used: {redactor.text(reason)}"

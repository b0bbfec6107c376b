"""Structured logs: one JSON object a line on stderr, with the request's id and without secrets.

`get_logger` may be called at import; nothing is written anywhere until `configure` has run, as it
should be for a package that others use as a library.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Final, TextIO
from urllib.parse import unquote, urlsplit

import structlog
from structlog.stdlib import ProcessorFormatter

from ks_agent.schema import REQUESTS

from .keys import ConfigurationError
from .settings import Settings

REDACTED: Final = "[redacted]"
MIN_SECRET_CHARACTERS: Final = 8

# fields and tokens whose value is never written, whatever it is
_SECRET_NAMES: Final = frozenset(
    (
        *("authorization", "cookie", "password", "passwd", "secret", "token", "seed"),
        *("private_key", "private_keys", "query", "query_string"),
        # tokens of the protocol
        *("otrt", "cmd3", "m1", "wifi_password"),
        # settings
        *("server_private_key", "server_previous_private_keys", "admin_token"),
        *("download_secret", "sentry_dsn", "event_webhook_url", "database_url"),
    )
)
_PATTERNS: Final = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)",
                re.DOTALL), REDACTED),
    # a value of the protocol ends at a bar: it may hold blanks and quotes itself
    (re.compile(r"\b(OTRT|CMD3|M1|WIFI_PASSWORD)(:|%3A)[^|\r\n]*", re.IGNORECASE),
     rf"\1\2{REDACTED}"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"\b(toon|token)=[^&\s\"']+", re.IGNORECASE), rf"\1={REDACTED}"),
    (re.compile(r"(\w+://[^/\s:@]*:)[^@\s/]+@"), rf"\1{REDACTED}@"),
)  # fmt: skip
# A text without any of these words holds none of the patterns above.
_WORDS: Final = (
    "-----BEGIN", "OTRT", "CMD3", "M1", "WIFI_PASSWORD", "Bearer", "Basic", "toon", "token", "://",
)  # fmt: skip

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request being answered; it stands in every line that is logged for it."""


class Redactor:
    """A structlog processor that takes secrets out of an event: known values wherever they stand
    in a text, fields with a secret's name, and what looks like a secret of the protocol."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._suspicious = _any_of(_WORDS)

    def add(self, secrets: Iterable[str]) -> None:
        """Never let these texts through. Texts under 8 characters are too common to look for."""
        long_enough = {text for text in secrets if len(text) >= MIN_SECRET_CHARACTERS}
        # the longest first: a secret may hold another
        self._secrets = tuple(sorted(long_enough.union(self._secrets), key=len, reverse=True))
        self._suspicious = _any_of((*_WORDS, *self._secrets))

    def __call__(
        self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        return {key: self._field(key, value) for key, value in event_dict.items()}

    def text(self, text: str) -> str:
        """The text without what must not be seen."""
        if self._suspicious.search(text) is None:
            return text
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, REDACTED)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def _field(self, key: object, value: object) -> object:
        if isinstance(key, str) and key.lower() in _SECRET_NAMES:
            return REDACTED
        return self._value(value)

    def _value(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"  # raw keys and bodies are bytes
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._field(key, item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(item) for item in value]
        return self.text(str(value))


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE)


redactor = Redactor()
"""The process's redactor: apps add their secrets to it, and it forgets none."""

_root = logging.getLogger("ks_server")
_root.addHandler(logging.NullHandler())


def _add_request_id(
    logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if number := request_id.get():
        event_dict["request_id"] = number
    return event_dict


def get_logger(name: str = "ks_server") -> structlog.stdlib.BoundLogger:
    """A logger below `ks_server`; the event's name first, facts as keyword arguments."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            _add_request_id,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            # here as well as in the formatter: an embedding program may have handlers of its own
            structlog.processors.format_exc_info,
            redactor,
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return logger


class AccessLog:
    """One line for every request, made without the detours of the others: it is on the path of
    every heartbeat. The same form, the same redaction.

    The lines of one turn of the event loop are one record, written in the next turn.
    """

    def __init__(self) -> None:
        self._logger = logging.getLogger("ks_server.access")
        self._tail = f'"level": "info", "logger": "{self._logger.name}", "time": "'
        self._lines: list[str] = []

    def write(self, method: str, path: str, status: int, ms: float, source: str) -> None:
        """`path` is without the query string: of a device's GET that is its signed message."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._flush)
        what = _DEVICE_REQUESTS.get((method, path)) or _method_and_path(method, path)
        self._lines.append(
            f'{{{what}, "status": {status}, "ms": {ms:.2f}, "source": {_quoted(source)}, '
            f'"event": "request", "request_id": {_quoted(request_id.get())}, '
            f'{self._tail}{datetime.now(UTC).isoformat()[:-6]}Z"}}'
        )

    def _flush(self) -> None:
        text = "\n".join(self._lines)
        self._lines.clear()
        record = logging.LogRecord(self._logger.name, logging.INFO, "", 0, text, None, None)
        record.finished = True
        self._logger.handle(record)


def _method_and_path(method: str, path: str) -> str:
    return f'"method": {_quoted(method)}, "path": {_quoted(redactor.text(path))}'


_DEVICE_REQUESTS: Final = {
    (request.method, request.path): _method_and_path(request.method, request.path)
    for request in REQUESTS.values()
}


class _Formatter(ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "finished", False):
            return str(record.msg)
        return super().format(record)


def secrets_of(settings: Settings) -> list[str]:
    """Every secret value of the configuration, also the parts and lines it may appear as."""
    values = [
        settings.server_private_key,
        settings.server_previous_private_keys,
        settings.admin_token,
        settings.download_secret,
        settings.sentry_dsn,
        settings.event_webhook_url,
    ]
    texts = [value.get_secret_value() for value in values] + [settings.database_url]
    password = urlsplit(settings.database_url).password or ""
    parts: list[str] = [password, unquote(password)]
    for text in texts:
        parts.append(text)
        for part in re.split(r"[\n,]|\\n", text):
            if not part.startswith("-----"):
                parts.append(part.strip())
    return [part for part in parts if part]


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Send the logs of this process, the libraries' too, as JSON lines to `stream` (stderr)."""
    redactor.add(secrets_of(settings))
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        _Formatter(
            foreign_pre_chain=[
                _add_request_id,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            ],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redactor,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    _root.setLevel(settings.log_level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        foreign = logging.getLogger(name)
        foreign.handlers.clear()
        foreign.propagate = True
    # start and stop are told in our own words
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)


def start_sentry(settings: Settings) -> None:
    """Report crashes to SENTRY_DSN when it is set; sentry-sdk is imported only then.

    Raises ConfigurationError.
    """
    dsn = settings.sentry_dsn.get_secret_value()
    if not dsn:
        return
    try:
        import sentry_sdk  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ConfigurationError("SENTRY_DSN is set, but sentry-sdk is not installed") from None

    def scrub(event: Any, hint: Any) -> Any:
        return redactor(None, "", event)

    try:
        sentry_sdk.init(
            dsn=dsn,
            include_local_variables=False,
            max_request_body_size="never",
            before_send=scrub,
        )
    except ValueError:
        raise ConfigurationError("SENTRY_DSN is not the address of a project") from None

"""Configuration of the server: one class, read from the environment and from `.env`.

Every field is an environment variable of the same name in capitals (`data` alone is `KS_DATA`).
`.env.example` lists them all with their defaults. Secrets are `SecretStr`, so that neither a
`repr` nor a validation error shows them.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from limits import parse as parse_limit
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

DAY_MS = 86_400_000

RateLimit = str
"""`COUNT/PERIOD` as the library `limits` reads it ("100/hour"); empty means no limit."""

Names = Annotated[tuple[str, ...], NoDecode]
"""A comma-separated list."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Settings(BaseSettings):
    """Everything an operator can choose. Units are in the names: `_s`, `_days`, `_bytes`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    def __init__(self, **values: Any) -> None:
        """`values` by field name, as text or as what they become; pydantic's `_env_file` too."""
        super().__init__(**values)

    # where it listens
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: Names = ()
    shutdown_grace_s: int = Field(30, ge=1, le=3600)

    # what it keeps
    data: Path = Field(Path(".ks"), validation_alias="KS_DATA")
    database_url: str = Field("", repr=False)
    audit_retention_days: int = Field(90, ge=1, le=3650)
    log_retention_days: int = Field(90, ge=1, le=3650)
    punch_retention_days: int = Field(0, ge=0, le=36_500)  # 0: for ever

    # keys and secrets
    server_private_key: SecretStr = SecretStr("")
    server_previous_private_keys: SecretStr = SecretStr("")
    admin_public_keys: Names = ()
    release_public_keys: Names = ()
    admin_token: SecretStr = SecretStr("")
    download_secret: SecretStr = SecretStr("")
    legacy_key_window_days: int = Field(90, ge=0, le=3650)

    # devices
    registration_mode: Literal["whitelist", "token", "open"] = "whitelist"
    heartbeat_rto_s: int = Field(60, ge=10, le=3600)
    firmware_check_rto_s: int = Field(3600, ge=10, le=3600)
    command_expiry_days: int = Field(7, ge=1, le=30)
    ota_policy_id: str = Field("default", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    download_url_valid_s: int = Field(3600, ge=60, le=86_400)
    bundle_max_bytes: int = Field(16 * 1024 * 1024, ge=1024)

    # downloads of all devices together; 0: no limit
    download_bytes_per_s: int = Field(0, ge=0)
    downloads_at_once: int = Field(0, ge=0)

    # limits of PROTOCOL section 5, each per device
    rate_limit_heartbeats: RateLimit = "100/hour"
    rate_limit_firmware_checks: RateLimit = "10/hour"
    rate_limit_command_polls: RateLimit = "120/hour"
    rate_limit_log_uploads: RateLimit = "20/hour"
    rate_limit_event_batches: RateLimit = "100/minute"
    rate_limit_registrations: RateLimit = "10/hour"
    rate_limit_repeated_registrations: RateLimit = "120/hour"
    # operations that the protocol leaves open, each per device
    rate_limit_acknowledgements: RateLimit = "600/hour"
    rate_limit_downloads: RateLimit = "1200/hour"
    rate_limit_allow_lists: RateLimit = "600/hour"
    rate_limit_rotations: RateLimit = "10/hour"
    rate_limit_time: RateLimit = "60/hour"
    # per source address, before anything is parsed; wide, as a site sits behind one address
    rate_limit_source: RateLimit = "6000/minute"

    # the single database writer
    writer_batch_max: int = Field(256, ge=1, le=10_000)
    writer_queue_max: int = Field(4096, ge=1, le=1_000_000)

    # what it tells others
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    sentry_dsn: SecretStr = SecretStr("")
    event_webhook_url: SecretStr = SecretStr("")
    event_webhook_timeout_s: float = Field(5.0, gt=0, le=60)
    event_webhook_queue_max: int = Field(1000, ge=1, le=100_000)

    @field_validator("trusted_proxies", "admin_public_keys", "release_public_keys", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("tls_cert", "tls_key", mode="before")
    @classmethod
    def _empty_path_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ipaddress.ip_network(text, strict=False)
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an absolute http or https URL")
        if parts.query or parts.fragment or parts.username:
            raise ValueError("must hold neither user, query nor fragment")
        return value.rstrip("/")

    @field_validator(
        "rate_limit_heartbeats",
        "rate_limit_firmware_checks",
        "rate_limit_command_polls",
        "rate_limit_log_uploads",
        "rate_limit_event_batches",
        "rate_limit_registrations",
        "rate_limit_repeated_registrations",
        "rate_limit_acknowledgements",
        "rate_limit_downloads",
        "rate_limit_allow_lists",
        "rate_limit_rotations",
        "rate_limit_time",
        "rate_limit_source",
    )
    @classmethod
    def _check_rate_limit(cls, value: str) -> str:
        if value:
            parse_limit(value)
        return value

    @field_validator("admin_token", "download_secret")
    @classmethod
    def _check_length(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        shortest = {"admin_token": 16, "download_secret": 32}[info.field_name or ""]
        if 0 < len(value) < shortest:
            raise ValueError(f"must have at least {shortest} characters")
        return value

    @field_validator("event_webhook_url")
    @classmethod
    def _check_webhook(cls, value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if len(value) and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be an absolute http or https URL")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _certificate_has_key(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TLS_CERT and TLS_KEY are set together or not at all")
        return self

    @property
    def base_url(self) -> str:
        """PUBLIC_URL without a trailing slash, or where the server listens when it is unset."""
        if self.public_url:
            return self.public_url
        scheme = "https" if self.tls_cert else "http"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        bracketed = f"[{host}]" if ":" in host else host
        return f"{scheme}://{bracketed}:{self.port}"

    @property
    def database(self) -> str:
        """DATABASE_URL, or SQLite in the data folder when it is unset."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data / 'server.sqlite3'}"

    @property
    def firmware_folder(self) -> Path:
        """Where the bundles of the releases lie."""
        return self.data / "firmware"

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """TRUSTED_PROXIES as networks; a bare address is a network of one."""
        return tuple(ipaddress.ip_network(text, strict=False) for text in self.trusted_proxies)


class FixedSettings(Settings):
    """Settings from the given values alone: neither environment nor `.env` (tests, demo)."""

    model_config = SettingsConfigDict(populate_by_name=True)

    # a type checker would derive the signature from the fields again
    def __init__(self, **values: Any) -> None:
        super().__init__(**values)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

"""Settings: what an operator writes is what the server gets, and `.env.example` tells it all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from ks_server.settings import FixedSettings, Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def variable_of(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    return str(alias) if alias else field.upper()


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(variable_of(field), raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_example_names_every_setting_once_and_nothing_else() -> None:
    names = [
        line.partition("=")[0]
        for line in EXAMPLE.read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert sorted(names) == sorted(variable_of(field) for field in Settings.model_fields)


def test_the_example_is_the_defaults() -> None:
    assert Settings(_env_file=EXAMPLE) == Settings(_env_file=None)


def test_every_setting_of_the_example_stands_below_a_comment_or_a_sibling() -> None:
    previous = ""
    for line in EXAMPLE.read_text().splitlines():
        if line and not line.startswith("#"):
            assert previous, line
        previous = line


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=1\nHOST=::1\nUNRELATED=1\n")
    monkeypatch.setenv("PORT", "2")
    settings = Settings()
    assert (settings.port, settings.host) == (2, "::1")


def test_the_data_folder_is_read_from_its_own_variable_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATA", "/somewhere")
    assert Settings().data == Path(".ks")
    monkeypatch.setenv("KS_DATA", "/here")
    assert Settings().data == Path("/here")


def test_fixed_settings_see_neither_environment_nor_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=1\n")
    monkeypatch.setenv("HOST", "::1")
    settings = FixedSettings(data=Path("x"))
    assert (settings.port, settings.host, settings.data) == (8080, "127.0.0.1", Path("x"))


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8, ::1,")
    settings = Settings()
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
    assert [str(network) for network in settings.proxy_networks] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8080"),
        ({"host": "::"}, "http://[::1]:8080"),
        ({"tls_cert": "c", "tls_key": "k", "host": "a"}, "https://a:8080"),
        ({"public_url": "https://b.example/ks/"}, "https://b.example/ks"),
    ],
)
def test_the_base_url_is_the_public_one_or_where_the_server_listens(
    values: dict[str, Any], url: str
) -> None:
    assert FixedSettings(**values).base_url == url


@pytest.mark.parametrize(
    "values",
    [
        {"tls_cert": "c"},
        {"tls_key": "k"},
        {"public_url": "terminals.example"},
        {"public_url": "ftp://a"},
        {"public_url": "https://a?x=1"},
        {"public_url": "https://me:pw@a"},
        {"trusted_proxies": "everybody"},
        {"rate_limit_heartbeats": "many"},
        {"registration_mode": "closed"},
        {"port": 65536},
        {"admin_token": "short"},
        {"download_secret": "short"},
        {"event_webhook_url": "example.org"},
    ],
)
def test_a_setting_that_cannot_work_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FixedSettings(**values)


def test_neither_repr_nor_an_error_shows_a_secret() -> None:
    secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
    fields = [
        name
        for name, field in Settings.model_fields.items()
        if field.annotation is SecretStr and name != "event_webhook_url"
    ]
    settings = FixedSettings(
        **dict.fromkeys(fields, secret * 2),
        database_url=f"postgresql+asyncpg://u:{secret}@h/n",
        event_webhook_url=f"https://hooks.example/{secret}",
    )
    assert secret not in repr(settings)
    assert secret not in str(settings)
    with pytest.raises(ValidationError) as error:
        FixedSettings(admin_token=secret[:8], tls_cert="c")
    assert secret[:8] not in str(error.value)


def test_a_rate_limit_may_be_switched_off() -> None:
    assert FixedSettings(rate_limit_source="").rate_limit_source == ""


def test_the_level_of_the_log_may_be_written_small() -> None:
    assert FixedSettings(log_level="debug").log_level == "DEBUG"

"""`ks serve`: the reference server, with everything a person needs to try it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import EXIT_USAGE, ToolError, say, warn
from .keys_command import DataOption, OfflineOption

if TYPE_CHECKING:
    from ks_server.run import Listening
    from ks_server.settings import Settings

    from .workspace import Workspace


def serve(
    data: DataOption = None,
    offline: OfflineOption = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on (HOST).", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port; 0 takes a free one (PORT).", show_default="8080", min=0, max=65535
        ),
    ] = None,
    registration: Annotated[
        str | None,
        typer.Option(
            help="whitelist, token or open (REGISTRATION_MODE).", show_default="whitelist"
        ),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR (LOG_LEVEL).")
    ] = None,
) -> None:
    """Run the reference server. Makes a data folder and keys when there are none.

    Everything can be set by environment variables or .env, as .env.example lists them; an option
    wins over both. Structured logs go to stderr.
    """
    import uvloop

    from ks_server import run as server
    from ks_server.keys import ConfigurationError
    from ks_server.log import configure, start_sentry

    from .workspace import Workspace

    options = {
        "KS_DATA": data,
        "host": host,
        "port": port,
        "registration_mode": registration,
        "log_level": log_level,
    }
    settings = _settings({name: value for name, value in options.items() if value is not None})
    workspace = Workspace.of(settings.data, offline)
    settings = _complete(settings, workspace)
    configure(settings)

    def ready(listening: Listening) -> None:
        for line in describe(listening.url, settings, workspace):
            say(line)

    try:
        start_sentry(settings)
        uvloop.run(server.serve(settings, ready))
    except server.ListenError as error:
        raise ToolError(f"{error}; another port: ks serve --port 0") from None
    except ConfigurationError as error:
        raise ToolError(str(error)) from None


def _settings(options: dict[str, Any]) -> Settings:
    from pydantic import ValidationError

    from ks_server.settings import Settings

    try:
        return Settings(**options)
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False, include_context=False):
            name = ".".join(str(part) for part in item["loc"]).upper() or "configuration"
            warn(f"{name}: {item['msg']}")
        raise typer.Exit(EXIT_USAGE) from None


def _complete(settings: Settings, workspace: Workspace) -> Settings:
    """Fill in from the workspace what the configuration leaves open; make what is missing."""
    if not settings.server_private_key.get_secret_value() and not workspace.server_key.exists():
        workspace.make_keys()
        say(f"made new keys in {workspace.data} and {workspace.offline}")
    missing: dict[str, Any] = {}
    if not settings.admin_token.get_secret_value():
        missing["admin_token"] = workspace.provide_admin_token()
    if workspace.trust.exists():
        trusted = workspace.read_trust()
        for role in ("release", "admin"):
            name = f"{role}_public_keys"
            if not getattr(settings, name):
                missing[name] = ",".join(key.key for key in trusted if key.role == role)
    return settings.model_copy(update=_settings(missing).model_dump(include=set(missing)))


def describe(url: str, settings: Settings, workspace: Workspace) -> list[str]:
    """What a person needs to go on."""
    from_folder = workspace.admin_token.exists()
    token = str(workspace.admin_token) if from_folder else "as configured (ADMIN_TOKEN)"
    at = "" if url == "http://127.0.0.1:8080" else f" --server {url}"
    data = "" if workspace.data == Path(".ks") else f" --data {workspace.data}"
    return [
        "",
        f"KS server      {url}",
        f"admin API      {url}/api/admin   token: {token}",
        f"data           {workspace.data}",
        f"registration   {settings.registration_mode}",
        "",
        "Next, in another shell:",
        f"  ks simulate{at}{data}             one terminal, its life as lines",
        f"  ks fleet --devices 20{at}{data}   many terminals",
        f"  ks command send sim-1 IDENTIFY{at}{data}   a command; WIPE takes two administrators",
        "  ks release build 1.1.0             a release; it names the next step",
        "Ctrl-C stops the server.",
        "",
    ]

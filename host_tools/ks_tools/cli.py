"""The `ks` command line: what each command takes, and the stable exit statuses.

0: done, and everything expected held.  1: an expectation did not hold, or the work failed.
2: the command line or the configuration is wrong.  130: interrupted.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from . import (
    boards_command,
    chip_command,
    command_command,
    demo_command,
    employees_command,
    factory_command,
    fleet_command,
    image_command,
    keys_command,
    punches_command,
    release_command,
    rollout_command,
    security_command,
    serve,
    setup_command,
    simulate,
    sites_command,
    tokens_command,
    verify_command,
    wear_command,
    whitelist_command,
)
from .console import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    ToolError,
    drop_output,
    prepare_output,
    say,
    warn,
)

# typer may bring its own copy of click; this finds the base of command line mistakes in either.
_Misuse: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)
_NoCommand: Any = getattr(
    sys.modules[_Misuse.__module__], "NoArgsIsHelpError", type("NoArgsIsHelpError", (), {})
)

app = typer.Typer(
    name="ks",
    help="Attendance terminals, their server and their simulator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("demo", short_help="Watch terminals live, under a minute.")(demo_command.demo)
app.command("serve", short_help="Run the reference server.")(serve.serve)
app.command("simulate", short_help="Run one terminal, its life as lines.")(simulate.simulate)
app.command("fleet", short_help="Run many terminals in one process.")(fleet_command.fleet)
app.command("keys", short_help="Make the keys of the roles.")(keys_command.keys)
app.command("setup", short_help="Another Wi-Fi network, over a serial port.")(setup_command.setup)
app.command("boards", short_help="Show the boards, and what they hold.")(boards_command.boards)
app.command("wear", short_help="Show what a life does to the flash.")(wear_command.wear_report)
app.command("verify", short_help="Check a receipt with public keys alone.")(verify_command.verify)
app.add_typer(image_command.app, name="image")
app.add_typer(factory_command.app, name="factory")
app.add_typer(release_command.app, name="release")
app.add_typer(rollout_command.app, name="rollout")
app.add_typer(command_command.app, name="command")
app.add_typer(punches_command.app, name="punches")
app.add_typer(employees_command.app, name="employees")
app.add_typer(sites_command.app, name="sites")
app.add_typer(tokens_command.app, name="tokens")
app.add_typer(whitelist_command.app, name="whitelist")
app.add_typer(security_command.app, name="security")
app.add_typer(chip_command.app, name="chip")


def _version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        say(f"ks {version('ks-terminal')}")
    except PackageNotFoundError:
        say("ks (not installed)")
    raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Attendance terminals, their server and their simulator."""


def run(arguments: Sequence[str]) -> int:
    """Run a command; returns its exit status. What a person can put right is one line."""
    try:
        status = _status(arguments)
    except ToolError as error:
        warn(str(error))
        return EXIT_FAILED
    except _Misuse as error:
        if isinstance(error, _NoCommand):
            say(error.format_message())
            return EXIT_USAGE
        warn(f"{_first_line(error)} (see ks --help)")
        return EXIT_USAGE
    except BrokenPipeError:
        drop_output()
        return EXIT_FAILED
    except OSError as error:
        drop_output()
        warn(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        return EXIT_FAILED
    if status == EXIT_INTERRUPTED:
        warn("interrupted")
    return status


def _status(arguments: Sequence[str]) -> int:
    try:
        result = app(list(arguments), prog_name="ks", standalone_mode=False)
    except typer.Exit as ending:
        return ending.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else EXIT_OK


def _first_line(error: BaseException) -> str:
    message = getattr(error, "format_message", lambda: str(error))()
    return str(message).strip().replace("\n", " ") or "no command given"


def _end_as_interrupted(*_: object) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves its background jobs
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def main() -> None:
    """Entry point of the `ks` script. Whatever asks it to end is met as Ctrl-C is: children go
    first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, _end_as_interrupted)
    prepare_output()
    sys.exit(run(sys.argv[1:]))

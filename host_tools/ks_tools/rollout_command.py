"""`ks rollout`: offer a release to a growing share of the fleet, watch it, stop it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asking import (
    DEFAULT_SERVER,
    JsonOption,
    ServerOption,
    ask,
    check_id,
    show_json,
    show_table,
)
from .console import EXIT_FAILED, ToolError, say
from .keys_command import DataOption

if TYPE_CHECKING:
    from ks_simulator.admin_rollouts import RolloutApi

UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

app = typer.Typer(
    help="Offer a release to a growing share of the fleet, watch it, stop it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NumberArgument = Annotated[int, typer.Argument(metavar="ID", min=1, help="The rollout's number.")]
AbortShareOption = Annotated[
    float, typer.Option(help="Abort at this percentage of failed attempts, above 0 and up to 100.")
]
AbortMinOption = Annotated[int, typer.Option(min=1, help="... of so many attempts or more.")]
AbortCountOption = Annotated[
    int | None, typer.Option(min=1, help="Abort at so many failures.", show_default="no limit")
]
PenaltyOption = Annotated[
    int, typer.Option(min=1, help="Failures after which a device is offered nothing more.")
]
AtOnceOption = Annotated[
    int | None, typer.Option(min=1, help="Downloads at a time.", show_default="no limit")
]


@app.command("create")
def create(
    fw1: Annotated[str, typer.Argument(help="FW1 of a signed release.")],
    upload: Annotated[
        Path | None,
        typer.Option(help="Upload this signed release's folder first.", show_default=""),
    ] = None,
    phases: Annotated[
        str, typer.Option(help="Rising percentages of the devices, the canary first.")
    ] = "2,10,50,100",
    types: Annotated[list[str] | None, typer.Option("--type", help="Of this type (D2).")] = None,
    models: Annotated[list[str] | None, typer.Option("--model", help="Of this model (D5).")] = None,
    sites: Annotated[list[str] | None, typer.Option("--site", help="Of this site.")] = None,
    versions: Annotated[
        list[str] | None, typer.Option("--version", help="That run this version (FW2).")
    ] = None,
    devices: Annotated[list[str] | None, typer.Option("--device", help="This device.")] = None,
    soak: Annotated[
        str, typer.Option(help="How long a phase is watched: 90s, 30m, 12h, 2d.")
    ] = "1d",
    automatic: Annotated[
        bool, typer.Option("--automatic/--by-hand", help="Promote by itself after the soak.")
    ] = False,
    abort_share: AbortShareOption = 20,
    abort_min: AbortMinOption = 5,
    abort_count: AbortCountOption = None,
    penalty: PenaltyOption = 3,
    downloads_at_once: AtOnceOption = None,
    start_now: Annotated[bool, typer.Option("--start", help="Start it at once.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draft a rollout. Each filter may be given several times; what is not given is any.

    Whatever the filters leave is split by stable hash buckets: who is in a phase is in each that
    follows.
    """
    check_id(fw1, "FW1")
    chosen = {
        "types": types,
        "models": models,
        "sites": sites,
        "versions": versions,
        "devices": [check_id(d1) for d1 in devices or ()],
    }
    form = {
        "fw1": fw1,
        "phases": parse_phases(phases),
        "filter": {name: values for name, values in chosen.items() if values},
        "soak_s": parse_duration(soak),
        "automatic": automatic,
        "abort_share": check_share(abort_share),
        "abort_min": abort_min,
        "abort_count": abort_count,
        "penalty": penalty,
        "downloads_at_once": downloads_at_once,
    }

    bundle = _bundle(upload, fw1) if upload else b""

    async def work(api: RolloutApi) -> dict[str, Any]:
        if bundle:
            await api.store(bundle)
        made = await api.create_rollout(form)
        return await api.rollout_step(made["id"], "start") if start_now else made

    _tell(ask(server, data, work), as_json)


def _bundle(folder: Path, fw1: str) -> bytes:
    """The bundle of a signed release in a folder. Raises ToolError."""
    from ks_simulator.application import ReleaseError

    from . import release as releases

    made = releases.read_release(folder)
    if made.token("FW1") != fw1:
        raise ToolError(f"{folder} holds {made.token('FW1')}, not {fw1}")
    try:
        return made.assemble()
    except ReleaseError as error:
        raise ToolError(f"{error}; sign it with: ks release sign {folder}") from None


def check_share(percent: float) -> float:
    """A percentage of failures that a rollout is aborted at. Raises ToolError."""
    if not 0 < percent <= 100:  # nor what is no number
        raise ToolError(
            f"--abort-share {percent:g} is no percentage above 0 and up to 100; "
            "to abort at the first failure: --abort-count 1"
        )
    return percent


def parse_phases(text: str) -> list[float]:
    """Percentages such as `0.5,10,50,100`. Raises ToolError."""
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        raise ToolError(f"{text!r} is no list of percentages, as in 2,10,50,100") from None
    rising = all(one < other for one, other in pairwise(shares))
    if not rising or not 0 < shares[0] <= shares[-1] <= 100:
        raise ToolError(f"the phases {text!r} do not rise from above 0 to at most 100")
    return shares


def parse_duration(text: str) -> int:
    """Seconds of a duration such as `90s`, `30m`, `12h` or `2d`. Raises ToolError."""
    match = re.fullmatch(r"([0-9]{1,7})([smhd]?)", text.strip())
    if match is None:
        raise ToolError(f"{text!r} is no duration, as in 90s, 30m, 12h, 2d")
    return int(match[1]) * UNITS_S[match[2]]


@app.command("list")
def list_rollouts(
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all rollouts, the newest first."""
    found = ask(server, data, lambda api: api.rollouts())
    if as_json:
        show_json(found)
    elif found:
        header = ("id", "release", "version", "state", "phase", "devices", "updated", "bad", "why")
        show_table(header, map(_row, found), right="id devices updated bad")
    else:
        say("no rollouts")


def _row(rollout: dict[str, Any]) -> tuple[object, ...]:
    from ks_simulator.admin_rollouts import BAD_STATES

    from .rollout_view import phase_text

    counts = rollout["counts"]
    head = (rollout["id"], rollout["fw1"], rollout["fw2"], rollout["state"], phase_text(rollout))
    bad = sum(counts.get(state, 0) for state in BAD_STATES)
    return (*head, counts["targeted"], counts["updated"], bad, rollout["reason"])


@app.command("show")
def show(
    number: NumberArgument,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one rollout."""
    _tell(ask(server, data, lambda api: api.rollout(number)), as_json)


@app.command("devices")
def list_devices(
    number: NumberArgument,
    state: Annotated[str, typer.Option(help="In this state, as waiting or rolled_back.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the devices that a rollout is for: bucket, state, failures."""
    query = {"state": state} if state else {}
    found = ask(server, data, lambda api: api.rollout_devices(number, **query))
    if as_json:
        show_json(found)
    elif found:
        header = (
            "device", "bucket", "in phase", "state", "failures", "runs", "since", "log", "detail"
        )  # fmt: skip
        show_table(header, map(_device, found), right="bucket failures")
    else:
        say("no devices")


def _device(one: dict[str, Any]) -> tuple[object, ...]:
    state, last = one["state"], one["last_state"]
    shown = state if state == last else f"{state} ({last})"
    in_phase = "yes" if one["in_phase"] else "no"
    head = (one["d1"], one["bucket"], in_phase, shown, one["failures"])
    return (*head, one["fw2"], one["changed"], one["log1"], one["detail"])


STEPS = {
    "start": "Begin with the first phase, the canary.",
    "promote": "Go on with the next phase, soaked or not.",
    "pause": "Offer it to nobody for now; who has begun may finish.",
    "resume": "Go on after a pause.",
    "abort": "Offer it to nobody any more, for good.",
    "revoke": "Revoke the release itself: no download, and who waits is told to halt.",
}


def _stepping(step: str) -> Callable[..., None]:
    def command(
        number: NumberArgument,
        server: ServerOption = DEFAULT_SERVER,
        data: DataOption = None,
        as_json: JsonOption = False,
    ) -> None:
        _tell(ask(server, data, lambda api: api.rollout_step(number, step)), as_json)

    return command


for _name, _text in STEPS.items():
    app.command(_name, help=_text)(_stepping(_name))


@app.command("watch")
def watch(
    number: NumberArgument,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch a rollout until it ends: live on a terminal, else a line for each change.

    With --json, each change is a line of JSON. Exit status 0 when it ends done, 1 when it is
    aborted or revoked.
    """
    from .rollout_watch import watch_rollout

    last = ask(server, data, lambda api: watch_rollout(api, number, interval, as_json))
    if last["state"] != "done":
        raise typer.Exit(EXIT_FAILED)


def _tell(rollout: dict[str, Any], as_json: bool) -> None:
    from .rollout_view import lines

    if as_json:
        show_json(rollout)
        return
    for line in lines(rollout, int(time.time() * 1000)):
        say(line)
    following = {"draft": "start", "running": "watch", "paused": "resume"}.get(rollout["state"])
    if following:
        say(f"next: ks rollout {following} {rollout['id']}")

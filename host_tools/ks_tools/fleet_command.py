"""`ks fleet`: many terminals in one process, a live table, a report."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .asking import check_id
from .console import EXIT_FAILED, ToolError, is_watched, rich_console, say
from .keys_command import DataOption
from .workspace import Workspace

if TYPE_CHECKING:
    from rich.table import Table

    from ks_simulator.fleet import Fleet, FleetPlan
    from ks_simulator.report import Report
    from ks_simulator.spoiled import Spoiling

PLAIN_INTERVAL_S = 5.0
LIVE_INTERVAL_S = 0.25
OWN_SERVER_RTO_S = "10"
SHOWN_TERMINALS = 12

SpoilOption = Annotated[
    str, typer.Option(metavar="FW1", help="This release goes wrong on a share of them.")
]
SpoilShareOption = Annotated[
    float, typer.Option(min=0, max=1, help="With --spoil: on how many of them.")
]
SpoilWayOption = Annotated[str, typer.Option(help="With --spoil: crash, or reset, at every start.")]


def fleet(
    devices: Annotated[int, typer.Option("--devices", "-n", min=1, help="Terminals.")] = 10,
    seed: Annotated[int, typer.Option(help="Decides ids, keys and faults.")] = 0,
    duration: Annotated[float, typer.Option(min=1, help="Longest time in seconds.")] = 30,
    heartbeats: Annotated[
        int, typer.Option(min=0, help="End when each terminal has as many; 0: at --duration.")
    ] = 0,
    server: Annotated[
        str, typer.Option(help="The server's address.", show_default="one of its own")
    ] = "",
    data: DataOption = None,
    pace: Annotated[
        float, typer.Option(min=0.001, help="Divides every wait of a terminal; 1 is real time.")
    ] = 1,
    loss: Annotated[
        float, typer.Option(min=0, max=1, help="Share of requests, and of answers, that is lost.")
    ] = 0,
    delay_ms: Annotated[int, typer.Option(min=0, help="Longest delay of an exchange.")] = 0,
    punches: Annotated[
        float, typer.Option(min=0, help="Punches a minute at each terminal; some are held twice.")
    ] = 0,
    storm: Annotated[
        int,
        typer.Option(min=0, help="Punches in a row at each terminal, 5 a second, after a third."),
    ] = 0,
    outage: Annotated[
        float, typer.Option(min=0, help="Seconds without a network, from when a storm begins.")
    ] = 0,
    spoil: SpoilOption = "",
    spoil_share: SpoilShareOption = 1,
    spoil_way: SpoilWayOption = "crash",
    report: Annotated[
        Path | None, typer.Option(help="Write the report: JSON, or JUnit XML for *.xml.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on stdout.")] = False,
) -> None:
    """Run many terminals in one process, each with its own files, key and connection.

    With --punches or --storm people punch, and the server is asked at the end what it has of that.
    With --spoil a release that is rolled out fails on some of them, and they must roll it back.

    Exit status 1 when one of them did not register, heartbeat or stay alive, or when a punch that
    beeped is not stored exactly once.
    """
    import uvloop

    from ks_simulator.fleet import FleetPlan
    from ks_simulator.link import Faults
    from ks_simulator.people import Traffic

    plan = FleetPlan(
        devices,
        seed=seed,
        duration_s=duration,
        heartbeats=heartbeats,
        pace=pace,
        faults=Faults(loss, loss, delay_ms),
        traffic=Traffic(punches, storm, outage),
        spoiling=_spoiling(spoil, spoil_share, spoil_way),
    )
    outcome = uvloop.run(_fleet(plan, server.rstrip("/"), data, quiet=as_json))
    if report is not None:
        outcome.write(report)
    if as_json:
        say(outcome.as_json().rstrip())
    else:
        _summary(outcome)
    if not outcome.ok:
        raise typer.Exit(EXIT_FAILED)


def _spoiling(fw1: str, share: float, way: str) -> Spoiling | None:
    """What goes wrong, if anything. Raises ToolError."""
    from ks_simulator.spoiled import WAYS, Spoiling

    if way not in WAYS:
        raise ToolError(f"no way {way!r} to go wrong: one of {', '.join(WAYS)}")
    return Spoiling(check_id(fw1, "FW1"), share, way) if fw1 else None


async def _fleet(plan: FleetPlan, server: str, data: Path | None, quiet: bool) -> Report:
    from ks_simulator.admin import AdminError

    async with AsyncExitStack() as stack:
        source = _theirs(plan, server, data) if server else _own(plan)
        terminals = await stack.enter_async_context(source)
        show = _silent if quiet else _live if is_watched() else _plain
        watching = asyncio.create_task(show(terminals))
        try:
            return await terminals.run()
        except AdminError as error:
            raise ToolError(f"what became of the punches is unknown: {error}") from None
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


@asynccontextmanager
async def _own(plan: FleetPlan) -> AsyncIterator[Fleet]:
    """Terminals of a server that lives as long as they do."""
    from ks_simulator.admin_punches import PunchApi
    from ks_simulator.fleet import Fleet, seeded_bytes
    from ks_simulator.keys import RoleKeys
    from ks_simulator.server import ServerFailed, ServerProcess, server_settings

    from .fleet_factory import factory_release

    keys = RoleKeys.make()
    with tempfile.TemporaryDirectory(prefix="ks-fleet-") as folder:
        settings = server_settings(
            Path(folder), keys, HEARTBEAT_RTO_S=OWN_SERVER_RTO_S, LOG_LEVEL="INFO"
        )
        server = ServerProcess(settings)
        try:
            async with (
                server.running(),
                PunchApi.connect(server.url, server.admin_token) as api,
            ):
                await api.whitelist_many(plan.public_keys())
                release = factory_release(Workspace())
                dice = seeded_bytes(plan.seed)
                yield Fleet(plan, server.url, keys.trusted(), release, dice, api)
        except ServerFailed as error:
            raise ToolError(f"the server did not start: {error}") from None


@asynccontextmanager
async def _theirs(plan: FleetPlan, server: str, data: Path | None) -> AsyncIterator[Fleet]:
    """Terminals of a server that runs already."""
    from ks_simulator.admin_punches import PunchApi
    from ks_simulator.fleet import Fleet

    from .fleet_factory import admit, factory_release, trust_of

    workspace = Workspace.of(data)
    trust = trust_of(workspace)
    admitted = await admit(workspace, server, plan.public_keys())
    release = factory_release(workspace)
    if not plan.traffic.has_punches:
        yield Fleet(plan, server, trust, release)
        return
    if not admitted:
        raise ToolError("without the admin token nobody can tell what became of the punches")
    async with PunchApi.connect(server, workspace.find_admin_token()) as api:
        yield Fleet(plan, server, trust, release, api=api)


async def _silent(terminals: Fleet) -> None:
    """Nothing until the end."""


async def _plain(terminals: Fleet) -> None:
    while True:
        await asyncio.sleep(PLAIN_INTERVAL_S)
        say(_line(terminals.figures(terminals.seconds), terminals.seconds))


def _line(figures: dict[str, object], seconds: float) -> str:
    return (
        f"{seconds:6.1f} s  {figures['registered']} of {figures['devices']} registered, "
        f"{figures['heartbeats']} heartbeats ({figures['heartbeats_per_second']}/s), "
        f"{figures['offline']} times offline, {figures['refused']} refused, "
        f"{figures['crashes']} crashes" + _update_line(figures) + _punch_line(figures)
    )


def _update_line(figures: dict[str, object]) -> str:
    confirmed, gone = figures["updates_confirmed"], figures["updates_rolled_back"]
    return f", {confirmed} updated, {gone} rolled back" if confirmed or gone else ""


def _punch_line(figures: dict[str, object]) -> str:
    if "punches_held" not in figures:
        return ""
    return f", {figures['punches_beeped']} of {figures['punches_held']} punches beeped"


async def _live(terminals: Fleet) -> None:
    from rich.live import Live

    with Live(console=rich_console(), auto_refresh=False, transient=True) as view:
        while True:
            view.update(_table(terminals), refresh=True)
            await asyncio.sleep(LIVE_INTERVAL_S)


def _table(terminals: Fleet) -> Table:
    from rich.table import Table

    seconds = terminals.seconds
    table = Table(title=_line(terminals.figures(seconds), seconds).strip(), title_justify="left")
    columns: list[tuple[str, Callable[[str], str]]] = [
        ("terminal", lambda d1: d1),
        ("registered", lambda d1: "yes" if terminals.seen[d1].registered else "-"),
        ("heartbeats", lambda d1: str(terminals.seen[d1].heartbeats)),
        ("commands", lambda d1: str(terminals.seen[d1].events["command"])),
        ("offline", lambda d1: str(terminals.seen[d1].events["offline"])),
        ("crashes", lambda d1: str(terminals.seen[d1].events["crash"])),
        ("version", terminals.versions.version_of),
        ("last trouble", lambda d1: terminals.seen[d1].problem),
    ]
    for name, _ in columns:
        table.add_column(name)
    ids = list(terminals.seen)
    for d1 in ids[:SHOWN_TERMINALS]:
        table.add_row(*(cell(d1) for _, cell in columns))
    if len(ids) > SHOWN_TERMINALS:
        table.add_row(f"and {len(ids) - SHOWN_TERMINALS} more")
    return table


def _text(figure: object) -> str:
    if isinstance(figure, dict):
        return ", ".join(f"{count} {name}" for name, count in figure.items()) or "0"
    return str(figure)


def _summary(outcome: Report) -> None:
    from rich.table import Table

    console = rich_console()
    table = Table("figure", "value", title="fleet", title_justify="left")
    for name, value in outcome.figures.items():
        table.add_row(name.replace("_", " "), _text(value))
    console.print(table)
    failed = [check for check in outcome.checks if not check.ok]
    for check in failed[:SHOWN_TERMINALS]:
        console.print(f"✗ {check.group}: {check.detail}", style="red", markup=False)
    if len(failed) > SHOWN_TERMINALS:
        console.print(f"✗ and {len(failed) - SHOWN_TERMINALS} more", style="red")
    figures = outcome.figures
    if "punches_stored" in figures:
        console.print(
            "{} {} punches held, {} beeped, {} stored".format(
                "✓" if figures["punches_beeped"] == figures["punches_stored"] else "✗",
                figures["punches_held"],
                figures["punches_beeped"],
                figures["punches_stored"],
            )
        )
    if "spoiled_release" in figures:
        console.print(
            "{} is spoiled on {} terminals: {} tried it, {} rolled back".format(
                figures["spoiled_release"],
                figures["spoiled_terminals"],
                figures["spoiled_tried_it"],
                figures["updates_rolled_back"],
            )
        )
    if outcome.ok:
        console.print(f"✓ all {figures['devices']} terminals did their work", style="green")

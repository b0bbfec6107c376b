"""`ks factory`: boards from blank to labelled, on the line and at a desk (docs/factory.md)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .asking import DEFAULT_SERVER, JsonOption, show_json, show_table
from .console import EXIT_FAILED, EXIT_OK, ToolError, is_watched, rich_console, say
from .keys_command import DataOption

if TYPE_CHECKING:
    from .factory.batch import Batch
    from .factory.run import Line

BatchOption = Annotated[Path, typer.Option("--batch", help="The batch's folder.")]
HERE = Path()

app = typer.Typer(
    help="Flash, test, provision and label boards.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def factory() -> None:
    """Flash, test, provision and label boards."""


@app.command("new")
def new(
    folder: Annotated[Path, typer.Argument(help="The batch's folder, made if need be.")],
    board: Annotated[str, typer.Option(help="The board.")],
    image: Annotated[Path, typer.Option(help="The folder of `ks image build`.")],
    first: Annotated[int, typer.Option(min=0, help="This station's first serial number.")],
    last: Annotated[int, typer.Option(min=0, help="Its last.")],
    server: Annotated[str, typer.Option(help="The server, as the units reach it.")],
    station: Annotated[str, typer.Option(help="The name of this station.")] = "A",
    prefix: Annotated[str, typer.Option(help="What serial numbers begin with.")] = "KS-",
    wifi: Annotated[str, typer.Option(help="The network that units join at first.")] = "",
    offline: Annotated[bool, typer.Option("--offline", help="Whitelist by a file.")] = False,
    scan: Annotated[bool, typer.Option(help="A person scans every label back.")] = True,
    data: DataOption = None,
) -> None:
    """Make a batch folder, with a batch.toml to be read and changed."""
    from .factory.new import Wishes, make_batch
    from .workspace import Workspace

    trust = Workspace.of(data).trust
    wishes = Wishes(board, image, trust, station, prefix, first, last, server, offline, wifi, scan)
    batch = make_batch(folder, wishes)
    say(f"{folder / 'batch.toml'}: {batch.range.text(first)} to {batch.range.text(last)}")
    say(f"look through it, then: ks factory run --batch {folder} --ports PORT,PORT")


@app.command("run")
def run(
    batch: BatchOption = HERE,
    ports: Annotated[str, typer.Option(help="Serial ports, parted by commas.")] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Begin with every board that is plugged in.")
    ] = False,
    operator: Annotated[str, typer.Option(envvar="KS_OPERATOR", help="Who works here.")] = "",
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a table.")] = False,
    data: DataOption = None,
) -> int:
    """Take the units at these ports from where they are to their label, all at the same time.

    Whatever ended the last run, a power cut or Ctrl-C: each unit goes on where it was.
    """
    from .factory.opening import open_batch, opened
    from .factory.view import PlainView, TableView
    from .workspace import Workspace

    named = [port for port in ports.split(",") if port]
    if not named and not watch:
        raise ToolError("which ports? --ports /dev/ttyUSB0,/dev/ttyUSB1 or --watch")
    if len(set(named)) != len(named):
        raise ToolError("a port is named twice")
    wanted = open_batch(batch, operator)
    workspace = Workspace.of(data)
    if plain or not is_watched():
        with opened(wanted, PlainView(), workspace) as line:
            return _work(line, named, watch)
    with (
        TableView([] if watch else named, rich_console()) as view,
        opened(wanted, view, workspace) as line,
    ):
        return _work(line, named, watch)


def _work(line: Line, ports: list[str], watch: bool) -> int:
    from .factory import lanes
    from .factory.run import Verdict

    left = line.store.serials_left(line.batch.range)
    line.view.notice(f"{left} serial numbers left")
    if watch:
        patterns = ports or lanes.PATTERNS
        lanes.watch(line, lambda: lanes.serial_ports(patterns), lambda verdicts: False)
        return EXIT_OK
    verdicts = lanes.run_once(line, ports)
    good = sum(verdict in (Verdict.PASS, Verdict.ALREADY) for verdict in verdicts.values())
    say(f"{good} of {len(ports)} done")
    return EXIT_OK if good == len(ports) else EXIT_FAILED


@app.command("flash")
def flash(
    port: Annotated[str, typer.Argument(help="The serial port, such as /dev/ttyUSB0.")],
    board: Annotated[str, typer.Argument(help="The board.")] = "esp32_generic",
    micropython: Annotated[
        Path | None,
        typer.Option(help="MicroPython's image, as downloaded.", show_default="the last one"),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="A folder of `ks image build` instead.", show_default="none"),
    ] = None,
    server: Annotated[str, typer.Option(help="The server, as the board reaches it.")] = (
        DEFAULT_SERVER
    ),
    wifi: Annotated[str, typer.Option(help="The network; KS_WIFI_PASSWORD has its password.")] = "",
    device_id: Annotated[str, typer.Option("--d1", help="The device id.")] = "ks-{mac}",
    keep: Annotated[
        bool, typer.Option("--keep", help="Renew the code alone: identity and data stay.")
    ] = False,
    erase_identity: Annotated[
        bool, typer.Option("--erase-identity", help="Also a board that is a terminal already.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Save journals without asking.")] = False,
    data: DataOption = None,
    software_chip: Annotated[
        str, typer.Option("--for-software-chip", hidden=True, help="For tests: x86 or x64.")
    ] = "",
) -> int:
    """Make a terminal of one board at a developer's desk: erase, write, verify, provision."""
    from .factory.desk import Wishes, flash
    from .workspace import Workspace

    if keep and erase_identity:
        raise ToolError("--keep and --erase-identity: which?")
    wishes = Wishes(
        board, image, micropython, server, wifi, device_id, keep, erase_identity, yes, software_chip
    )
    return EXIT_OK if flash(port, wishes, Workspace.of(data)) else EXIT_FAILED


@app.command("rework")
def rework(
    serials: Annotated[list[str], typer.Argument(help="Serial numbers, ids or MACs.")],
    batch: BatchOption = HERE,
) -> None:
    """Let units be begun anew under their old serial number and id, once repaired: a new key,
    which the server is told of (re-enrolment)."""
    from .factory.store import Store

    wanted = _batch(batch)
    with Store(wanted.folder) as store:
        for unit in [store.find(serial) for serial in serials]:
            store.rework(unit)
            say(f"{unit.name}: goes through everything again at its next run")


@app.command("merge")
def merge(
    others: Annotated[list[Path], typer.Argument(help="Folders of other stations.")],
    batch: BatchOption = HERE,
) -> None:
    """Take the records of other stations over. Again is harmless; conflicts change nothing."""
    from .factory.merge import merge
    from .factory.store import Store

    wanted = _batch(batch)
    with Store(wanted.folder) as store:
        for other in others:
            merged = merge(store, other)
            say(
                f"{other}: {merged.added} new, {merged.changed} went on, "
                f"{merged.unchanged} unchanged"
            )


@app.command("report")
def report(
    batch: BatchOption = HERE,
    hours: Annotated[
        float, typer.Option(min=0, help="Of the last so many hours.", show_default="all")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Yield, retries, times and failures by step: report.html and report.json in the folder."""
    import json

    from .factory.report import as_html, make_report
    from .factory.store import Store, now_ms

    wanted = _batch(batch)
    with Store(wanted.folder) as store:
        made = make_report(store, now_ms() - round(hours * 3_600_000) if hours else 0)
    html, text = wanted.folder / "report.html", wanted.folder / "report.json"
    html.write_text(as_html(made, f"{wanted.board}, station {wanted.station}"), "utf-8")
    text.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if as_json:
        show_json(made)
    else:
        say(f"{made['done']} done, {made['rejects']} rejects, {made['in_work']} in work: {html}")


@app.command("label")
def label(
    serial: Annotated[str, typer.Argument(help="A serial number, id or MAC.")],
    batch: BatchOption = HERE,
) -> None:
    """Make a unit's label again, and print it where batch.toml says how."""
    from .factory.label import write_label
    from .factory.people import program
    from .factory.steps_office import LABELS
    from .factory.store import Store

    wanted = _batch(batch)
    with Store(wanted.folder) as store:
        unit = store.find(serial)
    png, text = write_label(unit, wanted.folder / LABELS)
    if wanted.label.print:
        program(wanted.label.print, png=str(png), text=str(text), serial=str(unit.serial))
    say(f"{png}")


@app.command("inventory")
def inventory(
    batch: BatchOption = HERE,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file.", show_default="stdout")
    ] = None,
) -> None:
    """All units as CSV: serial, id, key, MAC, board, image, times, result. No secrets."""
    import sys

    from .factory.inventory import write_inventory
    from .factory.store import Store

    wanted = _batch(batch)
    with Store(wanted.folder) as store:
        if output is None:
            write_inventory(store, sys.stdout)
            return
        with output.open("w", encoding="utf-8", newline="") as file:
            count = write_inventory(store, file)
    say(f"{output}: {count} units")


@app.command("status")
def status(batch: BatchOption = HERE, as_json: JsonOption = False) -> None:
    """Every unit: its state, the last step that it has done, and why it is a reject."""
    from .factory.store import Store

    wanted = _batch(batch)
    with Store(wanted.folder) as store:
        units = store.units()
        left = store.serials_left(wanted.range)
    rows = [(unit.name, unit.mac, unit.state, unit.step, unit.reason) for unit in units]
    header = ("unit", "mac", "state", "step", "reason")
    if as_json:
        found = [dict(zip(header, row, strict=True)) for row in rows]
        show_json({"units": found, "serials_left": left})
        return
    show_table(header, rows)
    say(f"{len(units)} units, {left} serial numbers left")


def _batch(folder: Path) -> Batch:
    from .factory.batch import read_batch

    return read_batch(folder)

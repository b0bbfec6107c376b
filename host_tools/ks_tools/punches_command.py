"""`ks punches`: look at punches, take them out, reconcile them, certify them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asking import (
    DEFAULT_SERVER,
    JsonOption,
    ServerOption,
    ask,
    check_id,
    printable,
    show_json,
    show_table,
)
from .console import EXIT_FAILED, ToolError, say
from .keys_command import DataOption

if TYPE_CHECKING:
    from ks_simulator.admin_punches import PunchApi

FORMATS = ("csv", "json", "xlsx")
DEFAULT_ROWS = 100

app = typer.Typer(
    help="Look at punches, export them, reconcile them, get receipts for them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SiteOption = Annotated[str, typer.Option("--site", help="Of this site.")]
PersonOption = Annotated[str, typer.Option("--person", help="Of the employee of this external id.")]
DeviceOption = Annotated[str, typer.Option("--d1", help="Of this device.")]
JournalOption = Annotated[str, typer.Option("--jid", help="Of this journal.")]
DayOption = Annotated[str, typer.Option("--day", help="Of this local day, as in 2026-11-20.")]
FromOption = Annotated[
    str, typer.Option("--from", help="From this local day, or time with its offset, on.")
]
ToOption = Annotated[
    str, typer.Option("--to", help="Up to this local day, or before this time with its offset.")
]
ZoneOption = Annotated[
    str,
    typer.Option("--zone", help="Time zone of days and times.", show_default="the site's, or UTC"),
]
StateOption = Annotated[str, typer.Option("--state", help="accepted or quarantine.")]


@app.command("list")
def list_punches(
    site: SiteOption = "",
    person: PersonOption = "",
    d1: DeviceOption = "",
    jid: JournalOption = "",
    day: DayOption = "",
    first: FromOption = "",
    last: ToOption = "",
    zone: ZoneOption = "",
    state: StateOption = "",
    limit: Annotated[int, typer.Option(min=0, help="Show at most as many; 0: all.")] = DEFAULT_ROWS,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show punches by time, on the clocks of the place, with how sure that time is."""
    query = _query(site, person, d1, jid, day, first, last, zone, state)
    # one more tells whether there are more
    wanted = limit + 1 if limit else 0
    found = ask(server, data, lambda api: api.punches(wanted, **query))
    shown = found[:limit] if limit else found
    if as_json:
        show_json(shown)
        return
    if not shown:
        say("no punches")
        return
    header = ("time", "sure to", "person", "name", "what", "device", "seq", "remarks")
    show_table(header, map(_row, shown), right="seq")
    if len(found) > len(shown):
        say("... and more: --limit 0 shows all, ks punches export {csv,json,xlsx} keeps them")


def _row(punch: dict[str, Any]) -> tuple[object, ...]:
    return (
        _short(punch["local_time"]) or f"{printable(punch['raw_time'])} (unread)",
        _uncertainty(punch),
        punch["external_id"] or punch["e1"] or ("(erased)" if punch["erased"] else ""),
        punch["name"],
        punch["a2"],
        punch["d1"],
        punch["seq"],
        " ".join(_remarks(punch)),
    )


def _short(local: str | None) -> str:
    """`2026-11-20 09:15:02 +01:00`: nobody reads milliseconds, and `--json` has them."""
    return "" if local is None else f"{local[:10]} {local[11:19]} {local[23:]}"


def _uncertainty(punch: dict[str, Any]) -> str:
    if punch["time"] is None:
        return ""
    if punch["uncertainty_ms"] is None:
        return "?"
    seconds = -(-punch["uncertainty_ms"] // 1000)
    if seconds < 120:
        return f"{seconds} s"
    return f"{-(-seconds // 60)} min" if seconds < 7200 else f"{-(-seconds // 3600)} h"


def _remarks(punch: dict[str, Any]) -> list[str]:
    remarks = [] if punch["time_source"] in ("clock", None) else [f"time:{punch['time_source']}"]
    if punch["state"] == "quarantine":
        remarks.append(f"quarantine:{punch['err1']}")
    if punch["chain"] == "broken":
        remarks.append("chain:broken")
    if punch["remark"]:
        remarks.append(punch["remark"])
    return remarks + [name for name in punch["findings"] if name != "broken_chain"]


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="Its suffix says how: .csv, .json or .xlsx.")],
    site: SiteOption = "",
    person: PersonOption = "",
    d1: DeviceOption = "",
    jid: JournalOption = "",
    day: DayOption = "",
    first: FromOption = "",
    last: ToOption = "",
    zone: ZoneOption = "",
    state: StateOption = "",
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
) -> None:
    """Write punches to a file, all of them or those of a filter."""
    kind = file.suffix.lstrip(".").lower()
    if kind not in FORMATS:
        raise ToolError(f"{file} ends in none of .csv, .json, .xlsx")
    query = _query(site, person, d1, jid, day, first, last, zone, state)
    size = ask(server, data, lambda api: api.export(file, kind, **query))
    say(f"{file}: {size:,} bytes")


def _query(*values: str) -> dict[str, str]:
    names = ("site", "person", "d1", "jid", "day", "from", "to", "zone", "state")
    return {name: value for name, value in zip(names, values, strict=True) if value}


@app.command("reconcile")
def reconcile(
    devices: Annotated[
        list[str] | None, typer.Argument(metavar="[D1]...", help="Devices.", show_default="all")
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Account for every punch that terminals have numbered: stored, waiting, or in a gap.

    Exit status 1 when there is a gap: punches that will never come.
    """
    ids = [check_id(d1) for d1 in devices or ()]

    async def work(api: PunchApi) -> dict[str, list[dict[str, Any]]]:
        names = ids or [str(device["d1"]) for device in await api.devices()]
        return {d1: await api.journals(d1) for d1 in names}

    found = ask(server, data, work)
    journals = [(d1, journal) for d1, some in found.items() for journal in some]
    if as_json:
        show_json(found)
    elif not journals:
        say("no journals")
    else:
        _show_journals(journals)
    if any(journal["verdict"] == "gap" for _, journal in journals):
        raise typer.Exit(EXIT_FAILED)


_NUMBERS = {
    "numbered": "seq_top",
    "stored": "stored",
    "waiting": "unsent",
    "lost": "missing",
    "quarantine": "quarantine",
    "repeated": "duplicates",
    "conflicts": "conflicts",
}


def _show_journals(journals: list[tuple[str, dict[str, Any]]]) -> None:
    rows = [
        (d1, one["jid"], one["verdict"], *(one[name] for name in _NUMBERS.values()), _fill(one))
        for d1, one in journals
    ]
    header = ("device", "journal", "verdict", *_NUMBERS, "full")
    show_table(header, rows, right=" ".join((*_NUMBERS, "full")))
    for d1, one in journals:
        for line in _details(one):
            say(f"{d1} {one['jid']}: {line}")


def _fill(journal: dict[str, Any]) -> str:
    return "" if journal["fill_percent"] is None else f"{journal['fill_percent']} %"


def _details(journal: dict[str, Any]) -> list[str]:
    reasons = {"gap": "the terminal no longer held them", "lost": "erased before they were sent"}
    lines = [
        f"SEQ {gap['first_seq']}-{gap['last_seq']} will not come: {reasons[gap['reason']]}"
        for gap in journal["gaps"]
    ]
    if journal["unsent"]:
        since = f", waited for since {journal['waiting_since']}" if journal["waiting_since"] else ""
        lines.append(
            f"{journal['unsent']} to come, the oldest SEQ {journal['oldest_unsent']}{since}"
        )
    if journal["open_findings"]:
        lines.append(f"{journal['open_findings']} findings: ks punches findings")
    if journal["truncated"]:
        lines.append("has more ranges than are counted here")
    return lines


@app.command("receipt")
def receipt(
    d1: Annotated[str, typer.Argument(help="Device id.")],
    jid: Annotated[str, typer.Argument(help="Journal id.")],
    first: Annotated[int, typer.Argument(min=1, help="First SEQ.")],
    last: Annotated[int, typer.Argument(min=1, help="Last SEQ.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File.", show_default="receipt-D1-JID-FIRST-LAST.toon"),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
) -> None:
    """Get the server's signed receipt for a range of punches; `ks verify` checks it anywhere."""
    check_id(d1)
    check_id(jid, "JID")
    file = output or Path(f"receipt-{d1}-{jid}-{first}-{last}.toon")
    document = ask(server, data, lambda api: api.receipt(d1, jid, first, last))
    file.write_bytes(document)
    say(f"{file}: {last - first + 1} punches, {len(document):,} bytes")
    say(f"next: ks verify {file}")


@app.command("findings")
def findings(
    d1: DeviceOption = "",
    kind: Annotated[str, typer.Option("--kind", help="Such as gap, fork or journal_full.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Those too that somebody has seen.")] = False,
    acknowledge: Annotated[
        list[int] | None, typer.Option("--acknowledge", min=1, help="Say that it was seen.")
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was found wrong with journals, the newest first."""
    query = {"open": str(not every).lower()}
    query |= {name: value for name, value in (("d1", d1), ("kind", kind)) if value}

    async def work(api: PunchApi) -> list[dict[str, Any]]:
        if acknowledge:
            return [await api.acknowledge(number) for number in acknowledge]
        return await api.findings(**query)

    found = ask(server, data, work)
    if as_json:
        show_json(found)
        return
    if not found:
        say("no findings")
        return
    header = ("id", "found", "kind", "device", "journal", "seq", "state", "detail")
    show_table(header, map(_finding, found), right="id")


def _finding(one: dict[str, Any]) -> tuple[object, ...]:
    first, last = one["first_seq"], one["last_seq"]
    numbers = "" if first is None else str(first) if first == last else f"{first}-{last}"
    state = "seen" if one["acknowledged"] else "resolved" if one["resolved"] else "open"
    head = (one["id"], one["found"], one["kind"], one["d1"], one["jid"])
    return (*head, numbers, state, one["detail"])

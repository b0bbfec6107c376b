"""`ks employees`: who records punches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asking import DEFAULT_SERVER, JsonOption, ServerOption, ask, show_json, show_table
from .console import EXIT_FAILED, ToolError, say
from .keys_command import DataOption

if TYPE_CHECKING:
    from ks_simulator.admin_punches import PunchApi

SHOWN_ERRORS = 50

app = typer.Typer(
    help="Employees: import them from a CSV file, list them, erase one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV: external_id,name,cards,site,...")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store nothing.")] = False,
    skip_errors: Annotated[
        bool, typer.Option("--skip-errors", help="Store the lines that have no error.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add and change employees: all lines or, when one has an error, none.

    UTF-8, comma or semicolon, with a header: external_id, and any of name, cards (separated
    by |), site, active_from, active_to (days, as in 2026-11-20, both included).
    Exit status 1 when there are errors.
    """
    content = file.read_bytes()

    async def work(api: PunchApi) -> dict[str, Any]:
        return await api.import_employees(content, dry_run=dry_run, skip_errors=skip_errors)

    result = ask(server, data, work)
    if as_json:
        show_json(result)
    else:
        _show(file, result)
    if result["error_count"]:
        raise typer.Exit(EXIT_FAILED)


def _show(file: Path, result: dict[str, Any]) -> None:
    for error in result["errors"][:SHOWN_ERRORS]:
        column = f" {error['column']}" if error["column"] else ""
        say(f"{file}:{error['line']}:{column} {error['message']} ({error['code']})")
    if result["error_count"] > SHOWN_ERRORS:
        say(f"... {result['error_count']} errors in all; --json lists them")
    counts = ", ".join(
        f"{result[name]} {said}"
        for name, said in (
            ("created", "new"),
            ("changed", "changed"),
            ("unchanged", "unchanged"),
            ("cards_added", "cards given"),
            ("cards_removed", "cards taken"),
        )
    )
    say(("stored: " if result["stored"] else "nothing stored; it would be: ") + counts)


@app.command("list")
def list_employees(
    site: Annotated[str, typer.Option("--site", help="Of this site.")] = "",
    search: Annotated[str, typer.Option("--search", help="In ids and names.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show employees."""
    query = {name: text for name, text in (("site", site), ("search", search)) if text}
    found = ask(server, data, lambda api: api.employees(**query))
    if as_json:
        show_json(found)
        return
    if not found:
        say("no employees")
        return
    header = ("external_id", "name", "site", "from", "to", "cards")
    names = ("external_id", "name", "site", "active_from", "active_to", "cards")
    show_table(header, ([one[name] for name in names] for one in found), right="cards")


@app.command("erase")
def erase(
    external_id: Annotated[str, typer.Argument(help="The employee's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a person, for good: name, id and cards, also in every punch. Times stay."""
    if not yes:
        typer.confirm(f"Forget {external_id} for good?", abort=True)

    async def work(api: PunchApi) -> dict[str, Any]:
        found = await api.employees(external_id=external_id)
        # also what came under the id after its person was erased
        gone = await api.erase_punches([external_id])
        if not found and not gone["punches"] and not gone["conflicts"]:
            raise ToolError("there is no such employee, and no punch under this id")
        for person in found:
            more = await api.erase_employee(person["id"])
            gone = {name: gone[name] + more[name] for name in gone}
        return gone

    result = ask(server, data, work)
    if as_json:
        show_json(result)
        return
    say(
        f"erased: {result['punches']} punches, {result['conflicts']} conflicts, "
        f"{result['cards']} cards"
    )

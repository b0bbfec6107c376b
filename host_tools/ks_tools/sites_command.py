"""`ks sites`: where terminals hang, and by which clock people there live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asking import DEFAULT_SERVER, JsonOption, ServerOption, ask, check_id, show_json, show_table
from .console import ToolError, say
from .keys_command import DataOption

if TYPE_CHECKING:
    from ks_simulator.admin_punches import PunchApi

app = typer.Typer(
    help="Sites: their time zones, allow lists and terminals.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

HEADER = ("site", "name", "time_zone", "allow_list", "devices")


@app.command("list")
def list_sites(
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all sites."""
    found = ask(server, data, lambda api: api.sites())
    if as_json:
        show_json(found)
    elif found:
        show_table(HEADER, map(_row, found), right="devices")
    else:
        say("no sites")


def _row(site: dict[str, Any]) -> list[object]:
    shown = {**site, "allow_list": "yes" if site["allow_list"] else "no"}
    return [shown[name] for name in HEADER]


@app.command("set")
def set_site(
    site: Annotated[str, typer.Argument(help="The site's id.")],
    zone: Annotated[str, typer.Option("--zone", help="IANA name, as in Europe/Berlin.")] = "",
    name: Annotated[str, typer.Option("--name", help="For people.")] = "",
    allow_list: Annotated[
        bool | None,
        typer.Option("--allow-list/--no-allow-list", help="Its terminals hold who may punch."),
    ] = None,
    devices: Annotated[
        list[str] | None, typer.Option("--device", help="This device is of the site.")
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a site or change what is said of it; what is not said stays as it is."""
    check_id(site, "site")
    ids = [check_id(d1) for d1 in devices or ()]

    async def work(api: PunchApi) -> dict[str, Any]:
        known = {one["site"]: one for one in await api.sites()}.get(site, {})
        form = {
            "name": name or known.get("name", site),
            "time_zone": zone or known.get("time_zone", ""),
            "allow_list": known.get("allow_list", False) if allow_list is None else allow_list,
        }
        if not form["time_zone"]:
            raise ToolError("a new site needs its --zone, as in Europe/Berlin")
        shown = await api.put_site(site, form)
        for d1 in ids:
            await api.put_device_site(d1, site)
        return {**shown, "devices": shown["devices"] if not ids else await _count(api, site)}

    result = ask(server, data, work)
    if as_json:
        show_json(result)
    else:
        show_table(HEADER, [_row(result)], right="devices")


async def _count(api: PunchApi, site: str) -> int:
    return int(next(one["devices"] for one in await api.sites() if one["site"] == site))

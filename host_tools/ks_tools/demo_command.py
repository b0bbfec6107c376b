"""`ks demo`: the whole story in about a minute."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import EXIT_FAILED, ToolError, is_watched, rich_console, say

if TYPE_CHECKING:
    from ks_simulator.report import Report

    from .demo import Demo
    from .demo_view import Picture, Plain


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder with server, keys and terminals.")
    ] = False,
    svg: Annotated[Path | None, typer.Option(help="Write the final picture as SVG.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the report: JSON, or JUnit XML for *.xml.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on stdout.")] = False,
) -> None:
    """Watch six terminals live against a real server, in about a minute.

    They make keys, get the time, register, heartbeat, perform commands, survive an outage, lose no
    punch through another and two power cuts, take a signed update, refuse forged ones and roll a
    bad one back. Then a rollout to a dozen more aborts itself in its canary. Their waits are an
    eighth of what the protocol says. Exit status 0 only if every expectation held.
    """
    with ExitStack() as stack:
        if keep:
            folder = Path(tempfile.mkdtemp(prefix="ks-demo-"))
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ks-demo-")))
        outcome = asyncio.run(_run(folder, svg, as_json))
        if report is not None:
            outcome.write(report)
        if keep and not as_json:
            say(f"everything is kept in {folder}")
    if not outcome.ok:
        raise typer.Exit(EXIT_FAILED)


async def _run(folder: Path, svg: Path | None, as_json: bool) -> Report:
    from ks_simulator.application import ReleaseError

    from . import demo_view
    from .demo import Demo

    view: Plain | Picture
    with ExitStack() as stack:
        if as_json:
            view = demo_view.Plain(lambda line: None)
        elif is_watched():
            view = demo_view.Picture()
            stack.enter_context(view.live)
        else:
            view = demo_view.Plain(say)
        told = Demo(folder)
        told.on_change(lambda: view.update(told))
        try:
            outcome = await told.run()
        except ReleaseError as error:
            raise ToolError(str(error)) from None
    _conclude(told, outcome, as_json)
    if svg is not None:
        demo_view.save_svg(told, outcome, svg)
    return outcome


def _conclude(told: Demo, outcome: Report, as_json: bool) -> None:
    from . import demo_view

    if as_json:
        say(outcome.as_json().rstrip())
        return
    console = rich_console()
    if is_watched():
        console.print(demo_view.summary(told, outcome))
        return
    console.print(demo_view.terminals_table(told))
    if told.left_out:
        say(told.left_out)
    held = sum(check.ok for check in outcome.checks)
    say(f"{held} of {len(outcome.checks)} expectations held, {outcome.seconds:.1f} s")

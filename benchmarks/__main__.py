"""`python -m benchmarks [TOPIC...] [--output FILE] [--readme FILE] [--crypto FILE]`: measure.

A topic may also be the first part of some topics' names: `crypto` for `crypto/time` and the others.
Without topics all are measured. benchmarks/latest.json keeps what was measured last, and where only
some topics are measured, the figures of the others come from it. `--readme` puts the figures
between the marks in a Markdown file; `--crypto` puts those of the crypto into another one, so that
the first has only those that have a goal. The exit status is 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .figure import Figure, Unavailable, read, write
from .readme import write_block
from .registry import TOPICS

LATEST = Path(__file__).parent / "latest.json"
WIDTH = 140  # where nobody watches


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 when a goal is missed."""
    chosen = _parse(arguments)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    # What is not measured now stays as it was measured last.
    topics = read(LATEST) if chosen.topics else {}
    measured: list[Figure] = []
    for name in chosen.topics or TOPICS:
        start = time.monotonic()
        try:
            topics[name] = list(TOPICS[name]())
            measured += topics[name]
        except Unavailable as reason:
            console.print(f"{name}: left out: {reason}", markup=False)
        else:
            console.print(f"{name}: {time.monotonic() - start:.0f} s", style="dim")
    console.print(_table(measured))
    topics = {name: topics[name] for name in TOPICS if name in topics}
    write(chosen.output or LATEST, topics)
    figures = [figure for found in topics.values() for figure in found]
    if chosen.readme is not None:
        write_block(chosen.readme, [figure for figure in figures if _is_for_all(figure)])
    if chosen.crypto is not None:
        write_block(chosen.crypto, [figure for figure in figures if _is_crypto(figure)])
    missed = [figure.name for figure in measured if not figure.ok]
    if missed:
        console.print(f"missed: {', '.join(missed)}", style="bold red")
    return 1 if missed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks", description="Measure the product.")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument("--output", type=Path, help="write the figures there as JSON")
    parser.add_argument("--readme", type=Path, help="put the figures into this Markdown file")
    parser.add_argument("--crypto", type=Path, help="put the crypto's figures into this one")
    chosen = parser.parse_args(arguments)
    topics: list[str] = []
    for name in chosen.topics:
        found = [topic for topic in TOPICS if topic == name or topic.startswith(f"{name}/")]
        if not found:
            parser.error(f"{name} is none of {', '.join(TOPICS)}")
        topics += found
    chosen.topics = topics
    return chosen


def _is_crypto(figure: Figure) -> bool:
    return figure.name.startswith("crypto/")


def _is_for_all(figure: Figure) -> bool:
    has_goal = figure.goal is not None or figure.goal_ratio is not None
    return has_goal or not _is_crypto(figure)


def _table(figures: Sequence[Figure]) -> Table:
    table = Table()
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("share of peer", justify="right")
    table.add_column("peer")
    table.add_column("goal", justify="right")
    table.add_column("")
    for figure in figures:
        goal = "" if figure.goal is None else f"{figure.goal:,.0f}"
        if figure.goal_ratio is not None:
            goal = f"{figure.goal_ratio:,g} ×"
        table.add_row(
            figure.name,
            f"{figure.value:,.0f}",
            figure.unit,
            "" if figure.ratio is None else f"{figure.ratio:.3f}",
            figure.peer or "",
            goal,
            "" if not goal else "[green]✓[/]" if figure.ok else "[red]✗ missed[/]",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())

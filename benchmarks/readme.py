"""The figures as a table in a Markdown file, between two marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .figure import Figure

BEGIN = "<!-- figures: written by `make bench`, never by hand -->"
END = "<!-- end of figures -->"
MANY_TIMES = 2


def write_block(path: Path, figures: Sequence[Figure]) -> None:
    """Replace what stands between the marks. Raises ValueError where they are missing."""
    text = path.read_text(encoding="utf-8")
    block = f"{BEGIN}\n\n{_table(figures)}\n\n{END}"
    written, count = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, text, count=1, flags=re.S
    )
    if not count:
        raise ValueError(f"{path} has no marks for figures")
    path.write_text(written, encoding="utf-8")


def _table(figures: Sequence[Figure]) -> str:
    rows = ["| figure | value | as a share of | goal |", "|---|---|---|---|"]
    for figure in figures:
        # A shared machine's speed says nothing to a reader; its ratios do.
        value = "" if figure.ratio is not None else f"{figure.value:,.0f} {figure.unit}"
        rows.append(f"| `{figure.name}` | {value} | {_share(figure)} | {_goal(figure)} |")
    return "\n".join(rows)


def _share(figure: Figure) -> str:
    if figure.ratio is None:
        return ""
    if figure.ratio < MANY_TIMES:
        return f"{figure.ratio:.2f} of {figure.peer}"
    return f"{figure.ratio:.1f} times {figure.peer}"


def _goal(figure: Figure) -> str:
    if figure.goal_ratio is not None and figure.goal_ratio < MANY_TIMES:
        return f"at least {figure.goal_ratio:.2f}"
    if figure.goal_ratio is not None:
        return f"at least {figure.goal_ratio:,.0f} times"
    return "" if figure.goal is None else f"at most {figure.goal:,.0f}"

"""Write the generated parts of docs/ anew: `python -m tools.gen_docs`, or `--check` to compare.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is a function in
`tools.doc_parts`. Everything around it is written by people and left alone. `--check` writes
nothing, prints how the files differ, and exits with 1 when they do.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.doc_parts import PARTS, Part
from tools.micropython import ROOT

DOCS = ROOT / "docs"
BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
MARKER = re.compile(r"<!-- (generated: [a-z-]+|end) -->")


class BadPage(Exception):
    """A page whose markers do not pair, or which names a part that does not exist."""


def render(page: str, parts: Mapping[str, Part] = PARTS) -> str:
    """The page with each generated part written anew. Raises BadPage."""
    blocks = list(BLOCK.finditer(page))
    if len(MARKER.findall(page)) != 2 * len(blocks):
        raise BadPage("a marker without its partner")
    unknown = sorted({block[2] for block in blocks} - set(parts))
    if unknown:
        raise BadPage("no such part: " + ", ".join(unknown))
    return BLOCK.sub(lambda block: f"{block[1]}\n{parts[block[2]]()}\n\n{block[3]}", page)


def pages() -> list[Path]:
    """Every page that has generated parts."""
    return [path for path in sorted(DOCS.glob("*.md")) if BLOCK.search(path.read_text("utf-8"))]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 when `--check` found a difference or a page is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.gen_docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args(arguments).check
    status = 0
    for path in pages():
        name = path.relative_to(ROOT).as_posix()
        before = path.read_text("utf-8")
        try:
            after = render(before)
        except BadPage as problem:
            print(f"{name}: {problem}", file=sys.stderr)
            status = 1
            continue
        if before == after:
            continue
        if check:
            old, new = before.splitlines(), after.splitlines()
            print("\n".join(difflib.unified_diff(old, new, name, f"{name} (generated)", "", "")))
            status = 1
        else:
            path.write_text(after, "utf-8")
            print(f"{name}: written")
    return status


if __name__ == "__main__":
    sys.exit(main())

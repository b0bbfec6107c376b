"""`python -m tests.sweep`: every phase on every board, and every planted bug; see --help."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATHS = ("", "firmware", "simulator", "host_tools", "tests/core", "tests/power/device")
sys.path[:0] = [str(ROOT / path) for path in PATHS]

from tests.sweep import runner  # noqa: E402
from tests.sweep.planted import MISTAKES  # noqa: E402
from tests.sweep.world import geometries  # noqa: E402

import sweep_phases  # noqa: E402  isort: skip

BEGIN = "<!-- sweep: written by `make sweep`, never by hand -->"
END = "<!-- end of the sweep -->"
COMMAND = 'make sweep ARGUMENTS="--replay %s"'


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    parser.add_argument("--phase", action="append", help="only this one; may be given again")
    parser.add_argument("--board", action="append", help="only this one; may be given again")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of torn operations (default: 0)")
    help_text = "PHASE:BOARD:CUT[:CUT] as a failure names it; prints a digest of what it ends in"
    parser.add_argument("--replay", action="append", default=[], help=help_text)
    parser.add_argument("--mistake", help="with --replay: under this planted bug")
    parser.add_argument("--real", action="store_true", help="with --replay: with real signatures")
    help_text = "where a whole sweep, and no part of one, writes its last line"
    parser.add_argument("--readme", type=Path, help=help_text)
    parser.add_argument("--planted-only", action="store_true", help="only the planted bugs")
    return parser.parse_args(given)


def planned(options: argparse.Namespace) -> list[runner.Unit]:
    """Every phase on every board, boards of the same partitions once; two cuts deep everywhere on
    one, in samples on others.
    """
    units: list[runner.Unit] = []
    for number, geometry in enumerate(geometries()):
        if options.board and not set(options.board) & set(geometry.boards):
            continue
        for phase in sweep_phases.PHASES:
            is_wanted = not options.phase or phase.name in options.phase
            if is_wanted and runner.is_on(phase.name, geometry):
                units += runner.units_of(phase.name, geometry.board, number == 0, options.seed)
    return units


def main(given: list[str]) -> int:
    options = arguments(given)
    for text in options.replay:
        print(runner.replay(text, options.seed, options.mistake, options.real))
    if options.replay:
        return 0
    began = time.monotonic()
    units = [] if options.planted_only else planned(options)
    names = list(MISTAKES) if not options.phase else []
    totals: dict[str, runner.Result] = {}
    caught = 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        swept = [pool.submit(runner.do_unit, unit) for unit in units]
        planted = [pool.submit(runner.do_mistake, name) for name in names]
        for done, future in enumerate(as_completed(swept), 1):
            result = future.result()
            if sys.stderr.isatty():
                print(f"\r{done} of {len(swept)} parts", end="", file=sys.stderr)
            total = totals.setdefault(result.name, runner.Result(result.name))
            total.cuts += result.cuts
            total.failed += result.failed
            for text, error in result.failures:
                print(
                    f"FAILED {error}\n  {COMMAND % replay_arguments(text, options.seed)}",
                    flush=True,
                )
        for future in as_completed(planted):
            result = future.result()
            caught += bool(result.failed)
            where = result.failures[0] if result.failures else ("NOT CAUGHT", "")
            print(f"planted: {result.name}: {where[0]} {where[1][:90]}")
    for name in sorted(totals):
        print(f"{name}: {totals[name].cuts} cuts, {totals[name].failed} failed")
    cuts = sum(total.cuts for total in totals.values())
    failed = sum(total.failed for total in totals.values())
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s, {options.jobs} processes")
    last = f"sweep: {cuts} cuts, {failed} failed, {caught} planted bugs caught of {len(names)}"
    if options.readme and not (options.phase or options.board or options.planted_only):
        write_block(options.readme, last)
    print(last)
    return 1 if failed or caught < len(names) or not (cuts or options.planted_only) else 0


def write_block(path: Path, last: str) -> None:
    """Replace what stands between the marks. Raises ValueError where they are missing."""
    before, begin, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no marks for the sweep")
    path.write_text(f"{before}{begin}\n\n    {last}\n\n{end}{after}", "utf-8")


def replay_arguments(text: str, seed: int) -> str:
    return f"{text} --seed {seed}" if seed else text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The short names that a release gives, and those that it takes over from an earlier one.

Names are given over the whole release: one new name in the sources could change nearly all of
them, and with them nearly all files, which a terminal would fetch for a change of one line. So a
release keeps the names that an earlier one gave, as far as they still can be had. New names get
free ones; those that are used no longer become free.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

Table = Mapping[str, str]
# In the order in which they are given.
ATTRIBUTES, FUNCTIONS, PRIVATE, GLOBALS, MODULES = TABLES = (
    "attributes", "functions", "private", "globals", "modules",
)  # fmt: skip
ONE_HOME = ("",)


class Naming:
    """`given`: by table, the new name of each old one.

    `earlier` is that of another release, or empty.
    """

    def __init__(self, earlier: Mapping[str, Table] | None = None) -> None:
        self._earlier = earlier or {}
        self.given: dict[str, dict[str, str]] = {table: {} for table in TABLES}

    def earlier(self, table: str) -> Table:
        """What the other release gave."""
        return self._earlier.get(table, {})

    def give(
        self,
        table: str,
        names: Iterable[str],
        pool: Sequence[str],
        *,
        homes: Callable[[str], Collection[str]] = lambda name: ONE_HOME,
        refused: Callable[[str, str], bool] = lambda name, new: False,
        avoided: Iterable[str] = (),
    ) -> dict[str, str]:
        """A name from `pool` for each, the first ones for the first; none when there are no more.

        No two that share one of their `homes` get the same one, and none gets one that `refused`
        says it cannot have. What the tables in `avoided` gave earlier is taken last: it would have
        to be taken away there.
        """
        names = list(names)
        admitted = frozenset(pool)
        taken: dict[str, set[str]] = defaultdict(set)
        given: dict[str, str] = {}

        def fits(name: str, new: str) -> bool:
            return not refused(name, new) and all(new not in taken[home] for home in homes(name))

        def give(name: str, new: str) -> None:
            given[name] = new
            for home in homes(name):
                taken[home].add(new)

        before = self.earlier(table)
        for name in names:
            new = before.get(name, "")
            if new in admitted and fits(name, new):
                give(name, new)
        spoken_for = {new for other in avoided for new in self.earlier(other).values()}
        ordered = [new for new in pool if new not in spoken_for]
        ordered += [new for new in pool if new in spoken_for]
        for name in names:
            if name not in given:
                found = next((new for new in ordered if fits(name, new)), None)
                if found is not None:
                    give(name, found)
        self.given[table].update(given)
        return given

"""Every beeped punch is on the server once, whatever happens in whatever order."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ks_agent.punch import DIRECTIONS, METHODS
from tests.property.punch_servers import Real, Reference
from tests.property.punch_world import World
from tests.server.conftest import migrated_database

__all__ = ("migrated_database",)

# More of everything: KS_PUNCH_EXAMPLES=20 make test ARGUMENTS=tests/property
MORE = int(os.environ.get("KS_PUNCH_EXAMPLES", "1"))
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
HEAVY = (*SLOW, HealthCheck.function_scoped_fixture)

people = st.sampled_from(["A", "B", "12E45678", "C" * 64, "\u20ac" * 21, "D"])
counts = st.integers(1, 3)
bursts = st.integers(1, 60)
events = st.one_of(
    st.tuples(st.just("take"), people, st.sampled_from(METHODS), st.sampled_from(DIRECTIONS)),
    st.tuples(st.just("burst"), bursts),
    st.tuples(st.just("fill")),
    st.tuples(st.just("live"), st.sampled_from([100, 1_000, 3_000, 20_000, 70_000, 400_000])),
    st.tuples(st.just("link"), st.booleans()),
    st.tuples(st.just("lose_requests"), counts),
    st.tuples(st.just("lose_answers"), counts),
    st.tuples(st.just("replay_requests"), counts),
    st.tuples(st.just("replay_answers"), counts),
    st.tuples(st.just("meanwhile"), bursts),
    st.tuples(st.just("restart")),
    st.tuples(st.just("snapshot")),
    st.tuples(st.just("restore")),
    st.tuples(st.just("jump"), st.sampled_from([-90_000_000, -400_000, 30_000, 8_000_000])),
    st.tuples(st.just("cut"), st.integers(0, 12), st.integers(0, 200)),
    st.tuples(st.just("power")),
    st.tuples(st.just("tail"), st.sampled_from([b"\xff", b"\0", b"\x55\xaa"]), st.integers(1, 90)),
    st.tuples(st.just("wipe"), st.booleans()),
    st.tuples(
        st.just("config"),
        st.sampled_from(
            ["DIRECTION:KEY", "DIRECTION:OUT", "DUPLICATE_S:5", "DUPLICATE_S:0", "UPLOAD_DELAY_S:0"]
        ),
    ),
)
configs = st.sampled_from([{}, {"JOURNAL_KIB": "16", "DUPLICATE_S": "0"}, {"JOURNAL_KIB": "24"}])


def happen(world: World, event: tuple) -> None:
    """Let an event come true."""
    name, *words = event
    if world.dormant:
        world.live_anew()
    if name == "take":
        world.take(*words)
    elif name in ("burst", "fill"):
        most = words[0] if words else 300
        person = "%s" if words else "with a very long identity, so that segments are full %s soon"
        for number in range(most):
            if world.take(person % number) == "full":
                break
    elif name == "live":
        world.live(words[0])
    elif name == "link":
        world.link.up = words[0]
    elif name == "meanwhile":
        world.link.meanwhile = [f"M{number}" for number in range(words[0])]
    elif name == "jump":
        world.backend.wrong_ms += words[0]
    elif name == "cut":
        world.fs.operations_left, world.fs.torn = words
    elif name == "power":
        world.boot()
    elif name == "tail":
        segments = sorted(path for path in world.fs.files if path.endswith(".seg"))
        if segments:
            world.fs.power_on()
            world.fs.files[segments[-1]] += words[0] * words[1]
            world.boot()
    elif name == "wipe":
        world.forced = world.forced or words[0]
        world.backend.order(world.d1, "WIPE", "FORCE:true" if words[0] else "")
    elif name == "config":
        world.backend.order(world.d1, "APPLY_CONFIG", words[0])
    elif name == "restore":
        world.restored = True
        world.backend.restore()
    elif name in ("snapshot", "restart"):
        getattr(world.backend, name)()
    else:
        setattr(world.link, name, words[0])


@settings(max_examples=60 * MORE, deadline=None, suppress_health_check=SLOW)
@given(config=configs, happenings=st.lists(events, max_size=40), ppm=st.integers(-80, 80))
def test_every_beeped_punch_is_on_the_server_once_whatever_happened(
    config: dict[str, str], happenings: list[tuple], ppm: int
) -> None:
    world = World(Reference(), ppm, **config)
    for event in happenings:
        happen(world, event)
    world.heal()
    world.check()


# A server's clock that is wrong makes times wrong that are certain; there are tests of that.
true_clocks = events.filter(lambda event: event[0] != "jump")
# What the server finds wrong with a chain, nothing here is a reason for.
WRONG = {"fork", "rewritten", "reordered", "broken_chain"}


@settings(max_examples=20 * MORE, deadline=None, suppress_health_check=HEAVY)
@given(config=configs, happenings=st.lists(true_clocks, max_size=25), ppm=st.integers(-80, 80))
def test_the_real_server_has_them_with_times_within_the_uncertainty_that_it_states(
    migrated_database: Path, config: dict[str, str], happenings: list[tuple], ppm: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(migrated_database, Path(folder) / "server.sqlite3")
        server = Real(Path(folder))
        try:
            world = World(server, ppm, **config)
            for event in happenings:
                happen(world, event)
            world.heal()
            world.check()
            assert not server.findings() & WRONG
            check_times(world, server)
        finally:
            server.close()


def check_times(world: World, server: Real) -> None:
    """The truth is within the uncertainty, and A3 is kept as it was."""
    true_ms = {one.key: one.true_ms for one in world.beeped()}
    for row in server.rows():
        assert row["state"] == "accepted"
        moment_ms, uncertainty_ms = row["time_ms"], row["uncertainty_ms"]
        known = true_ms.get((row["jid"], row["seq"]))
        if known is not None and uncertainty_ms is not None:
            assert abs(moment_ms - known) <= uncertainty_ms, (row["time_source"], moment_ms - known)

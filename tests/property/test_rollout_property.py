"""What a rollout decides, whatever its rules are and whatever devices say."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ks_server.db.rollout_schema import DEVICE_STATES
from ks_server.rollout_engine import (
    BUCKETS,
    JUDGED,
    NOTHING_HELD,
    Asker,
    Filter,
    Held,
    Rollout,
    Survey,
    after_ack,
    after_first_byte,
    after_offer,
    bucket,
    check_phases,
    next_step,
    shown_state,
    stop_reason,
)

salts = st.text("0123456789abcdef", min_size=1, max_size=32)
ids = st.text("abcdefXYZ0123456789._-", min_size=1, max_size=64)
counts = st.integers(0, 300)
shares = st.integers(1, 10_000).map(lambda hundredths: hundredths / 100)
rising = st.lists(shares, min_size=1, max_size=6, unique=True).map(sorted).map(tuple)
NOW_MS = 1_800_000_000_000


@st.composite
def rollouts(draw: st.DrawFn, /, **fixed: Any) -> Rollout:
    phases = draw(rising)
    values: dict[str, Any] = {
        "id": 1,
        "fw1": "rel",
        "salt": draw(salts),
        "phases": phases,
        "phase": draw(st.integers(0, len(phases) - 1)),
        "filter": Filter(),
        "soak_s": draw(st.integers(0, 1000)),
        "automatic": draw(st.booleans()),
        "abort_share": draw(shares),
        "abort_min": draw(st.integers(1, 50)),
        "abort_count": draw(st.none() | st.integers(1, 50)),
        "penalty": draw(st.integers(1, 6)),
        "downloads_at_once": None,
        "state": draw(st.sampled_from(("draft", "paused", "aborted", "revoked", *["running"] * 6))),
        "phase_started_ms": NOW_MS,
        "succeeded": draw(counts),
        "failing": draw(counts),
    }
    return Rollout(**values | fixed)


@given(rollouts(), st.lists(ids, max_size=40))
def test_who_is_in_a_phase_is_in_all_that_follow(rollout: Rollout, devices: list[str]) -> None:
    before: set[str] = set()
    for phase in range(len(rollout.phases)):
        inside = {d1 for d1 in devices if replace(rollout, phase=phase).is_open_to(d1)}
        assert before <= inside
        before = inside
    if rollout.phases[-1] == 100:
        assert before == set(devices)


@given(salts, ids)
def test_a_bucket_is_a_number_that_never_changes(salt: str, d1: str) -> None:
    assert 0 <= bucket(salt, d1) < BUCKETS
    assert bucket(salt, d1) == bucket(salt, d1)


@settings(deadline=None)
@given(salts)
def test_a_phase_takes_its_share_of_a_fleet(salt: str) -> None:
    fleet = [bucket(salt, f"dev_{number:05d}") for number in range(4000)]
    for share in (5, 20, 50):
        found = sum(place < share * 100 for place in fleet)
        # eight deviations of a binomial distribution
        assert abs(found - 40 * share) < 8 * (4000 * share * (100 - share) / 10_000) ** 0.5


def test_a_bucket_is_made_of_the_first_bytes_of_a_digest() -> None:
    assert bucket("salt", "dev_1") == 0xEC651319 % BUCKETS == 7001


@given(st.lists(st.floats(-5, 120), max_size=6), st.integers(0, 100))
def test_phases_rise_and_a_large_fleet_has_a_small_canary(
    phases: list[float], targeted: int
) -> None:
    fine = (
        bool(phases)
        and all(0 < share <= 100 for share in phases)
        and sorted(set(phases)) == phases
        and (targeted < 20 or phases[0] <= 5)
    )
    assert (check_phases(phases, targeted) is None) == fine


@given(rollouts())
def test_a_rollout_stops_exactly_at_its_limits(rollout: Rollout) -> None:
    attempts = rollout.succeeded + rollout.failing
    too_many = rollout.abort_count is not None and rollout.failing >= rollout.abort_count
    # the decimal share, as it is written, without any rounding
    limit = Fraction(str(rollout.abort_share)) / 100
    share = (
        attempts >= rollout.abort_min
        and rollout.failing > 0
        and Fraction(rollout.failing, attempts) >= limit
    )
    expected = rollout.state in JUDGED and (too_many or share)
    assert (stop_reason(rollout) is not None) == expected


@given(rollouts(), counts)
def test_more_failures_never_start_what_fewer_stopped(rollout: Rollout, more: int) -> None:
    if stop_reason(rollout) is not None:
        worse = replace(rollout, failing=rollout.failing + more)
        assert stop_reason(worse) is not None


surveys = st.builds(Survey, st.booleans(), st.booleans(), st.booleans())


@given(rollouts(), surveys, st.integers(0, 2_000_000))
def test_a_phase_is_followed_only_when_all_is_well(
    rollout: Rollout, survey: Survey, later_ms: int
) -> None:
    step = next_step(rollout, survey, NOW_MS + later_ms)
    if step is None:
        return
    assert rollout.state == "running"
    assert stop_reason(rollout) is None
    assert rollout.succeeded > 0
    assert later_ms >= rollout.soak_s * 1000
    if step == "promote":
        assert rollout.automatic
        assert not rollout.is_last_phase
        attempts = rollout.succeeded + rollout.failing
        limit = Fraction(str(rollout.abort_share)) / 100
        assert rollout.failing == 0 or Fraction(rollout.failing, attempts) < limit
        assert survey.proved or not (survey.expected or survey.failed)
    else:
        assert rollout.is_last_phase
        assert not survey.expected


@given(rollouts(state="running", automatic=True, failing=0), surveys, st.integers(1, 300))
def test_a_phase_that_went_well_is_followed(
    rollout: Rollout, survey: Survey, succeeded: int
) -> None:
    rollout = replace(rollout, succeeded=succeeded)
    well = survey._replace(proved=True, expected=False)
    expected = "finish" if rollout.is_last_phase else "promote"
    assert next_step(rollout, well, NOW_MS + rollout.soak_s * 1000) == expected


texts = st.none() | st.sampled_from(
    ("ROLLED_BACK crash", "POSTPONED no_server", "BANNED", "HASH", "ROLLED_BACKWARDS", "")
) | st.text(max_size=20)  # fmt: skip
happenings = st.lists(
    st.just(("offer", "", None))
    | st.just(("byte", "", None))
    | st.tuples(st.just("ack"), st.sampled_from(("OK", "ERROR", "PARTIAL")), texts),
    max_size=30,
)


@given(happenings, st.integers(1, 5))
def test_a_device_fails_once_an_offer_and_ends_in_the_penalty_box(
    happenings: list[tuple[str, str, str | None]], penalty: int
) -> None:
    held, begun, succeeded, failing = NOTHING_HELD, 0, 0, 0
    for what, ack1, ack2 in happenings:
        if what == "offer":
            after = after_offer(held)
            assert (after is None) == (held.state == "penalty")
            begun += after is not None
        elif held == NOTHING_HELD:
            continue  # nothing is acknowledged or fetched before it was offered
        elif what == "byte":
            after = after_first_byte(held)
        else:
            after = after_ack(held, ack1, ack2, penalty)
            # what ran the release may go back from it later
            begun += after is not None and after.state == "updated"
        if after is None:
            continue
        # what the rollout adds up is what its devices sum up to
        succeeded += after.share[0] - held.share[0]
        failing += after.share[1] - held.share[1]
        assert (held.share, after.share) != ((0, 1), (0, 0))  # a failure is not forgotten
        held = after
        assert (succeeded, failing) == held.share
        assert held.failures <= begun
        if held.state == "penalty":
            assert held.failures >= penalty


@given(happenings, st.integers(1, 5), texts)
def test_an_acknowledgement_again_changes_nothing(
    happenings: list[tuple[str, str, str | None]], penalty: int, ack2: str | None
) -> None:
    held = Held("offered", None, 0)
    for what, ack1, text in happenings:
        after = after_ack(held, ack1, text, penalty) if what == "ack" else after_offer(held)
        held = after or held
    for ack1 in ("OK", "ERROR", "PARTIAL"):
        once = after_ack(held, ack1, ack2, penalty)
        if once is not None:
            assert after_ack(once, ack1, ack2, penalty) in (None, once)


states = st.sampled_from(DEVICE_STATES)


@given(st.lists(st.tuples(st.none() | states, st.booleans()), max_size=50))
def test_every_device_is_in_one_state(devices: list[tuple[str | None, bool]]) -> None:
    shown = Counter(
        shown_state(None if state is None else Held(state, None, 0), is_offline)
        for state, is_offline in devices
    )
    assert shown.total() == len(devices)
    for state, is_offline in devices:
        if is_offline and state in (None, "waiting", "offered", "downloading", "postponed"):
            assert shown["offline"]
        elif state is not None:
            assert shown[state]


names = st.sampled_from(("a", "b", "c"))
choices = st.none() | st.frozensets(names, min_size=1)


@given(
    st.builds(Filter, choices, choices, choices, choices, choices),
    names, names, st.none() | names, st.none() | names, st.none() | names,
)  # fmt: skip
def test_a_filter_admits_who_is_on_each_of_its_lists(
    chosen: Filter, d1: str, d2: str, d5: str | None, site: str | None, fw2: str | None
) -> None:
    asker = Asker(d1, d2, d5, site, fw2, None)
    pairs = (
        (chosen.devices, d1), (chosen.types, d2), (chosen.models, d5), (chosen.sites, site),
        (chosen.versions, fw2),
    )  # fmt: skip
    expected = all(values is None or value in values for values, value in pairs)
    assert chosen.admits(asker) == expected

"""The button: bounces, is held for the setup, or chooses a direction."""

from feature_bench import Bench, button
from feature_machine import Pin


def made(level=1, **options):
    bench = Bench("setup", "direction", "key")
    bench.make(button, {"pin": 36}, **options)
    Pin.of(36).level = level
    return bench


def played(steps, **options):
    """`steps`: (level, ms) one after the other."""

    async def story(bench):
        for level, ms in steps:
            Pin.of(36).level = level
            await bench.pass_ms(ms)

    bench = made(**options)
    bench.play(story)
    return bench


def events(bench):
    return [event for event, _ in bench.told]


def test_held_for_five_seconds_it_opens_the_setup_once():
    bench = played([(1, 100), (0, 4900), (1, 500)])
    assert "setup" not in events(bench)
    bench = played([(1, 100), (0, 20000), (1, 500)])
    assert events(bench) == ["key", "setup"]
    bench = played([(1, 100), (0, 6000), (1, 500), (0, 6000)])
    assert events(bench) == ["key", "setup"] * 2


def test_held_from_the_start_it_opens_the_setup():
    assert "setup" in events(played([(0, 6000)], level=0))


def test_it_is_told_whether_it_is_down_now():
    bench = made()
    feature = bench.features["button"]
    assert not feature.is_down() and feature.test() == {"DOWN": "no"}
    Pin.of(36).level = 0
    assert feature.is_down() and feature.test() == {"DOWN": "yes"}


def test_contacts_that_bounce_count_once():
    bouncing = [(0, 1), (1, 2), (0, 1), (1, 1)]
    bench = played(bouncing + [(0, 200)] + bouncing + [(1, 200)], role="in")
    assert events(bench) == ["key", "direction"]


def test_a_spike_is_nothing():
    assert events(played([(0, 5), (1, 60)] * 30, role="in")) == []


def test_chatter_while_it_is_held_does_not_begin_the_hold_anew():
    bench = played([(0, 2500), (1, 3), (0, 2600), (1, 100)])
    assert "setup" in events(bench)


def test_roles_in_and_out_choose_the_direction():
    for role, direction in (("in", "IN"), ("out", "OUT")):
        bench = played([(0, 100), (1, 100)], role=role)
        bench.punch("A", "RFID")
        assert bench.punches == [("A", "RFID", direction)]
        assert events(played([(0, 9000)], role=role)).count("setup") == 0


def test_active_high_is_the_other_way_round():
    bench = played([(0, 100), (1, 6000)], active="high", level=0)
    assert "setup" in events(bench)
    assert Pin.of(36).pull == Pin.PULL_DOWN
    made()
    assert Pin.of(36).pull == Pin.PULL_UP


def test_a_press_is_seen_by_the_factory_test():
    bench = made(role="out")
    bench.begin("button")

    async def story(bench):
        Pin.of(36).level = 0
        await bench.pass_ms(100)

    bench.play(story)
    assert bench.end("button") == ["out"]

"""LED and buzzer: what a person sees and hears of what happened."""

from feature_bench import Bench, buzzer, led
from feature_machine import PWM, Pin


def sampled(bench, level, story, step_ms=10):
    """Changes of `level()` as (value, ms) while the story goes on."""
    found = []

    def look():
        value = level()
        if found and found[-1][0] == value:
            found[-1][1] += step_ms
        else:
            found.append([value, step_ms])

    async def watched(bench):
        for action, ms in story:
            if action is not None:
                bench.show(*action)
            for _ in range(ms // step_ms):
                await bench.settle()
                look()
                await bench.pass_ms(step_ms)

    bench.play(watched)
    return [(value, ms) for value, ms in found]


ACCEPTED = ("punch", {"A2": "IN", "S1": "accepted"})
DUPLICATE = ("punch_refused", {"S1": "duplicate"})
UNKNOWN = ("punch_refused", {"S1": "unknown"})
OFFLINE = ("offline", {"reason": "no link"})
HEARTBEAT = ("heartbeat", {"TS": "now"})


def lit(story, pins=None, **options):
    bench = Bench()
    bench.make(led, pins or {"pin": 2}, **options)
    off = 1 if options.get("active") == "low" else 0

    def level():
        if pins is None:
            return Pin.of(2).level ^ off
        return (Pin.of(4).level ^ off) | (Pin.of(16).level ^ off) << 1

    return sampled(bench, level, story)


def heard(story):
    bench = Bench()
    bench.make(buzzer, {"pin": 4})
    return sampled(bench, lambda: PWM.last._hz if PWM.last._duty else 0, story)


def test_an_accepted_punch_is_one_long_light_and_one_short_high_beep():
    assert lit([(ACCEPTED, 2000)]) == [(1, 1000), (0, 1000)]
    assert heard([(ACCEPTED, 1000)]) == [(4000, 120), (0, 880)]


def test_a_duplicate_is_two_short_ones():
    assert [value for value, _ in lit([(DUPLICATE, 1000)])] == [1, 0, 1, 0]
    assert [hz for hz, _ in heard([(DUPLICATE, 1000)])] == [4000, 0, 4000, 0]


def test_a_refusal_is_three_flashes_and_a_long_low_sound():
    assert [value for value, _ in lit([(UNKNOWN, 2000)])] == [1, 0, 1, 0, 1, 0]
    assert heard([(UNKNOWN, 1000)])[0] == (500, 500)


def test_two_colours_are_green_for_yes_and_red_for_no():
    pins = {"red": 16, "green": 4}
    assert lit([(ACCEPTED, 2000)], pins)[0] == (1, 1000)
    assert {value for value, _ in lit([(UNKNOWN, 2000)], pins)} == {0, 2}
    assert {value for value, _ in lit([(ACCEPTED, 500)], pins, active="low")} == {1}


def test_active_low_is_the_other_way_round():
    assert lit([(None, 100), (ACCEPTED, 2000)], active="low") == [(0, 100), (1, 1000), (0, 1000)]


def test_offline_is_heard_once_and_seen_until_there_is_a_link():
    story = [(OFFLINE, 5000), (OFFLINE, 5000), (HEARTBEAT, 6000), (OFFLINE, 1000)]
    sounds = [hz for hz, _ in heard(story) if hz]
    assert sounds == [2000, 500, 2000, 500]
    flashes = lit(story)
    assert len([value for value, ms in flashes if value and ms == 60]) == 5
    assert flashes[-3][0] == 0 and flashes[-3][1] >= 3000


def test_a_punch_while_offline_is_shown_at_once():
    seen = lit([(OFFLINE, 1000), (ACCEPTED, 1000)])
    assert [value for value, _ in seen] == [1, 0, 1]
    assert 940 <= seen[1][1] <= 960  # its pattern is looked at every 20 ms


def test_the_newest_event_counts():
    seen = heard([(UNKNOWN, 100), (ACCEPTED, 500)])
    assert [hz for hz, _ in seen] == [500, 4000, 0]
    assert seen[0][1] <= 120 and seen[1][1] == 120


def test_a_key_is_a_click():
    assert heard([(("key", {}), 200)]) == [(2000, 20), (0, 180)]


def test_identify_and_setup_are_shown():
    assert len(lit([(("identify", {}), 3000)])) > 5
    assert len(heard([(("setup", {}), 1000)])) == 4
    assert len(lit([(("setup", {}), 1000)])) > 5


def test_nothing_waits_for_a_light_or_a_sound():
    bench = Bench()
    bench.make(led, {"pin": 2})
    before = bench.ms
    for _ in range(1000):
        bench.show(*ACCEPTED)
    assert bench.ms == before and Pin.of(2).level == 0


def test_the_factory_test_shows_each_of_them():
    for module, pins in ((led, {"pin": 2}), (led, {"red": 16, "green": 4}), (buzzer, {"pin": 4})):
        bench = Bench()
        feature = bench.make(module, pins)

        async def story(bench):
            assert feature.test() == {}
            await bench.pass_ms(3000)

        bench.play(story)
    assert [hz for hz in PWM.last.sounds if hz] == [500, 2000, 4000]


def test_everything_is_off_when_the_terminal_ends():
    bench = Bench()
    bench.make(led, {"pin": 2})
    bench.make(buzzer, {"pin": 4})

    async def story(bench):
        bench.show(*ACCEPTED)
        await bench.pass_ms(50)
        assert Pin.of(2).level == 1 and PWM.last._duty

    bench.play(story)
    assert Pin.of(2).level == 0 and not PWM.last._duty

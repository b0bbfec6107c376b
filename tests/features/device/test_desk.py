"""The desk: punches with the direction chosen before, events, what was seen, tasks that fail."""

import asyncio

from feature_bench import MASK, Bench, Desk


def test_a_punch_goes_on_as_a_tuple_with_no_direction():
    bench = Bench()
    assert bench.punch("04A1", "RFID")
    assert bench.punches == [("04A1", "RFID", "")]


def test_a_chosen_direction_is_the_next_punch_s_and_no_other_s():
    bench = Bench("direction")
    bench.choose("OUT")
    bench.punch("A", "RFID")
    bench.punch("B", "RFID")
    assert bench.punches == [("A", "RFID", "OUT"), ("B", "RFID", "")]
    assert bench.told == [("direction", {"A2": "OUT"})]


def test_a_chosen_direction_is_forgotten_after_ten_seconds():
    bench = Bench()
    bench.choose("OUT")
    bench.ms += 9999
    bench.punch("A", "RFID")
    bench.choose("IN")
    bench.ms += 10000
    bench.punch("B", "RFID")
    assert [punch[2] for punch in bench.punches] == ["OUT", ""]


def test_time_goes_on_where_the_ticks_begin_anew():
    bench = Bench(now_ms=MASK - 10)
    then_ms = bench.now_ms()
    bench.ms += 100
    assert bench.now_ms() < then_ms
    assert bench.since(then_ms) == 100


def test_its_own_clock_advances():
    desk = Desk()
    then_ms = desk.now_ms()
    asyncio.run(desk.pause(5))
    assert 4 <= desk.since(then_ms) < 5000


def test_in_the_factory_punches_go_nowhere():
    desk = Desk()
    assert desk.punch("A", "RFID")
    assert desk.put(("A",))


def test_every_listener_hears_an_event_even_if_another_fails():
    def fail(event, detail):
        raise MemoryError()

    bench = Bench()
    heard = []
    bench.on("punch", fail)
    bench.on("punch", lambda event, detail: heard.append((event, detail)))
    bench.on("", lambda event, detail: heard.append(event))
    bench.show("punch", {"A2": "IN"})
    bench.show("heartbeat", {})
    assert heard == [("punch", {"A2": "IN"}), "punch", "heartbeat"]


def test_what_was_seen_is_kept_from_begin_to_end_and_never_more_than_sixteen():
    desk = Desk()
    desk.seen("keypad", "1")
    assert desk.end("keypad") is None
    desk.begin("keypad")
    desk.begin("wiegand")
    for number in range(20):
        desk.seen("keypad", number)
    desk.seen("wiegand", "x" * 100)
    desk.begin("rdm6300")
    assert desk.end("keypad") == [str(number) for number in range(16)]
    assert desk.end("wiegand") == ["x" * 48]
    assert desk.end("rdm6300") == []
    desk.seen("keypad", "1")
    assert desk.end("keypad") is None


class Loose:
    """Works at the third try."""

    def __init__(self, bench):
        self.bench = bench
        self.tries = 0

    async def run(self):
        self.tries += 1
        if self.tries < 3:
            raise OSError("no answer")
        self.bench.fault("loose", "")
        await self.bench.pause(1 << 29)


def test_a_feature_that_fails_is_tried_again_and_told_of_once():
    bench = Bench()
    loose = bench.features["loose"] = Loose(bench)
    bench.features["broken"] = None

    async def story(bench):
        await bench.pass_ms(4000)
        assert (loose.tries, bench.faults) == (1, {"loose": "no answer"})
        await bench.pass_ms(20000)

    bench.play(story)
    assert loose.tries == 3
    assert bench.faults == {}
    assert bench.log == ["loose: no answer", "loose: works again"]


def test_a_log_that_has_no_memory_stops_nothing():
    def tell(text):
        raise MemoryError()

    desk = Desk(tell=tell)
    desk.fault("led", "broken")
    assert desk.faults == {"led": "broken"}


def test_closing_ends_what_was_spawned():
    async def story():
        desk = Desk()
        task = desk.spawn(desk.pause(1000000))
        await desk.pause(1)
        desk.close()
        try:
            await task
        except asyncio.CancelledError:
            return True
        return False

    assert asyncio.run(story())


def test_its_flag_is_one_that_interrupts_may_set_where_there_are_any():
    async def story():
        flag = Desk().flag()
        assert type(flag) is getattr(asyncio, "ThreadSafeFlag", asyncio.Event)
        flag.set()
        await flag.wait()
        flag.clear()

    asyncio.run(story())

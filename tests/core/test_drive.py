"""The loop that performs a life's effects: answers in, failures thrown, crashes recorded."""

import asyncio

from support import raises

from ks_agent.effects import Download, Fetch, Response, Restart, Sleep
from ks_driver.loop import WakeableSleep, drive


class Http:
    """Answers what was asked for; `failures` are raised first, one a call."""

    def __init__(self, failures=()):
        self.failures = list(failures)
        self.asked = []

    async def request(self, effect):
        return self._answer(effect)

    async def download(self, effect):
        effect.begin(200, {"content-length": "5"})
        effect.sink(memoryview(b"piece"))
        return self._answer(effect)

    def _answer(self, effect):
        self.asked.append(effect)
        if self.failures:
            raise self.failures.pop(0)
        return Response(200, {}, effect.url.encode())


class Sleeps:
    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)


def fetch(url="http://a/"):
    return Fetch("GET", url, [], None, 100, 1000)


def run(life, http=None, **more):
    return asyncio.run(drive(life, http or Http(), **more))


def test_each_effect_is_performed_and_its_result_sent_in():
    seen = []
    pieces = []

    def begin(status, headers):
        pieces.append((status, headers))

    def sink(piece):
        pieces.append(bytes(piece))

    def life():
        response = yield fetch()
        seen.append(response.body)
        response = yield Download("http://b/", [], begin, sink, 9, 9)
        seen.append(response.status)
        seen.append((yield Sleep(1500)))

    sleeps = Sleeps()
    assert run(life(), sleep=sleeps) is None
    assert seen == [b"http://a/", 200, None]
    assert pieces == [(200, {"content-length": "5"}), b"piece"]
    assert sleeps.seconds == [1.5]


def test_a_restart_ends_the_life_at_once_and_gives_its_reason():
    closed = []

    def life():
        try:
            yield Restart("update")
            raise AssertionError("went on")
        finally:
            closed.append(True)

    http = Http()
    assert run(life(), http) == "update"
    assert closed == [True]
    assert http.asked == []


def test_a_failure_is_thrown_in_where_the_effect_was_yielded():
    seen = []

    def life():
        for _ in range(2):
            try:
                yield fetch()
            except OSError as error:
                seen.append(error.args[0])
        response = yield fetch()
        seen.append(response.status)

    assert run(life(), Http([OSError(111), OSError(110)])) is None
    assert seen == [111, 110, 200]


def test_what_a_begin_or_a_sink_raises_is_thrown_in():
    class Full(Exception):
        pass

    def full(*_):
        raise Full

    def nothing(*_):
        pass

    seen = []

    def life(begin, sink):
        try:
            yield Download("http://a/", [], begin, sink, 9, 9)
        except Full:
            seen.append("full")

    run(life(nothing, full))
    run(life(full, nothing))
    assert seen == ["full", "full"]


def test_an_effect_that_does_not_exist_is_a_crash():
    class Strange:
        kind = "strange"

    def life():
        yield Strange()

    assert "strange" in str(raises(ValueError, run, life()))


class Disk:
    """An `fs` port that keeps what is written."""

    def __init__(self):
        self.files = {}

    def is_dir(self, path):
        return True

    def open(self, path, mode):
        self._path = path
        return self

    def write(self, data):
        self.files[self._path] = data

    def sync(self, file):
        pass

    def rename(self, old, new):
        self.files[new] = self.files.pop(old)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


def test_a_crash_is_recorded_and_raised():
    def life():
        yield Sleep(0)
        raise KeyError("the reason")

    disk = Disk()

    def crash():
        run(life(), fs=disk)

    raises(KeyError, crash)
    assert list(disk.files) == ["data/state/crash.toon"]
    assert b"KeyError" in disk.files["data/state/crash.toon"]
    assert b"the reason" in disk.files["data/state/crash.toon"]


def test_an_uncaught_link_failure_is_a_crash_as_well():
    def life():
        yield fetch()

    raises(OSError, run, life(), Http([OSError(111)]))


def test_a_power_cut_reaches_the_life_as_nothing_but_its_end():
    seen = []

    def life():
        try:
            yield Sleep(1000000)
        except Exception as error:
            seen.append(error)
        finally:
            seen.append("closed")

    async def cut():
        task = asyncio.create_task(drive(life(), Http()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            seen.append("cancelled")

    asyncio.run(cut())
    assert seen == ["closed", "cancelled"]


def test_a_sleep_can_be_ended_early():
    async def story():
        sleep = WakeableSleep()
        seen = []

        def life():
            yield Sleep(1000000)
            seen.append("awake")
            yield Sleep(1000000)
            seen.append("awake again")
            yield Sleep(1)
            seen.append("slept")

        task = asyncio.create_task(drive(life(), Http(), sleep=sleep))
        await asyncio.sleep(0)
        sleep.wake()
        while not seen:  # noqa: ASYNC110 -- an event would be the thing under test
            await asyncio.sleep(0)
        sleep.wake()
        await task
        return seen

    assert asyncio.run(story()) == ["awake", "awake again", "slept"]


def test_a_wake_up_between_two_pieces_of_work_ends_the_sleep_that_follows_them():
    async def story():
        sleep = WakeableSleep()
        seen = []

        def life():
            yield Sleep(0)
            sleep.wake()
            for _ in range(3):
                yield Sleep(0)
                seen.append("piece")
            yield Sleep(1000000)
            seen.append("awake")

        await drive(life(), Http(), sleep=sleep)
        return seen

    assert asyncio.run(story()) == ["piece", "piece", "piece", "awake"]


def test_a_sleep_of_no_time_lets_others_have_their_turn():
    async def story(sleep):
        seen = []

        def life():
            for _ in range(3):
                seen.append("piece")
                yield Sleep(0)

        async def other():
            for _ in range(2):
                seen.append("other")
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        await drive(life(), Http(), sleep=sleep)
        await task
        return seen

    for sleep in (asyncio.sleep, WakeableSleep()):
        assert asyncio.run(story(sleep)) == ["piece", "other", "piece", "other", "piece"]


def test_a_power_cut_in_the_moment_of_a_wake_up_is_not_missed():
    async def cut_after(turns):
        sleep = WakeableSleep()
        task = asyncio.create_task(sleep(1000))
        for _ in range(3):
            await asyncio.sleep(0)
        sleep.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            return "over"
        try:
            await task
        except asyncio.CancelledError:
            return "cut"
        return "missed"

    ends = [asyncio.run(cut_after(turns)) for turns in range(8)]
    assert ends[0] == "cut"
    assert ends[-1] == "over"
    assert "missed" not in ends, ends


def test_the_time_of_a_sleep_ended_early_does_not_end_the_next_one():
    async def story():
        sleep = WakeableSleep()
        sleep.wake()
        await sleep(0.001)
        await asyncio.sleep(0.01)  # by now it would have ended by itself
        task = asyncio.create_task(sleep(1000))
        for _ in range(8):
            await asyncio.sleep(0)
        still_asleep = not task.done()
        sleep.wake()
        await task
        return still_asleep

    assert asyncio.run(story())

"""Downloads of bundles: over links that break, past servers that lie, on after restarts."""

# heap: 512k because the agent, compiled here, shares it with the test's server and flash

from test_update import URL, offer, ready, reported
from update_desk import (
    DOWNLOAD,
    Drops,
    head_bytes,
    idle_after,
    installed,
    offered,
    slot_files,
    staged,
)

from ks_agent.download import PROGRESS_BYTES


def test_a_link_that_drops_every_few_hundred_bytes_brings_the_release_in_one_attempt():
    terminal = ready()
    content = offered(terminal)
    link = Drops(terminal, 700)
    terminal.run(lambda: staged(terminal))
    assert installed(terminal)
    assert terminal.server.ops().count("firmware/check") == 1
    assert link.bytes == len(content)
    assert len(link.starts) > len(content) // 700


def test_a_download_goes_on_where_it_was_after_a_restart_at_any_request():
    for requests in range(1, 20):
        terminal = ready()
        content = offered(terminal)
        link = Drops(terminal, 700)
        terminal.run(lambda requests=requests, link=link: len(link.starts) == requests)
        if link.bytes == len(content):
            break
        kept = link.starts[-1]
        terminal.life.close()
        terminal.boot()
        terminal.run(lambda terminal=terminal: staged(terminal))
        assert installed(terminal) and reported(terminal) == []
        first = link.starts[requests]
        assert first == 0 or kept <= first <= kept + 700
        assert (first == 0) == (kept < head_bytes(content))
        assert DOWNLOAD not in terminal.fs.files
    assert requests > 8


def test_another_offer_starts_anew():
    terminal = ready()
    offered(terminal)
    link = Drops(terminal, 700)
    terminal.run(lambda: len(link.starts) == 6)
    terminal.life.close()
    other = {"main.py": b"other\n" * 200}
    offered(terminal, other, FW1="rel-3", FW2="1.2.0")
    release = dict(terminal.server.answers["firmware/check"])
    offer(terminal, terminal.server.content[URL], FW1="rel-3", FW2="1.2.0")
    assert release["FW4"] == terminal.server.answers["firmware/check"]["FW4"]
    terminal.boot()
    terminal.run(lambda: staged(terminal))
    assert installed(terminal, other)
    assert link.starts[6] == 0


def test_five_requests_in_a_row_that_bring_nothing_end_the_attempt_and_lose_nothing():
    terminal = ready()
    content = offered(terminal)
    link = Drops(terminal, 1400)
    terminal.run(lambda: len(link.starts) == 4)
    link.brought = 0
    before = len(link.starts)
    terminal.run(lambda: terminal.agent.progress.state == "IDLE")
    assert len(link.starts) - before == 5
    assert DOWNLOAD in terminal.fs.files and reported(terminal) == []
    beats = terminal.beats()
    terminal.run(lambda: terminal.beats() == beats + 1)
    link.brought = None
    terminal.run(lambda: staged(terminal))
    assert installed(terminal) and link.bytes == len(content)


def test_a_server_that_drips_a_few_bytes_a_request_does_not_wear_out_the_flash():
    terminal = ready()
    offered(terminal)
    link = Drops(terminal, None)
    terminal.run(lambda: DOWNLOAD in terminal.fs.files)
    link.brought = PROGRESS_BYTES - 1
    before = len(link.starts)
    terminal.run(lambda: terminal.agent.progress.state == "IDLE")
    assert len(link.starts) - before <= 5


def test_a_server_that_ignores_ranges_is_read_up_to_the_wanted_place():
    terminal = ready()
    content = offered(terminal)
    poured = []

    def ignores(fetch, status, headers, body):
        assert fetch.max_bytes == len(content)
        poured.append(fetch)
        return 200, {"content-length": str(len(content))}, content

    terminal.server.serving = ignores
    terminal.run(lambda: staged(terminal))
    assert installed(terminal) and len(poured) == 3


def test_a_server_that_ignores_ranges_over_a_poor_link_is_given_up_and_tried_later():
    terminal = ready()
    content = offered(terminal)
    broken = []

    def ignores(fetch, status, headers, body):
        if len(broken) == 20:
            return status, headers, body
        broken.append(fetch)
        return 200, {"content-length": str(len(content))}, content[:900]

    terminal.server.serving = ignores
    terminal.run(lambda: staged(terminal))
    assert installed(terminal)


def test_a_bundle_that_is_gone_is_forgotten_and_not_banned():
    for status in (403, 404, 410, 416):
        terminal = ready()
        offered(terminal)
        link = Drops(terminal, 700)
        terminal.run(lambda link=link: len(link.starts) == 6)
        assert "slot_b/.part" in terminal.fs.files

        def gone(fetch, _status, headers, body, status=status):
            return status, {}, b""

        terminal.server.serving = gone
        idle_after(terminal, 7)
        assert DOWNLOAD not in terminal.fs.files and "slot_b/.part" not in terminal.fs.files
        assert reported(terminal) == [] and terminal.agent.progress.state == "IDLE"
        link = Drops(terminal, None)
        terminal.run(lambda terminal=terminal: staged(terminal))
        assert link.starts[0] == 0 and installed(terminal)


def test_a_server_that_has_no_time_is_asked_again_later_and_nothing_is_lost():
    for status in (401, 429, 500, 503):
        terminal = ready()
        offered(terminal)
        link = Drops(terminal, 700)
        terminal.run(lambda link=link: len(link.starts) == 6)

        def busy(fetch, _status, headers, body, status=status):
            return status, {}, b""

        terminal.server.serving = busy
        idle_after(terminal, 7)
        assert len(terminal.server.served) == 7 and DOWNLOAD in terminal.fs.files
        last = link.starts[-1]
        link = Drops(terminal, None)
        terminal.run(lambda terminal=terminal: staged(terminal))
        assert link.starts[0] > last and installed(terminal)


def test_another_range_than_was_asked_for_is_not_taken():
    for text in (
        "",
        "bytes",
        "bytes */7000",
        "bytes 0-127",
        "bytes 1-128/SIZE",
        "bytes 0-128/SIZE",
        "bytes 0--1/SIZE",
        "bytes 0-x/SIZE",
        "items 0-127/SIZE",
        "bytes 0-127/7000, bytes 0-127/7000",
    ):
        terminal = ready()
        content = offered(terminal)

        def lies(fetch, status, headers, body, content=content, text=text):
            return 206, {"content-range": text.replace("SIZE", str(len(content)))}, content[:128]

        terminal.server.serving = lies
        idle_after(terminal, 1)
        assert terminal.restarts == [] and slot_files(terminal) == {}, text
        link = Drops(terminal, None)
        terminal.run(lambda terminal=terminal: staged(terminal))
        assert link.starts[0] == 0 and installed(terminal)


def test_a_shorter_range_than_was_asked_for_is_taken_as_what_it_is():
    terminal = ready()
    content = offered(terminal)

    def shorter(fetch, status, headers, body):
        first = int(dict(fetch.headers)["Range"][6:].split("-")[0])
        body = body[:900]
        span = "bytes %d-%d/*" % (first, first + len(body) - 1)
        return 206, {"content-range": span, "content-length": str(len(body))}, body

    terminal.server.serving = shorter
    terminal.run(lambda: staged(terminal))
    assert installed(terminal) and len(terminal.server.served) > len(content) // 900


def test_the_page_of_a_hotel_in_place_of_a_bundle_is_a_failure_of_the_link():
    terminal = ready()
    offered(terminal)
    link = Drops(terminal, 700)
    terminal.run(lambda: len(link.starts) == 6)

    def page(fetch, status, headers, body):
        return 200, {"content-length": "900"}, b"<p>Please pay</p>" * 50

    terminal.server.serving = page
    idle_after(terminal, 7)
    assert DOWNLOAD in terminal.fs.files and reported(terminal) == []
    terminal.server.serving = None
    terminal.run(lambda: staged(terminal))
    assert installed(terminal)


def test_an_answer_without_end_is_cut_off_where_the_wanted_bytes_end():
    terminal = ready()
    content = offered(terminal)
    swallowed = []

    def handle(fetch, status, headers, body):
        fetch.begin(status, headers)
        fetch.sink(body)
        swallowed.append(len(body))
        for _ in range(1000):
            fetch.sink(bytes(2048))
            swallowed.append(2048)
        raise AssertionError("it swallowed two megabytes")

    terminal.server.serving = handle
    terminal.run(lambda: staged(terminal))
    assert installed(terminal) and sum(swallowed) == len(content)


def test_ranges_are_asked_for_by_the_etag_that_the_first_answer_had():
    terminal = ready()
    offered(terminal)
    terminal.server.etag = '"one"'
    asked = []

    def note(fetch, status, headers, body):
        asked.append(dict(fetch.headers).get("If-Range"))
        return status, headers, body[:900]

    terminal.server.serving = note
    terminal.run(lambda: len(asked) == 6)
    terminal.life.close()
    terminal.boot()
    terminal.run(lambda: staged(terminal))
    assert asked[0] is None and set(asked[1:]) == {'"one"'}


def test_an_etag_that_no_range_may_be_asked_by_is_not_used():
    for etag in ('W/"one"', "one", '"', '""', '"a b"', '"%s"' % ("x" * 99), '"\u00e9"', ""):
        terminal = ready()
        offered(terminal)

        def note(fetch, status, headers, body, etag=etag):
            assert "If-Range" not in dict(fetch.headers)
            return status, dict(headers, etag=etag), body

        terminal.server.serving = note
        terminal.run(lambda terminal=terminal: staged(terminal))


def test_what_is_there_of_a_file_is_not_gone_on_with_under_another_etag():
    for knows_if_range in (True, False):
        terminal = ready()
        offered(terminal)
        terminal.server.etag = '"one"'
        link = Drops(terminal, 900)
        terminal.run(lambda link=link: len(link.starts) == 6)
        assert "slot_b/.part" in terminal.fs.files

        def replaced(fetch, status, headers, body, knows_if_range=knows_if_range):
            if not knows_if_range and status == 200:
                first, last = dict(fetch.headers)["Range"][6:].split("-")
                span = "bytes %s-%s/%d" % (first, last, len(body))
                headers = {"etag": '"two"', "content-range": span}
                return 206, headers, body[int(first) : int(last) + 1]
            return status, headers, body

        terminal.server.etag = '"two"'
        terminal.server.serving = replaced
        idle_after(terminal, 7)
        assert "slot_b/.part" not in terminal.fs.files and DOWNLOAD in terminal.fs.files
        assert b'"one"' not in terminal.fs.files[DOWNLOAD]
        terminal.run(lambda terminal=terminal: staged(terminal))
        assert installed(terminal) and reported(terminal) == []

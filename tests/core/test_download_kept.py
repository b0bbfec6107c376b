"""Downloads that fetch only what the running slot has not, and trust nothing that was kept."""

# heap: 512k because the agent, compiled here, shares it with the test's server and flash

from fakes import RELEASE_SEED
from test_update import FILES, boot_record, offer, ready, reported
from update_desk import (
    DOWNLOAD,
    LARGE,
    Drops,
    head_bytes,
    installed,
    offered,
    put_running,
    staged,
)

from ks_agent import bundle
from ks_agent.effects import NO_MEMORY
from ks_agent.update_record import UpdateRecord


def test_files_that_the_running_slot_has_are_not_fetched():
    terminal = ready()
    put_running(terminal, dict(LARGE, **{"main.py": b"old", "more.py": b"x"}))
    content = offered(terminal)
    link = Drops(terminal, None)
    terminal.run(lambda: staged(terminal))
    assert installed(terminal)
    assert link.bytes == head_bytes(content) + len(LARGE["main.py"])
    assert len(link.starts) == 3


def test_wanted_files_that_lie_together_come_in_one_request():
    terminal = ready()
    put_running(terminal, {"lib/b.py": LARGE["lib/b.py"]})
    offered(terminal, dict(LARGE, **{"lib/c.py": b"", "lib/aa.py": b"a" * 100}))
    link = Drops(terminal, None)
    terminal.run(lambda: staged(terminal))
    spans = [span for span, _ in terminal.server.served[2:]]
    assert len(spans) == 2
    first, last = spans[0][6:].split("-")
    assert int(last) + 1 - int(first) == 3100
    assert link.starts[3] == int(last) + 1 + 2500


def test_a_file_that_is_damaged_in_the_running_slot_is_fetched():
    for damage in (b"A" * 2999 + b"B", b"A" * 2999, b"A" * 3001, None):
        terminal = ready()
        put_running(terminal, LARGE)
        if damage is None:
            del terminal.fs.files["slot_a/lib/a.py"]
        else:
            terminal.fs.files["slot_a/lib/a.py"] = damage
        content = offered(terminal)
        link = Drops(terminal, None)
        terminal.run(lambda terminal=terminal: staged(terminal))
        assert installed(terminal)
        assert link.bytes == head_bytes(content) + 3000


def test_a_damaged_manifest_of_the_running_slot_costs_a_whole_download():
    terminal = ready()
    put_running(terminal, LARGE)
    whole = terminal.fs.files["slot_a/manifest.toon"]
    terminal.fs.files["slot_a/manifest.toon"] = whole.replace(b"lib/b.py", b"/ib/b.py")
    content = offered(terminal)
    link = Drops(terminal, None)
    terminal.run(lambda: staged(terminal))
    assert installed(terminal)
    assert head_bytes(content) < link.bytes <= len(content)


def test_what_is_kept_of_a_file_and_damaged_meanwhile_is_fetched_again():
    terminal = ready()
    offered(terminal)
    link = Drops(terminal, 900)
    terminal.run(lambda: len(link.starts) == 6)
    terminal.life.close()
    part = terminal.fs.files["slot_b/.part"]
    terminal.fs.files["slot_b/.part"] = b"?" + part[1:]
    terminal.boot()
    terminal.run(lambda: staged(terminal))
    assert installed(terminal) and reported(terminal) == []


def test_a_file_in_the_slot_that_was_damaged_meanwhile_is_fetched_again():
    terminal = ready()
    content = offered(terminal)
    link = Drops(terminal, 1400)
    place = head_bytes(content) + 3000
    terminal.run(lambda: link.starts and link.starts[-1] > place)
    terminal.life.close()
    assert terminal.fs.files["slot_b/lib/a.py"] == LARGE["lib/a.py"]
    terminal.fs.files["slot_b/lib/a.py"] = b"?" * 3000
    terminal.boot()
    terminal.run(lambda: staged(terminal))
    assert installed(terminal) and reported(terminal) == []


def test_a_damaged_record_or_manifest_of_a_download_starts_it_anew():
    for path in (DOWNLOAD, "slot_b/manifest.toon", "slot_b/manifest.sig"):
        for damage in (b"", b"?", b"\xff" * 200, None):
            terminal = ready()
            offered(terminal)
            link = Drops(terminal, 900)
            terminal.run(lambda link=link: len(link.starts) == 6)
            terminal.life.close()
            if damage is None:
                del terminal.fs.files[path]
            else:
                terminal.fs.files[path] = damage
            terminal.boot()
            terminal.run(lambda terminal=terminal: staged(terminal))
            assert installed(terminal) and link.starts[6] == 0


def test_a_download_is_not_gone_on_with_when_the_release_key_is_not_trusted_any_more():
    terminal = ready()
    offered(terminal)
    link = Drops(terminal, 900)
    terminal.run(lambda: len(link.starts) == 6)
    trust = terminal.agent.trust
    other = terminal.crypto.public_key(b"Q" * 32)
    from ks_agent.signing import b64

    rows = [row for row in trust.rows if row["ROLE"] != "release"]
    trust.write(rows + [{"ROLE": "release", "KEY": b64(other)}], [])
    terminal.life.close()
    terminal.boot()
    terminal.run(lambda: len(reported(terminal)) == 1)
    assert reported(terminal)[0].startswith("ERROR SIG_INVALID")
    assert terminal.restarts == [] and boot_record(terminal) == {}
    assert RELEASE_SEED != b"Q" * 32 and DOWNLOAD not in terminal.fs.files


def test_an_offer_that_is_withdrawn_is_forgotten():
    def no_offer(terminal):
        terminal.server.answers["heartbeat"] = {"S1": "ok"}

    def no_update(terminal):
        terminal.server.answers["firmware/check"] = {"S1": "no_update"}

    def halted(terminal):
        UpdateRecord(terminal.agent.store, terminal.agent.outbox).halt(True)

    for withdraw in (no_offer, no_update, halted):
        for reboots in (False, True):
            terminal = ready()
            offered(terminal)
            link = Drops(terminal, 700)
            terminal.run(lambda link=link: len(link.starts) == 6)
            link.brought = 0
            terminal.run(lambda terminal=terminal: terminal.agent.progress.state == "IDLE")
            assert DOWNLOAD in terminal.fs.files and "slot_b/.part" in terminal.fs.files
            withdraw(terminal)
            if reboots:
                terminal.life.close()
                terminal.boot()
            beats = terminal.beats()
            terminal.run(lambda beats=beats, terminal=terminal: terminal.beats() == beats + 4)
            assert DOWNLOAD not in terminal.fs.files
            assert "slot_b/.part" not in terminal.fs.files
            assert terminal.agent.progress.state == "IDLE"


def test_after_five_minutes_heartbeats_have_their_turn_and_the_download_goes_on_at_once():
    terminal = ready()
    content = offered(terminal)
    terminal.server.answers["heartbeat"]["RTO"] = "3600"
    link = Drops(terminal, 700)
    serve = terminal.server.serving

    def slow(fetch, status, headers, body):
        terminal.clock.ticks += 50000
        assert fetch.timeout_ms <= 60000
        return serve(fetch, status, headers, body)

    terminal.server.serving = slow
    before = terminal.heartbeats()
    waits = []
    while not terminal.restarts:
        kind = terminal.step()
        if kind == "sleep":
            waits.append(terminal.slept_ms)
        if len(waits) > 200:
            raise AssertionError("it never came to an end")
    assert installed(terminal)
    attempts = terminal.heartbeats() - before
    assert attempts >= len(content) // 700 // 7
    assert link.bytes == len(content)
    assert 3600000 not in waits


def test_a_flash_without_room_is_told_and_leaves_the_running_release():
    terminal = ready()
    offered(terminal)
    opened = terminal.fs.open

    class Full:
        def __init__(self, file):
            self._file = file

        def write(self, data):
            raise OSError(28)

        def close(self):
            self._file.close()

    def full(path, mode):
        file = opened(path, mode)
        return Full(file) if path == "slot_b/.part" and mode != "rb" else file

    terminal.fs.open = full
    terminal.run(lambda: len(reported(terminal)) == 1)
    assert reported(terminal) == ["ERROR TOO_LARGE no room on the flash"]
    assert terminal.restarts == [] and DOWNLOAD not in terminal.fs.files
    assert terminal.agent.progress.state == "IDLE"


def installed_though_its_part_failed_with(problem, times=2):
    terminal = ready()
    offered(terminal)
    opened = terminal.fs.open
    failures = []

    def failing(path, mode):
        if path == "slot_b/.part" and mode != "rb" and len(failures) < times:
            failures.append(path)
            raise problem
        return opened(path, mode)

    terminal.fs.open = failing
    terminal.run(lambda: "update" in terminal.restarts)
    assert len(failures) == times and installed(terminal) and reported(terminal) == []
    return terminal.restarts[:-1]


def test_a_flash_that_fails_is_tried_again_later():
    assert installed_though_its_part_failed_with(OSError(5)) == []


def test_a_heap_without_room_for_an_update_holds_up_that_update_and_nothing_else():
    assert installed_though_its_part_failed_with(MemoryError()) == []


def test_a_heap_that_stays_without_room_for_an_update_is_left_by_a_restart():
    restarts = installed_though_its_part_failed_with(MemoryError(), 9)
    assert restarts == 2 * [NO_MEMORY]


def test_an_update_that_finds_no_room_where_there_is_all_of_it_is_refused_for_good():
    terminal = ready()
    terminal.agent.progress.has_all_room = True
    offered(terminal)
    asked = []

    def failing(path, mode, opened=terminal.fs.open):
        if path == "slot_b/.part" and mode != "rb":
            asked.append(path)
            raise MemoryError
        return opened(path, mode)

    terminal.fs.open = failing
    terminal.run(lambda: reported(terminal) == ["ERROR TOO_LARGE no room in memory"])
    fw4 = terminal.server.answers["firmware/check"]["FW4"]
    assert UpdateRecord(terminal.agent.store, None).is_banned(fw4)
    beats, tries = terminal.beats(), len(asked)
    terminal.run(lambda: terminal.beats() == beats + 20)
    assert len(asked) == tries and terminal.restarts == []


def test_a_stale_record_of_a_download_into_the_slot_that_runs_now_is_forgotten():
    terminal = ready()
    offered(terminal)
    link = Drops(terminal, 700)
    terminal.run(lambda: len(link.starts) == 6)
    record = terminal.fs.files[DOWNLOAD]
    link.brought = None
    terminal.run(lambda: staged(terminal))
    terminal.fs.files[DOWNLOAD] = record
    terminal.fs.files["slot_b/.part"] = b"x"
    terminal.server.answers["heartbeat"] = {"S1": "ok"}
    terminal.slot = "b"
    terminal.boot()
    terminal.run(lambda: reported(terminal) == ["OK confirmed"])
    terminal.run_cycle()
    assert DOWNLOAD not in terminal.fs.files
    assert terminal.fs.files["slot_b/.part"] == b"x"  # the running slot is never written


def test_a_head_that_promises_more_than_the_bundle_is_refused_before_more_is_asked_for():
    terminal = ready()
    content = offered(terminal, FILES)
    head = bundle.make_head(b"m" * 12000, "A" * 86 + "==")
    offer(terminal, bytes(head) + content[len(head) :])
    terminal.run(lambda: len(reported(terminal)) == 1)
    assert reported(terminal)[0].startswith("ERROR MALFORMED")
    assert len(terminal.server.served) == 1

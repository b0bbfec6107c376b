"""The power goes at every flash operation of a download over a poor link, with packed and copied
files; what comes afterwards is the same whole slot.
"""

# heap: 512k because the agent, compiled here, shares it with the test's server and flash

from fake_ports import PowerCut
from test_update import boot_record, offer, ready, reported
from update_desk import LINES, LINES_PACKED, Drops, installed, packed_bundle, put_running, staged

FILES = {"a/b.py": b"a" * 9000, "a/c.py": LINES, "d.py": b"", "e.py": b"e" * 600, "main.py": LINES}
PACKED = {"a/c.py": LINES_PACKED, "main.py": LINES_PACKED}
RUNNING = {"e.py": FILES["e.py"], "main.py": b"old"}


def downloading():
    terminal = ready()
    put_running(terminal, RUNNING)
    offer(terminal, packed_bundle(terminal, FILES, PACKED))
    return terminal, Drops(terminal, 1500)


def cut_after(operations, terminal):
    """Whether the power went in so many flash operations."""
    terminal.fs.operations_left = operations
    try:
        terminal.run(lambda: staged(terminal))
    except PowerCut:
        return True
    finally:
        terminal.fs.operations_left = -1
    return False


def is_whole(terminal):
    return installed(terminal, FILES) and boot_record(terminal)["SLOT"] == "b"


def test_a_power_cut_at_any_flash_operation_of_a_download_leads_to_the_whole_release():
    for operations in range(200):
        terminal, link = downloading()
        cut = cut_after(operations, terminal)
        if not cut:
            break
        assert not boot_record(terminal) or is_whole(terminal)
        asked = len(link.starts)
        terminal.restarts.clear()
        if not boot_record(terminal):
            terminal.boot()
            terminal.run(lambda terminal=terminal: staged(terminal))
            assert len(link.starts) - asked <= 12
        assert is_whole(terminal) and reported(terminal) == []
    assert not cut and operations > 30


def test_two_power_cuts_at_any_operations_lead_there_as_well():
    for operations in range(3, 60, 5):
        for more in range(0, 30, 3):
            terminal, _ = downloading()
            if not cut_after(operations, terminal):
                return
            terminal.boot()
            if cut_after(more, terminal):
                if boot_record(terminal):
                    assert is_whole(terminal)
                    continue
                terminal.boot()
                terminal.run(lambda terminal=terminal: staged(terminal))
            assert is_whole(terminal) and reported(terminal) == []
    raise AssertionError("more operations than a download has")


def test_what_was_fetched_before_a_power_cut_is_not_fetched_again():
    terminal, link = downloading()
    terminal.run(lambda: "slot_b/a/b.py" in terminal.fs.files)
    terminal.life.close()
    before = link.bytes
    terminal.boot()
    terminal.run(lambda: staged(terminal))
    assert is_whole(terminal)
    assert link.bytes - before <= 2 * len(LINES_PACKED) + 1500


def test_the_running_slot_is_never_touched():
    terminal, _ = downloading()
    before = {path: data for path, data in terminal.fs.files.items() if path[:7] == "slot_a/"}
    terminal.run(lambda: staged(terminal))
    after = {path: data for path, data in terminal.fs.files.items() if path[:7] == "slot_a/"}
    assert before == after

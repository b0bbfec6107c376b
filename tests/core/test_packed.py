"""Releases with packed files: unpacked piece by piece, never beyond what the manifest says."""

# heap: 512k because the agent, compiled here, shares it with the test's server and flash

import io

from fakes import RELEASE_SEED
from support import raises
from test_update import offer, ready, reported
from update_desk import (
    BOMB_PACKED,
    LARGE,
    LINES,
    LINES_PACKED,
    Drops,
    head_bytes,
    installed,
    offered,
    packed_bundle,
    put_running,
    staged,
)

from ks_agent import bundle, signing
from ks_driver.inflate import Inflater

FILES = {"a.py": b"a" * 700, "b.py": LINES, "c.py": b"", "main.py": LINES[:500]}
PACKED = {"b.py": LINES_PACKED}
BOMB = {"bomb.py": bytes(60000), "main.py": b"main"}


def inflated(packed, piece_bytes, window_bits=10):
    return b"".join(pieces_of(packed, piece_bytes, window_bits))


def pieces_of(packed, piece_bytes, window_bits=10):
    inflater = Inflater(io.BytesIO(packed), window_bits)
    buffer = memoryview(bytearray(piece_bytes))
    while True:
        count = inflater.readinto(buffer)
        if not count:
            return
        yield bytes(buffer[:count])


def test_a_stream_is_unpacked_in_pieces_of_any_size():
    for piece_bytes in (1, 7, 512, 5000):
        assert inflated(LINES_PACKED, piece_bytes) == LINES
    assert sum([len(piece) for piece in pieces_of(BOMB_PACKED, 512)]) == 60000


def test_what_is_no_stream_is_told():
    for broken in (b"", b"\xff" * 40, LINES_PACKED[:-5], LINES_PACKED[:1], b"\x07"):
        raises(OSError, inflated, broken, 512)


def test_a_release_with_packed_files_is_installed():
    terminal = ready()
    content = packed_bundle(terminal, FILES, PACKED)
    offer(terminal, content)
    assert len(content) < head_bytes(content) + sum([len(data) for data in FILES.values()])
    terminal.run(lambda: staged(terminal))
    assert installed(terminal, FILES)


def test_packed_files_come_over_a_poor_link_and_after_restarts_too():
    for requests in range(3, 9):
        terminal = ready()
        offer(terminal, packed_bundle(terminal, FILES, PACKED))
        link = Drops(terminal, 520)
        terminal.run(lambda requests=requests, link=link: len(link.starts) >= requests)
        if terminal.restarts:
            break
        terminal.life.close()
        terminal.boot()
        terminal.run(lambda terminal=terminal: staged(terminal))
        assert installed(terminal, FILES) and reported(terminal) == []


def test_a_packed_file_that_the_running_slot_has_is_not_fetched():
    terminal = ready()
    put_running(terminal, FILES)
    content = packed_bundle(terminal, dict(FILES, **{"a.py": b"new"}), PACKED)
    offer(terminal, content)
    link = Drops(terminal, None)
    terminal.run(lambda: staged(terminal))
    assert link.bytes == head_bytes(content) + 3


def refused(terminal, content, code):
    offer(terminal, content)
    terminal.run(lambda: len(reported(terminal)) == 1)
    assert reported(terminal)[0].startswith("ERROR " + code), reported(terminal)
    assert terminal.restarts == []
    assert "slot_b/.part" not in terminal.fs.files


def test_a_packed_file_that_is_another_is_refused():
    for packed in (
        LINES_PACKED[:-1] + b"?",
        LINES_PACKED[:-5],
        b"\xff" * len(LINES_PACKED),
        LINES[: len(LINES_PACKED)],
        BOMB_PACKED,
    ):
        terminal = ready()
        refused(terminal, packed_bundle(terminal, FILES, {"b.py": packed}), "HASH")


def test_never_more_is_unpacked_than_the_manifest_says():
    terminal = ready()
    written = []
    opened = terminal.fs.open

    def watched(path, mode):
        file = opened(path, mode)
        if path == "slot_b/.file" and mode == "wb":
            write = file.write

            def count(data):
                written.append(len(data))
                return write(data)

            file.write = count
        return file

    terminal.fs.open = watched
    small = dict(BOMB, **{"bomb.py": bytes(2000)})
    refused(terminal, packed_bundle(terminal, small, {"bomb.py": BOMB_PACKED}), "HASH")
    assert sum(written) <= 2000


def test_a_bundle_that_would_fill_the_flash_when_unpacked_is_refused_before_it_is_fetched():
    terminal = ready()
    content = packed_bundle(terminal, BOMB, {"bomb.py": BOMB_PACKED})
    huge = content.replace(b"60000", b"1048577")
    assert huge != content
    manifest = huge[bundle.HEAD_BYTES :]
    end = head_bytes(content) - bundle.HEAD_BYTES + 2
    manifest, rest = manifest[:end], manifest[end:]
    text = signing.manifest_text(terminal.crypto, manifest)
    head = bundle.make_head(manifest, signing.sign_text(terminal.crypto, RELEASE_SEED, text))
    refused(terminal, bytes(head) + manifest + rest, "TOO_LARGE")
    assert len(terminal.server.served) == 2


def test_a_bundle_with_packed_files_that_is_not_what_fw4_says_is_refused():
    terminal = ready()
    content = packed_bundle(terminal, FILES, PACKED)
    offer(terminal, content, FW4="0" * 64)
    terminal.run(lambda: len(reported(terminal)) == 1)
    assert reported(terminal) == ["ERROR HASH the bundle is not what FW4 says"]


def test_files_without_packed_ones_are_held_against_fw4_wherever_they_came_from():
    for reboots in (False, True):
        terminal = ready()
        put_running(terminal, {"lib/a.py": LARGE["lib/a.py"]})
        offer(terminal, offered(terminal), FW4="0" * 64)
        link = Drops(terminal, 900)
        terminal.run(lambda link=link: len(link.starts) == 4)
        if reboots:
            terminal.life.close()
            terminal.boot()
        terminal.run(lambda terminal=terminal: len(reported(terminal)) == 1)
        assert reported(terminal) == ["ERROR HASH the bundle is not what FW4 says"]

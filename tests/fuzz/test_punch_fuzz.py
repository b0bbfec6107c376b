"""Anything in the journal's folder: the terminal boots and heartbeats, what can be read is sent
unchanged, and punches are taken again, or refused loudly.

What is in data/journal, and what happens to it when it is damaged:

    00000000.seg ...      read as far as it goes; what comes after that in it is passed by, told
                          as FATAL, and a gap for the server
    numbers with gaps     closed up: what is gone is a gap for the server
    *.new                 removed: an interrupted cut
    anything else         left alone
    data/state/boots      one more than the newest punch says
    data/journal a file   every punch is refused, told as FATAL, until somebody looks after it
"""

from __future__ import annotations

from functools import cache
from typing import Any

from fakes import Terminal
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_agent.punch import punch_hash
from ks_agent.segment import Tail, header, record
from ks_agent.store import Store
from ks_simulator.memory import MemoryFs
from tests.fuzz.mutations import mutated

EXAMPLES = settings.get_profile("fuzz")
FOLDER = "data/journal"
COUNT = 700


def punched() -> Any:
    """A registered terminal on a file system that is as strict as POSIX, with punches unsent."""
    terminal: Any = Terminal()
    fs = MemoryFs(dict(terminal.fs.files))
    terminal.fs = fs
    terminal.vault._fs = _Free()
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    config = dict(Store(fs).read("data/state/config.toon"), DUPLICATE_S="0")
    Store(fs).write("data/state/config.toon", config)
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    for number in range(COUNT):
        assert terminal.agent.punches.take(f"{number:08}") == "accepted"
    terminal.life.close()
    return terminal


class _Free:
    """The vault is not what this is about."""

    def _change(self) -> None:
        pass


def read(fs: MemoryFs, path: str) -> bytes:
    with fs.open(path, "rb") as file:
        return bytes(file.read())


BEFORE = punched()
FILES = {name: read(BEFORE.fs, f"{FOLDER}/{name}") for name in BEFORE.fs.listdir(FOLDER)}
KEPT = {
    path: read(BEFORE.fs, path)
    for path in ("trust.toon", "factory.toon", *("data/state/" + name for name in (
        "identity.toon", "config.toon", "boots.toon")))
}  # fmt: skip


def absurd() -> bytes:
    """A segment whose checksums are all good, and that says what nobody can have written."""
    tail = Tail("f" * 16, 0, "")
    words = ("a\nb\x00", "IN", "RFID", True, 2**55, 2**55, 2**48 - 1)
    punch = tail.punch(*words)
    digest = punch_hash(BEFORE.crypto.sha256, punch)
    return bytes(header(tail)) + bytes(record(tail, digest, *words))


NAMES = st.sampled_from(
    [*FILES, "00000007.seg", "ffffffff.seg", "00100000.seg", "0000000g.seg", "00000001.seg.new",
     "x", "00000002.SEG", ".new", "1.seg", "\u20ac.seg"]
)  # fmt: skip
JUNK = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff" * 4096, b"\0" * 4096, b"KSJ1" * 25_000, absurd()]),
    st.sampled_from(list(FILES.values())).flatmap(mutated),
    st.sampled_from(list(FILES.values())),
    st.tuples(st.sampled_from(list(FILES.values())), st.integers(0, 4096)).map(
        lambda cut: cut[0][: cut[1]]
    ),
)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, JUNK),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("rename"), NAMES, NAMES),
        st.tuples(st.just("folder"), NAMES),
    ),
    min_size=1,
    max_size=4,
)


def changed(files: dict[str, bytes], changes: list[tuple]) -> MemoryFs:
    fs = MemoryFs(KEPT)
    folders = set()
    for name, path, *words in changes:
        if name == "write":
            files[path] = words[0]
        elif name == "remove":
            files.pop(path, None)
        elif name == "rename" and path in files:
            files[words[0]] = files.pop(path)
        elif name == "folder":
            folders.add(path)
    for path in folders:
        files.pop(path, None)
        fs.install(f"{FOLDER}/{path}/x", b"")
    for path, data in files.items():
        fs.install(f"{FOLDER}/{path}", data)
    return fs


def booted(fs: MemoryFs) -> Any:
    """A terminal with this flash, after two heartbeats."""
    terminal: Any = Terminal()
    terminal.fs = fs
    terminal.vault = BEFORE.vault
    terminal.boot()
    terminal.run(lambda: terminal.beats() >= 2, 600)
    return terminal


def rows(terminal: Any) -> dict[str, dict[str, str]]:
    found = {}
    for journal in terminal.server.journals.values():
        found.update({row["A1"]: row for row in journal.values() if row is not None})
    return found


@cache
def undamaged() -> dict[str, dict[str, str]]:
    return rows(booted(changed(dict(FILES), [])))


@cache
def alone(name: str) -> dict[str, dict[str, str]]:
    """What is sent of one segment without the others."""
    return rows(booted(changed({name: FILES[name]}, [])))


def test_what_was_punched_is_all_there_before_anything_is_damaged() -> None:
    assert len(undamaged()) == COUNT and len(FILES) >= 2


@settings(EXAMPLES, max_examples=60)
@given(changes=CHANGES)
def test_a_terminal_lives_on_whatever_its_journal_has_become(changes: list[tuple]) -> None:
    terminal = booted(changed(dict(FILES), changes))
    outcome = terminal.agent.punches.take("NEW")
    assert outcome in ("accepted", "failed", "full")
    if outcome != "accepted":
        assert "folder" in [name for name, *_ in changes]
        assert terminal.agent.log.rows("FATAL", "")
        return
    terminal.run(terminal.agent.punches.journal.is_settled, 600)
    sent = rows(terminal)
    for a1, row in sent.items():
        if a1 in undamaged() and row["E1"] != "NEW":
            assert row == undamaged()[a1], "changed on its way"
    if outcome == "accepted":
        conflict = [name for name, *_ in changes if name in ("write", "rename", "remove")]
        assert conflict or "NEW" in [row["E1"] for row in sent.values()]
    assert terminal.restarts == []


@settings(EXAMPLES, max_examples=20)
@given(data=st.sampled_from(list(FILES)), junk=JUNK, name=st.sampled_from(["a.seg", "x", "z.new"]))
def test_what_is_beside_the_segments_does_not_matter(data: str, junk: bytes, name: str) -> None:
    terminal = booted(changed(dict(FILES), [("write", name, junk)]))
    assert rows(terminal) == undamaged()
    assert terminal.agent.punches.take("NEW") == "accepted"


@settings(EXAMPLES, max_examples=20)
@given(bad=st.sets(st.sampled_from(list(FILES))), junk=JUNK)
def test_segments_that_are_whole_are_sent_whatever_others_have_become(
    bad: set[str], junk: bytes
) -> None:
    terminal = booted(changed(dict(FILES), [("write", name, junk) for name in bad]))
    terminal.run(terminal.agent.punches.journal.is_settled, 600)
    sent = rows(terminal)
    for name in set(FILES) - bad:
        assert alone(name) and alone(name).items() <= sent.items()


def test_a_file_in_place_of_the_journal_refuses_every_punch_loudly() -> None:
    fs = MemoryFs({**KEPT, FOLDER: b"no folder"})
    terminal = booted(fs)
    assert terminal.agent.punches.take("NEW") == "failed"
    assert any("journal not readable" in row[2] for row in terminal.agent.log.rows("FATAL", ""))
    assert read(fs, FOLDER) == b"no folder"


def test_far_numbers_do_not_keep_a_boot_from_its_end() -> None:
    for far in ("ffffffff", "40000000", "00100000"):
        names = sorted(FILES)
        files = {**FILES, f"{far}.seg": FILES[names[-1]]}
        del files[names[-1]]
        terminal = booted(changed(files, []))
        terminal.run(terminal.agent.punches.journal.is_settled, 600)
        assert rows(terminal) == undamaged()
        assert terminal.agent.punches.take("NEW") == "accepted"
        assert sorted(terminal.fs.listdir(FOLDER)) == [f"{n:08x}.seg" for n in range(len(FILES))]

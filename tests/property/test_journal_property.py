"""Segments and the journal are a list of punches on flash, for whatever hypothesis thinks of."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_ports import CRYPTO, Fs, Rng
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_agent.journal import SEGMENT_BYTES, Full, Journal
from ks_agent.journal_read import batch, believe, settle
from ks_agent.punch import DIRECTIONS, METHODS, prev_of, punch_hash
from ks_agent.segment import HEADER_BYTES, RECORD_MAX_BYTES, Tail, header, record
from ks_agent.segment_read import parse_header, parse_record
from ks_agent.timetext import LAST_MS
from tests.property.test_punch_property import MORE
from tools.micropython import ARCHITECTURES, ROOT

SHA256 = CRYPTO.sha256
Punch = dict[str, str]

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=64),
    st.from_regex("([0-9A-F]{2}){1,20}", fullmatch=True),
    st.from_regex("[0-9A-Fa-f]{1,20}", fullmatch=True),
).filter(lambda text: len(text.encode()) <= 64)
numbers = st.integers(0, 10**15 - 1) | st.integers(0, 300)
times = st.integers(0, LAST_MS) | st.integers(0, 300)
moments = st.tuples(st.integers(0, 10**9 - 1), numbers, times)
hexes = st.binary(min_size=8, max_size=8).map(bytes.hex)
tails = st.builds(Tail, hexes, st.integers(1, 2**32 - 1), hexes, numbers, numbers, times)
given_punches = st.tuples(
    texts, st.sampled_from(DIRECTIONS), st.sampled_from(METHODS), st.booleans()
)


@settings(max_examples=200 * MORE, deadline=None)
@given(tail=tails, words=given_punches, moment=moments, junk=st.binary())
def test_a_record_is_read_as_it_was_written(
    tail: Any, words: tuple, moment: tuple[int, int, int], junk: bytes
) -> None:
    given_words: Any = (*words, *moment)
    punch = tail.punch(*given_words)
    digest = punch_hash(SHA256, punch)
    data = bytes(record(tail, digest, *given_words))
    assert len(data) <= RECORD_MAX_BYTES
    found, after, length = parse_record(data + junk, tail, SHA256)
    assert (found, length) == (punch, len(data))
    assert (after.jid, after.seq, after.prev) == (tail.jid, tail.seq + 1, prev_of(digest))
    assert (after.boot, after.up_ms, after.time_ms) == moment


@settings(max_examples=100 * MORE, deadline=None)
@given(tail=tails)
def test_a_header_is_read_as_it_was_written(tail: Any) -> None:
    data = bytes(header(tail))
    assert len(data) == HEADER_BYTES
    found = parse_header(data)
    assert (found.jid, found.seq, found.prev) == (tail.jid, tail.seq, tail.prev)
    assert found.boot is None


# Runs on either interpreter: pieces of segments in hex a line, what they are a line.
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import binascii, hashlib
from ks_agent.errors import Corrupt
from ks_agent.punch import HASHED, punch_hash
from ks_agent.segment import Tail, record
from ks_agent.segment_read import parse_header, parse_record

def hexed(data):
    return binascii.hexlify(bytes(data)).decode()

with open(sys.argv[2]) as file:
    for line in file:
        data = binascii.unhexlify(line.strip())
        tail = Tail("0123456789abcdef", 7, "fedcba9876543210", 3, 1000, 1795000000000)
        try:
            tail = parse_header(data[:28])
            data = data[28:]
        except Corrupt:
            pass
        try:
            punch, after, length = parse_record(data, tail, hashlib.sha256)
            words = ["%s=%s" % (key, punch[key]) for key in HASHED]
            again = record(
                tail, punch_hash(hashlib.sha256, punch), punch["E1"], punch["A2"], punch["METHOD"],
                punch["CLK"] == "SYNCED", after.boot, after.up_ms, after.time_ms,
            )
            said = "%s %s %d %s" % ("|".join(words), after.prev, length, hexed(again))
        except Corrupt as error:
            said = str(error)
        print(hexed(said.encode()))
"""


def pieces() -> list[bytes]:
    chance = random.Random(20261120)
    made: list[bytes] = []
    people = ("12E45678", "abc", "", "\u20ac\U0001f600", "%|:\\", "x" * 64, "0A", "\x00\n")
    while len(made) < 600:
        tail = Tail("0123456789abcdef", 7, "fedcba9876543210", 3, 1000, 1795000000000)
        start = b""
        if chance.random() < 0.3:
            tail = Tail(chance.randbytes(8).hex(), chance.randrange(1, 2**32), "0f" * 8)
            start = bytes(header(tail))
        up_ms = chance.choice((1000, 1001, 1127, 1128, 2**31, 10**15 - 1))
        time_ms = chance.choice((1795000000000 + up_ms - 1000, 0, 1, LAST_MS))
        time_ms = min(time_ms, LAST_MS)
        words = (
            chance.choice(people), chance.choice(DIRECTIONS), chance.choice(METHODS),
            chance.random() < 0.5, chance.choice((3, 4, 10**9 - 1)), up_ms, time_ms,
        )  # fmt: skip
        digest = punch_hash(SHA256, tail.punch(*words))
        good = start + bytes(record(tail, digest, *words))
        made += [good, good[: chance.randrange(len(good))], good + b"\xff"]
        damaged = bytearray(good)
        damaged[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        made += [bytes(damaged), chance.randbytes(chance.randrange(60))]
    return made


def verdicts(program: str | Path, folder: Path, *options: str) -> list[str]:
    script = folder / "verdicts.py"
    script.write_text(SCRIPT)
    cases = folder / "cases.txt"
    cases.write_text("".join(data.hex() + "\n" for data in pieces()))
    done = subprocess.run(
        [program, *options, script, ROOT / "firmware", cases],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
    return [bytes.fromhex(line).decode() for line in done.stdout.split("\n")[:-1]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_both_interpreters_read_and_write_the_same_records(
    architecture: str, tmp_path: Path, micropython: Callable[[str], Path]
) -> None:
    here = verdicts(sys.executable, tmp_path)
    there = verdicts(micropython(architecture), tmp_path, "-X", "heapsize=512k")
    assert len(here) == len(there) == len(pieces())
    for data, mine, its in zip(pieces(), here, there, strict=True):
        assert mine == its, data
    assert 0.3 < sum("PREV=" in said for said in here) / len(here) < 0.9


class Desk:
    """A journal on its flash, and the list that it should be: what beeped, in order."""

    def __init__(self, segments: int) -> None:
        self.fs = Fs()
        self.rng = Rng()
        self.limit_kib = segments * SEGMENT_BYTES // 1024
        self.made: list[Punch] = []
        self.ms = 0
        self.boots = 0
        self.acknowledged = 0
        self.boot()

    def boot(self) -> None:
        self.journal: Any = Journal(self.fs, CRYPTO, self.rng)
        self.journal.limit_kib = self.limit_kib
        self.boots += 1
        self.journal.recover()

    def punch(self, e1: str, passed_ms: int) -> bool:
        """False when it was full."""
        self.ms += passed_ms
        words = (e1, "IN", "PIN", True, self.boots, self.ms, 1_795_000_000_000 + self.ms)
        try:
            self.made.append(self.journal.append(*words))
        except Full:
            return False
        return True

    def torn(self, data: bytes) -> None:
        """The power goes while a record is written: a part of it is there."""
        self.journal.close()
        path = self.journal.path(self.journal.last)
        if path in self.fs.files:
            self.fs.files[path] += data
        self.boot()

    def first_held(self) -> int:
        """SEQ of the oldest punch that is there."""
        with self.fs.open(self.journal.path(self.journal.first), "rb") as file:
            return int(parse_header(file.read(HEADER_BYTES)).seq) + 1

    def send(self, limit: int, heard: int | None) -> None:
        """A batch is what comes next of the list; `heard` is what the server says then."""
        if not self.made:
            assert batch(self.journal, limit) == ([], self.journal.place or (0, 0, None, None), [])
            return
        held = self.first_held()
        known = self.journal.place is not None
        first = max(self.acknowledged + 1, held) if known else held
        rows, place, damaged = batch(self.journal, limit)
        assert not damaged
        assert rows == self.made[first - 1 : first - 1 + limit]
        if rows:
            assert held <= place[3] <= int(rows[0]["SEQ"])
            self.acknowledged = int(rows[-1]["SEQ"]) if heard is None else heard
            assert settle(self.journal, place, self.acknowledged)

    def hear(self, ack_seq: int) -> None:
        believe(self.journal, ack_seq)
        if self.made:
            self.acknowledged = ack_seq


people = st.sampled_from(["A", "12E45678", "x" * 64, "\u20ac" * 20])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("punch"), people, st.integers(1, 120), st.integers(0, 10**10)),
        st.tuples(st.just("boot")),
        st.tuples(st.just("torn"), st.integers(1, 117), st.sampled_from([b"\0", b"\xff"])),
        st.tuples(st.just("send"), st.integers(1, 200)),
        st.tuples(st.just("send"), st.integers(1, 200), st.floats(0, 1)),
        st.tuples(st.just("hear"), st.floats(0, 1)),
    ),
    max_size=30,
)


@settings(max_examples=80 * MORE, deadline=None)
@given(segments=st.integers(4, 9), steps=steps)
def test_a_journal_is_a_list_whatever_happens_to_it(segments: int, steps: list[tuple]) -> None:
    desk = Desk(segments)
    for name, *words in steps:
        if name == "punch":
            e1, count, passed_ms = words
            while count and desk.punch(e1, passed_ms):
                count -= 1
            held = desk.journal.last - desk.journal.first + 1
            assert held <= segments
            if count:
                # full only with what is not acknowledged, from one end to the other
                assert desk.journal.settled == desk.journal.first
        elif name == "boot":
            desk.boot()
        elif name == "torn":
            desk.torn(words[1] * words[0])
        elif name == "send":
            heard = int(words[1] * len(desk.made)) if words[1:] else None
            desk.send(words[0], heard)
        else:
            desk.hear(int(words[0] * len(desk.made)))
    missing = desk.first_held() - 1 if desk.made else 0
    desk.boot()
    sent: list[Punch] = []
    while not desk.journal.is_settled():
        rows, place, damaged = batch(desk.journal, 50)
        assert rows and not damaged
        sent += rows
        settle(desk.journal, place, place[2].seq)
    assert sent == desk.made[missing:]
    assert desk.journal.tail is None or desk.journal.tail.seq == len(desk.made)


@settings(max_examples=150 * MORE, deadline=None)
@given(
    counts=st.lists(st.tuples(people, st.integers(1, 200)), min_size=1, max_size=4),
    segment=st.floats(0, 1, exclude_max=True),
    position=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_bit_that_changes_on_flash_never_makes_another_punch(
    counts: list[tuple[str, int]], segment: float, position: float, bit: int
) -> None:
    desk = Desk(64)
    for e1, count in counts:
        for _ in range(count):
            desk.punch(e1, 60_000)
    paths = sorted(path for path in desk.fs.files if path.endswith(".seg"))
    path = paths[int(segment * len(paths))]
    data = bytearray(desk.fs.files[path])
    data[int(position * len(data))] ^= 1 << bit
    desk.fs.files[path] = bytes(data)
    desk.boot()
    assert desk.punch("after", 1)
    after = desk.made.pop()
    sent: list[Punch] = []
    while not desk.journal.is_settled():
        rows, place, _ = batch(desk.journal, 50)
        sent += rows
        if rows:
            settle(desk.journal, place, place[2].seq)
        else:
            desk.journal.place = place
    assert sent[-1] == after
    known = {punch["A1"]: punch for punch in desk.made}
    assert [known[punch["A1"]] for punch in sent[:-1]] == sent[:-1]
    numbers = [int(punch["SEQ"]) for punch in sent[:-1]]
    assert numbers == sorted(set(numbers))
    # A longer length in the very last records looks like the beginning of one that the power cut.
    if after["A1"] in known:
        assert int(after["SEQ"]) > len(desk.made) - 6, "a number was given twice"

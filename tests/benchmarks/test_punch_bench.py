"""What the benchmarks of punches are made of: journals, batches, and the peer's table."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.punch_drain import _Rng, _Sha256, fill
from benchmarks.punch_server import BATCH, Device, PlainTable
from benchmarks.readme import BEGIN, END, write_block
from ks_agent.journal import Journal
from ks_agent.journal_read import batch
from ks_driver.files import HostFs
from ks_simulator.punching import unbroken

COUNT = 1500


def test_a_journal_that_was_filled_gives_all_its_punches_back(tmp_path: Path) -> None:
    jid = fill(tmp_path, COUNT)
    files: Any = HostFs
    journal: Any = Journal(files(str(tmp_path)), _Sha256(), _Rng())
    journal.recover()
    punches, _, damaged = batch(journal, COUNT + 1)
    assert not damaged
    assert journal.last > journal.first
    assert [punch["SEQ"] for punch in punches] == [str(seq + 1) for seq in range(COUNT)]
    assert {punch["JID"] for punch in punches} == {jid}
    assert unbroken(punches)


def test_the_batches_of_a_device_go_on_in_one_chain() -> None:
    device = Device("terminal")
    messages = [device.batch(1_795_000_000_000, "0123abcd") for _ in range(3)]
    rows = [row | {"JID": device.jid} for message in messages for row in message["EVENT"]]
    assert len(rows) == 3 * BATCH
    assert unbroken(rows)


def test_the_peers_table_has_the_form_and_the_indexes_of_the_servers(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "server.sqlite3")) as server:
        server.execute("CREATE TABLE punches (d1 TEXT, seq INT, PRIMARY KEY (d1, seq))")
        server.execute("CREATE INDEX ix_punches_seq ON punches (seq)")
        peer = PlainTable(tmp_path / "peer.sqlite3", server)
    with closing(peer), closing(sqlite3.connect(tmp_path / "peer.sqlite3")) as made:
        cost = peer.insert([[("a", 1), ("a", 2)], [("b", 1)]])
        names = {name for (name,) in made.execute("SELECT name FROM sqlite_master")}
        assert {"punches", "ix_punches_seq"} <= names
        assert cost.punches == peer.count() == 3
        assert made.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_goal_below_the_peer_is_written_with_its_decimals(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"{BEGIN}\n{END}\n")
    figure = Figure("rate", 10, "punches/s", "the other", 0.36, goal_ratio=0.3)
    write_block(path, [figure])
    assert "| `rate` |  | 0.36 of the other | at least 0.30 |" in path.read_text()

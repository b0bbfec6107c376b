"""The supervisor does what hardware does: restart, try again after a crash, cut the power."""

import asyncio
import sys
from pathlib import Path

import pytest

from ks_simulator.process import ProcessTerminal

COUNTING = """
import os, sys, threading
path = sys.argv[1] + "/runs"
runs = len(open(path).read()) if os.path.exists(path) else 0
open(path, "a").write("x")
print("EVENT run NUMBER=%d" % runs, flush=True)
"""


def terminal(folder: Path, then: str) -> ProcessTerminal:
    (folder / "boot.py").write_text(COUNTING + then)
    return ProcessTerminal("dev", folder, [sys.executable, "-I", "-S"], crash_pause_s=0.01)


def names(made: ProcessTerminal) -> list[str]:
    return [event.name for event in made.events]


async def test_status_75_starts_it_again_and_0_ends_it(tmp_path: Path) -> None:
    made = terminal(tmp_path, "sys.exit(0 if runs == 2 else 75)")
    await made.run()
    assert made.boots == 3
    assert names(made).count("run") == 3
    assert "crash" not in names(made)


async def test_any_other_status_is_a_crash_and_it_is_tried_again(tmp_path: Path) -> None:
    made = terminal(tmp_path, "print('why', flush=True)\nsys.exit(0 if runs == 1 else 9)")
    await made.run()
    crash = next(event for event in made.events if event.name == "crash")
    assert crash.detail == {"STATUS": "9", "TEXT": "why"}
    assert made.boots == 2


async def test_status_78_is_the_end(tmp_path: Path) -> None:
    made = terminal(tmp_path, "sys.exit(78)")
    await made.run()
    assert names(made) == ["boot", "run", "dead"]


async def test_a_power_cycle_is_no_crash(tmp_path: Path) -> None:
    made = terminal(tmp_path, "if runs == 0: threading.Event().wait()")
    life = asyncio.create_task(made.run())
    await made.wait_for("run", 20)
    made.power_cycle()
    await life
    assert names(made) == ["boot", "run", "power", "boot", "run"]


async def test_cancelling_leaves_no_process_behind(tmp_path: Path) -> None:
    made = terminal(tmp_path, "threading.Event().wait()")
    life = asyncio.create_task(made.run())
    await made.wait_for("run", 20)
    life.cancel()
    await asyncio.wait([life])
    assert made._process is not None
    assert made._process.returncode is not None


async def test_what_it_prints_besides_events_is_heard(tmp_path: Path) -> None:
    made = terminal(tmp_path, "print('Traceback', flush=True)")
    heard: list[str] = []
    made._listener = heard.append
    await made.run()
    assert heard == ["Traceback"]


async def test_waiting_in_vain_tells_what_was_printed(tmp_path: Path) -> None:
    made = terminal(tmp_path, "print('odd', flush=True)")
    await made.run()
    with pytest.raises(TimeoutError, match=r"dev showed no heartbeat\n(?s:.*)odd"):
        await made.wait_for("heartbeat", 0.01)


ANSWERING = """
for line in sys.stdin:
    word = line.split()[1]
    if word == "cut":
        break
    if word == "no":
        print("EVENT punch_refused S1=unknown", flush=True)
    else:
        print("EVENT punch S1=accepted A2=IN JID=aa SEQ=" + str(runs + 1), flush=True)
"""


async def test_a_card_held_to_its_reader_is_answered_through_its_lines(tmp_path: Path) -> None:
    made = terminal(tmp_path, ANSWERING + "sys.exit(0)")
    assert (await made.punch("early")).outcome == "unheard"
    life = asyncio.create_task(made.run())
    await made.wait_for("run", 20)
    answers = [made.punch(card) for card in ("A b", "no", "cut", "late")]
    await life
    assert [(await answer).outcome for answer in answers] == [
        "accepted", "unknown", "unheard", "unheard"
    ]  # fmt: skip
    assert (await answers[0]).credential == "A b"


async def test_a_card_held_while_the_terminal_ends_is_unheard(tmp_path: Path) -> None:
    made = terminal(tmp_path, "os.close(1); os.close(2); sys.stdin.readline(); os._exit(0)")
    life = asyncio.create_task(made.run())
    await made.wait_for("run", 20)
    process = made._process
    assert process is not None and process.stdout is not None
    while not process.stdout.at_eof():  # noqa: ASYNC110 -- nothing tells when
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    answer = await asyncio.wait_for(made.punch("A"), 20)
    assert answer.outcome == "unheard"
    await life


async def test_a_person_holds_the_card_again_until_there_is_an_answer(tmp_path: Path) -> None:
    made = terminal(tmp_path, "if runs == 0: sys.stdin.readline(); sys.exit(75)\n" + ANSWERING)
    life = asyncio.create_task(made.run())
    await made.wait_for("run", 20)
    answers = await made.hold("A", pause_s=0.01)
    assert {answer.outcome for answer in answers[:-1]} == {"unheard"}
    assert (answers[-1].outcome, answers[-1].seq) == ("accepted", 2)
    life.cancel()
    await asyncio.wait([life])

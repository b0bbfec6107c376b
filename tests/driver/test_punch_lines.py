"""Punches through the stdin of a real process, on every interpreter: whatever stdin is."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.micropython import ROOT

FIRMWARE = ROOT / "firmware"
LIMIT_S = 60
PROGRAM = """
import asyncio, sys
sys.path.insert(0, %r)
from ks_driver.punch_lines import start

def take(*words):
    print("take", words)

def show(event, detail):
    print(event, detail)

async def main():
    tasks = start(take, show, lambda: print("woken"))
    print("tasks", len(tasks))
    for turn in range(%d):
        await asyncio.sleep(0.01)
        if tasks and tasks[0].done():
            break
    for turn in range(200):  # more than the queue holds
        await asyncio.sleep(0)
    print("alive", bool(tasks) and not tasks[1].done())
    for task in tasks:
        task.cancel()

asyncio.run(main())
"""


@pytest.fixture(params=["cpython", "amd64", "i386"])
def interpreter(request: pytest.FixtureRequest, micropython: Callable[[str], Path]) -> list[str]:
    if request.param == "cpython":
        return [sys.executable, "-B"]
    return [str(micropython(request.param))]


def program(folder: Path, turns: int = 3000) -> str:
    path = folder / "program.py"
    path.write_text(PROGRAM % (str(FIRMWARE), turns))
    return str(path)


def run(interpreter: list[str], folder: Path, data: bytes) -> list[str]:
    done = subprocess.run(
        [*interpreter, program(folder)],
        input=data, capture_output=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def test_lines_are_punches_until_stdin_ends(interpreter: list[str], tmp_path: Path) -> None:
    assert run(interpreter, tmp_path, b"PUNCH A%20b\nhello\nPUNCH B PIN IN\nPUNCH half") == [
        "tasks 2",
        "take ('A b',)",
        "woken",
        "take ('B', 'PIN', 'IN')",
        "woken",
        "alive True",
    ]


def test_a_thousand_punches_at_once_all_arrive_in_order(
    interpreter: list[str], tmp_path: Path
) -> None:
    data = b"".join(b"PUNCH %04d\n" % number for number in range(1000))
    said = run(interpreter, tmp_path, data)
    taken = [line for line in said if line.startswith("take")]
    assert taken == [f"take ('{number:04}',)" for number in range(1000)]


def test_a_silent_stdin_holds_nothing_up(interpreter: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(
        [*interpreter, program(tmp_path, 20)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said: list[str] = []
        for number in range(3):
            process.stdin.write(b"PUNCH %d\nPUN" % number if not number else b"CH %d\nPUN" % number)
            process.stdin.flush()
            while not said or said[-1] != f"take ('{number}',)":
                said.append(process.stdout.readline().decode().rstrip())
        rest = process.stdout.read().decode().splitlines()  # it ends although stdin does not
        assert rest == ["woken", "alive True"]
        process.wait(LIMIT_S)


def test_garbage_of_all_kinds_does_no_harm(interpreter: list[str], tmp_path: Path) -> None:
    data = bytes(range(256)) * 40 + b"x" * 100_000 + b"\n\n\0\nPUNCH \xff\nPUNCH A\n"
    said = run(interpreter, tmp_path, data)
    assert [line for line in said if line.startswith("take")] == ["take ('',)", "take ('A',)"]
    assert said[-1] == "alive True"


def test_a_file_is_read_to_its_end(interpreter: list[str], tmp_path: Path) -> None:
    (tmp_path / "punches").write_bytes(b"PUNCH A\nPUNCH B\n")
    with (tmp_path / "punches").open("rb") as file:
        said = from_file(interpreter, tmp_path, file.fileno())
    assert [line for line in said if line.startswith("take")] == ["take ('A',)", "take ('B',)"]


def test_nothing_to_read_changes_nothing(interpreter: list[str], tmp_path: Path) -> None:
    said = from_file(interpreter, tmp_path, subprocess.DEVNULL)
    assert said == ["tasks 2", "alive True"]


def test_a_stdin_that_is_closed_is_not_read(interpreter: list[str], tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *interpreter, program(tmp_path, 1)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout.splitlines() == ["tasks 0", "alive False"]


def from_file(interpreter: list[str], folder: Path, stdin: int) -> list[str]:
    done = subprocess.run(
        [*interpreter, program(folder)], stdin=stdin, capture_output=True, text=True,
        timeout=LIMIT_S, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()

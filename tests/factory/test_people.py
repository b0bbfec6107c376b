"""The person at the line: one question at a time, and nobody waits for ever."""

import queue
import sys
import threading
from collections.abc import Iterator

import pytest

from ks_tools.factory import people
from ks_tools.factory.errors import Interrupted, StationFailed
from ks_tools.factory.people import Console

LIMIT_S = 20


class Window:
    """Standard input, and the questions that were shown; "" is that one was answered."""

    def __init__(self) -> None:
        self._typed: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.asked: list[tuple[str, str]] = []
        self.shown = threading.Semaphore(0)

    def __iter__(self) -> Iterator[str]:
        while (line := self._typed.get()) is not None:
            yield line

    def ask(self, port: str, text: str) -> None:
        self.asked.append((port, text))
        if text:
            self.shown.release()

    def type(self, line: str) -> None:
        self._typed.put(line)

    def wait(self) -> None:
        assert self.shown.acquire(timeout=LIMIT_S)

    def close(self) -> None:
        self._typed.put(None)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    made = Window()
    monkeypatch.setattr(sys, "stdin", made)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("typed", "is_seen"),
    [("\n", True), ("y\n", True), ("Ja\n", True), ("n\n", False), ("x\n", False)],
)
def test_a_look_is_confirmed_by_yes_or_enter(window: Window, typed: str, is_seen: bool) -> None:
    person = Console(window.ask, threading.Event(), LIMIT_S)
    window.type(typed)
    assert person.confirm("usb0", "led", "does it light up?") is is_seen
    assert window.asked == [("usb0", "does it light up? [Y/n]"), ("usb0", "")]


def test_what_the_scanner_types_is_the_label(window: Window) -> None:
    person = Console(window.ask, threading.Event(), LIMIT_S)
    window.type("KS1|KS-0001|KS-0001\r\n")
    assert person.scan("usb0", "scan the label") == "KS1|KS-0001|KS-0001"


def test_lanes_ask_one_after_the_other(window: Window) -> None:
    person = Console(window.ask, threading.Event(), LIMIT_S)
    answers: dict[str, str] = {}

    def ask(port: str) -> None:
        answers[port] = person.scan(port, f"scan at {port}")

    lanes = [threading.Thread(target=ask, args=(f"usb{number}",)) for number in range(4)]
    for lane in lanes:
        lane.start()
    for _ in lanes:
        window.wait()
        port, text = window.asked[-1]
        assert text, "nobody else asks meanwhile"
        window.type(f"of {port}\n")
    for lane in lanes:
        lane.join(LIMIT_S)
    assert answers == {f"usb{number}": f"of usb{number}" for number in range(4)}


def test_ctrl_c_ends_the_waiting(window: Window) -> None:
    stop = threading.Event()

    def ask(port: str, text: str) -> None:
        stop.set()

    with pytest.raises(Interrupted):
        Console(ask, stop, LIMIT_S).act("usb0", "keypad", "press every key")


def test_a_person_who_went_away_keeps_the_unit_waiting(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "POLL_S", 0.01)
    with pytest.raises(StationFailed, match="nobody has answered: press every key"):
        Console(window.ask, threading.Event(), 0.03).act("usb0", "keypad", "press every key")


def test_where_nobody_can_type_every_question_is_told_so(window: Window) -> None:
    person = Console(window.ask, threading.Event(), LIMIT_S)
    window.close()
    for _ in range(2):
        with pytest.raises(StationFailed, match="nobody is here to answer"):
            person.scan("usb0", "scan the label")

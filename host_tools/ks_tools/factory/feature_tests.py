"""The factory test: what a unit must show before it gets a key. Limits are board.toml's [test]."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ..board_file import Board, Feature
from .batch import Batch
from .people import People, expect

# What a reader has seen takes this long from its pins to its answer.
SETTLE_S = 0.3
TRIES: Final = 2
# Beyond what a quartz may be wrong: how long an answer takes on its way.
CLOCK_SLACK_MS: Final = 5
MISSING_CHIP: Final = ("00", "FF")

CARD: Final = "show a card to the reader"
ACTS: Final = {
    "wiegand": CARD,
    "rdm6300": CARD,
    "mfrc522": CARD,
    "keypad": "press every key",
    "button": "press the button",
}
LOOKS: Final = {
    "led": "does the LED light up?",
    "buzzer": "does the buzzer sound?",
    "ssd1306": "does the display show text?",
}


@dataclass(frozen=True)
class Bench:
    """What the tests are done with; `link` is a DeviceLink."""

    batch: Batch
    board: Board
    link: Any
    people: People
    port: str
    show: Callable[[str], None]


def test_unit(bench: Bench, readings: dict[str, Any]) -> None:
    """Every test, in order, each with its readings by its name, which are kept as they come.

    Raises UnitFailed at the first that fails.
    """
    tests: list[tuple[str, Callable[[], Any]]] = [
        ("flash", lambda: _flash(bench)),
        ("clock", lambda: _clock(bench)),
        ("memory", lambda: _memory(bench)),
    ]
    if bench.batch.wifi is not None:
        tests.append(("wifi", lambda: _wifi(bench)))
    for name, feature in named(bench.board):
        tests.append((name, _feature_test(bench, name, feature)))
    for name, test in tests:
        if name in bench.batch.test.skip:
            readings[name] = "left out"
            continue
        bench.show(name)
        readings[name] = test()


def named(board: Board) -> list[tuple[str, Feature]]:
    """The features by the names that the terminal gives them: led, wiegand, wiegand2."""
    found: dict[str, Feature] = {}
    for feature in board.feature:
        name, count = feature.kind, 1
        while name in found:
            count += 1
            name = f"{feature.kind}{count}"
        found[name] = feature
    return list(found.items())


def _flash(bench: Bench) -> dict[str, str]:
    return dict(bench.link.test("flash"))


def _clock(bench: Bench) -> dict[str, Any]:
    told = bench.link.test("clock")
    asked, took = _number(told, "PAUSE"), _number(told, "MS")
    limit = bench.board.test.clock_max_ppm * asked / 1_000_000 + CLOCK_SLACK_MS
    expect(abs(took - asked) <= limit, f"clock: {took} ms for {asked} ms")
    return {"asked_ms": asked, "took_ms": took, "limit_ms": limit}


def _memory(bench: Bench) -> dict[str, int]:
    free, least = _number(bench.link.test("memory"), "FREE"), bench.board.test.heap_min_bytes
    expect(free >= least, f"memory: {free} bytes free, and {least} are needed")
    return {"free_bytes": free, "least_bytes": least}


def _wifi(bench: Bench) -> dict[str, int]:
    assert bench.batch.wifi is not None
    password = bench.batch.wifi_password()
    rssi, least = 0, bench.board.test.rssi_min_dbm
    for _ in range(TRIES):
        rssi = bench.link.test_wifi(bench.batch.wifi.ssid, password)
        if rssi >= least:
            break
    expect(rssi >= least, f"wifi: {rssi} dBm, and {least} dBm are needed: look at the antenna")
    return {"rssi_dbm": rssi, "least_dbm": least}


def _feature_test(bench: Bench, name: str, feature: Feature) -> Callable[[], Any]:
    if feature.kind in LOOKS:
        return lambda: _look(bench, name, feature)
    return lambda: _act(bench, name, feature)


def _look(bench: Bench, name: str, feature: Feature) -> dict[str, Any]:
    for _ in range(TRIES):
        told = dict(bench.link.test(name))
        if bench.people.confirm(bench.port, name, f"{name}: {LOOKS[feature.kind]}"):
            return {**told, "confirmed": True}
    expect(False, f"{name}: not confirmed")
    return {}


def _act(bench: Bench, name: str, feature: Feature) -> dict[str, Any]:
    told = dict(bench.link.test(name))
    version = told.get("VERSION")
    expect(version not in MISSING_CHIP, f"{name}: there is no chip")
    wanted = set(str(feature.options.get("keys", "")) if feature.kind == "keypad" else "")
    seen: list[str] = []
    for _ in range(TRIES):
        bench.link.begin(name)
        missing = "".join(sorted(wanted - set(seen)))
        keys = f" ({missing})" if seen and missing else ""
        bench.people.act(bench.port, name, f"{name}: {ACTS.get(feature.kind, 'use it')}{keys}")
        time.sleep(SETTLE_S)
        seen += bench.link.seen(name)
        if seen and wanted <= set(seen):
            return {**told, "seen": seen}
    missing = "".join(sorted(wanted - set(seen)))
    expect(False, f"{name}: {'no key ' + missing if missing and seen else 'nothing was seen'}")
    return {}


def _number(told: dict[str, str], name: str) -> int:
    text = told.get(name, "")
    expect(text.isascii() and text.isdigit(), f"the terminal tells no {name}")
    return int(text)

"""Ed25519's native code on an ESP32, executed on the host: see `tests.chips.estimate`.

The instructions are exact, and the same on every machine; the milliseconds are the two ends of an
estimate. Neither has the bytecode around the native code in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.chips.estimate import CLOCK_HZ, HIGH, LOW
from tests.chips.estimate import measure as measure_costs

from .figure import Figure

NAMES = {
    "public key": "keygen",
    "sign": "sign",
    "verify, key prepared": "verify-prepared",
    "verify, any key": "verify",
    "prepare a key": "prepare",
}


def measure() -> Iterator[Figure]:
    """Instructions of the native code, and milliseconds at 240 MHz, for each operation."""
    costs = measure_costs()
    for operation, name in NAMES.items():
        cost = costs[operation]
        prefix = f"crypto/esp32/viper/{name}"
        yield Figure.limited(f"{prefix}-instructions", cost.instructions, "instructions")
        for end, model in (("least", LOW), ("most", HIGH)):
            milliseconds = cost.cycles(model) * 1e3 / CLOCK_HZ
            yield Figure.limited(f"{prefix}-time-{end}", round(milliseconds, 1), "ms, estimated")

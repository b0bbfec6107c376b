"""What is wrong with a serial line."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Faults:
    """Nothing, at first.

    Every `noise_every`-th byte for the host is another one, at rates above `noise_above_baud`;
    `bytes_a_second` slows both ways; 0 is none of it. `unplug_at_cut`: the cable goes with the
    power, as on a board that has it from there.
    """

    noise_every: int = 0
    noise_above_baud: int = 0
    bytes_a_second: int = 0
    unplug_at_cut: bool = False
    _said: int = field(default=0, repr=False)

    def spoil(self, data: bytes, baud: int) -> bytes:
        """`data` as the host gets it."""
        if not self.noise_every or baud <= self.noise_above_baud:
            return data
        spoiled = bytearray(data)
        first = self.noise_every - 1 - self._said % self.noise_every
        for at in range(first, len(data), self.noise_every):
            spoiled[at] ^= 0x55
        self._said += len(data)
        return bytes(spoiled)

"""The `board` port of an ESP32 module."""

import esp32

from ks_driver.host import HostBoard
from ks_driver.leaves import drop

# What a boot alone needs. Not what is short: a release for chips has that in a larger module.
_SELDOM = ("chip_ports", "start_features", "features")


class Esp32Board(HostBoard):
    """Shows events as lines on the serial console and by its indicators; where there is a sensor,
    reads it. The factory has left its name in the vault, as `board`; without one, no release for
    named boards is taken.
    """

    def __init__(self, vault, memory):
        HostBoard.__init__(self)
        name = vault.get("board")
        if name is not None:
            self.name = name.decode()
        self._memory = memory
        self._desk = None

    def temperature_c(self):
        # The first ESP32 has no usable sensor, and the function is not there.
        if not hasattr(esp32, "mcu_temperature"):
            return None
        return str(esp32.mcu_temperature())

    def memory_used_bytes(self):
        """The most since the last heartbeat, which is what may run out."""
        return self._memory.peak_bytes()

    def reader_ok(self):
        """Whether nothing is wrong with what is attached."""
        return self._desk is None or not self._desk.faults

    def unload(self, names):
        drop("ks_board", _SELDOM)
        HostBoard.unload(self, names)

    def attach(self, desk):
        """`desk`, see ks_board.desk, is told what is shown."""
        self._desk = desk

    def show(self, event, detail):
        HostBoard.show(self, event, detail)
        if self._desk is not None:
            self._desk.show(event, detail)

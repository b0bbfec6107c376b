"""The `board` port of an ESP32 module without anything attached."""

import esp32

from ks_driver.host import HostBoard


class Esp32Board(HostBoard):
    """Shows events as lines on the serial console; where there is a sensor, reads it. The factory
    has left its name in the vault, as `board`; without one, no release for named boards is taken.
    """

    def __init__(self, vault):
        HostBoard.__init__(self)
        name = vault.get("board")
        if name is not None:
            self.name = name.decode()

    def temperature_c(self):
        # The first ESP32 has no usable sensor, and the function is not there.
        if not hasattr(esp32, "mcu_temperature"):
            return None
        return str(esp32.mcu_temperature())

    def attach(self, put):
        """`put` takes a punch from an interrupt, see ks_driver.reader: nothing reads any yet."""

"""How much memory there was at the least, and whether the system below has enough.

MicroPython on the ESP32 takes more for its heap while there is any: Wi-Fi and TLS, which live on
what is left, abort when that is nothing. By esp32.idf_heap_info, which gives for each region
(total, free, largest free block, least free ever), in bytes.
"""

import gc

import esp32

# One TLS connection takes 20 to 40 KB; below the reserve, Wi-Fi itself is in danger.
TLS_BYTES = 40960
RESERVE_BYTES = 16384
ROUNDS = 3


class Memory:
    def __init__(self):
        self._peak_bytes = 0
        self._least_bytes = None
        self._short_rounds = 0

    def sample(self):
        """To be called often. A text when the system below runs out of memory, else None."""
        self._peak_bytes = max(self._peak_bytes, gc.mem_alloc())
        free = gc.mem_free()
        if self._least_bytes is None or free < self._least_bytes:
            self._least_bytes = free
        if self.system_bytes() >= RESERVE_BYTES:
            self._short_rounds = 0
            return None
        gc.collect()
        self._short_rounds += 1
        return "memory: the system has none" if self._short_rounds >= ROUNDS else None

    def peak_bytes(self):
        """The most that was in use since the last call."""
        peak = max(self._peak_bytes, gc.mem_alloc())
        self._peak_bytes = 0
        return peak

    def least_bytes(self):
        """The least that was ever free."""
        return gc.mem_free() if self._least_bytes is None else self._least_bytes

    def make_room(self):
        """Before a connection: collected, so that TLS finds what there is."""
        self._peak_bytes = max(self._peak_bytes, gc.mem_alloc())
        gc.collect()

    def system_bytes(self):
        """Free in the regions that the system takes from."""
        return sum([region[1] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])

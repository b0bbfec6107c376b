"""The radio as the factory and setup mode use it: on, joined to a network once, an access point."""

import asyncio
import errno

import network

JOIN_TRIES = 60
JOIN_PAUSE_S = 0.25
MAX_CLIENTS = 2


class Radio:
    def __init__(self):
        self._station = network.WLAN(network.WLAN.IF_STA)

    def on(self):
        self._station.active(True)

    async def rssi(self, name, password):
        """Join, and give the strength in dBm. Raises OSError when there is no link within 15 s."""
        self._station.connect(name, password)
        try:
            for _ in range(JOIN_TRIES):
                if self._station.isconnected():
                    return self._station.status("rssi")
                await asyncio.sleep(JOIN_PAUSE_S)
        finally:
            self._station.disconnect()
        raise OSError(errno.EHOSTUNREACH, "no answer from the network")


class AccessPoint:
    """The terminal's own network, WPA2 and nothing weaker."""

    def __init__(self):
        self._point = network.WLAN(network.WLAN.IF_AP)

    def open(self, name, password):
        """The address at which the terminal is to be found in it. OSError unless it is WPA2."""
        security = network.WLAN.SEC_WPA2
        self._point.config(ssid=name, security=security, key=password, max_clients=MAX_CLIENTS)
        self._point.active(True)
        if self._point.config("security") != security:
            self.close()
            raise OSError(errno.EACCES, "the access point is not WPA2")
        return self._point.ifconfig()[0]

    def close(self):
        self._point.active(False)

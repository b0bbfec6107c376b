"""Wi-Fi as a station, connected when a request needs it."""

import asyncio
import errno

import network

CONNECT_TRIES = 60
CONNECT_PAUSE_S = 0.25


class Wifi:
    """`credentials()` gives (name, password) of the network, as configured at that moment.

    The radio is on from the start: the chip's random numbers are only random while it is.
    """

    def __init__(self, credentials):
        self._credentials = credentials
        self._joined = None
        self._station = network.WLAN(network.WLAN.IF_STA)
        self._station.active(True)

    async def ensure(self):
        """Return once there is a link. Raises OSError when none comes about in 15 s."""
        wanted = self._credentials()
        if self._joined == wanted and self._station.isconnected():
            return
        if self._joined is not None:
            self._station.disconnect()
        self._joined = wanted
        self._station.connect(wanted[0], wanted[1])
        for _ in range(CONNECT_TRIES):
            if self._station.isconnected():
                return
            await asyncio.sleep(CONNECT_PAUSE_S)
        raise OSError(errno.EHOSTUNREACH, "no Wi-Fi")


class WifiHttp:
    """An HTTP client for `drive` that joins the network first."""

    def __init__(self, wifi, http):
        self._wifi = wifi
        self._http = http

    async def request(self, fetch):
        await self._wifi.ensure()
        return await self._http.request(fetch)

    async def download(self, download):
        await self._wifi.ensure()
        return await self._http.download(download)

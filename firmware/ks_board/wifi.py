"""Wi-Fi as a station, connected when a request needs it."""

import asyncio
import errno

import machine
import network

from ks_agent.timetext import format_ms
from ks_driver.host import HostRng

CONNECT_TRIES = 60
CONNECT_PAUSE_S = 0.25


class RadioRng(HostRng):
    """The `rng` port: the chip's numbers are only random while its radio is on."""

    def is_ready(self):
        return network.WLAN(network.WLAN.IF_STA).active()


class Credentials:
    """The network to join: by the configuration, else as the factory left it in the vault."""

    def __init__(self, vault):
        self._vault = vault
        self.config = None

    def __call__(self):
        """(name, password). Raises OSError where there is neither."""
        if self.config is not None and self.config.get("WIFI_SSID"):
            return self.config.get("WIFI_SSID"), self.config.get("WIFI_PASSWORD")
        name = self._vault.get("wifi_ssid")
        if name is None:
            raise OSError(2, "no network is configured")
        return name.decode(), (self._vault.get("wifi_password") or b"").decode()


class Wifi:
    """`credentials()` gives (name, password) of the network, as configured at that moment.

    The radio is on from the start: see RadioRng.
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
    """An HTTP client for `drive` that joins the network first.

    `now_ms()` is the terminal's time: the chip's TLS judges the dates of certificates by the chip's
    clock, which nobody else sets.
    """

    def __init__(self, wifi, http, now_ms):
        self._wifi = wifi
        self._http = http
        self._now_ms = now_ms

    async def request(self, fetch):
        await self._prepare()
        return await self._http.request(fetch)

    async def download(self, download):
        await self._prepare()
        return await self._http.download(download)

    async def _prepare(self):
        await self._wifi.ensure()
        text = format_ms(self._now_ms())
        year, month, day = int(text[0:4]), int(text[5:7]), int(text[8:10])
        hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
        machine.RTC().datetime((year, month, day, 0, hour, minute, second, 0))

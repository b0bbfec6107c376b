"""Wi-Fi as a station: joined when a request needs it, watched, and joined again."""

import asyncio
import errno
import time

import network

from ks_driver.host import HostRng

from .rtc import set_rtc

CONNECT_TRIES = 60
CONNECT_PAUSE_S = 0.25
WATCH_S = 1
# Longer than `ensure` waits: two that join at once would each undo what the other has begun.
AGAIN_MS = 20000
TRIES_A_RADIO = 15


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
        self._tried_ms = time.ticks_ms()
        self._tries = 0
        self._station = network.WLAN(network.WLAN.IF_STA)
        self._station.active(True)

    async def ensure(self):
        """Return once there is a link. Raises OSError when none comes about in 15 s."""
        wanted = self._credentials()
        if self._joined == wanted and self._station.isconnected():
            return
        self._join(wanted)
        for _ in range(CONNECT_TRIES):
            if self._station.isconnected():
                return
            await asyncio.sleep(CONNECT_PAUSE_S)
        raise OSError(errno.EHOSTUNREACH, "no Wi-Fi")

    def _join(self, wanted):
        if self._joined is not None:
            self._station.disconnect()
        self._joined = wanted
        self._tried_ms = time.ticks_ms()
        self._station.connect(wanted[0], wanted[1])

    async def watch(self, link):
        """Tell `link` (ks_agent.backoff.Link) what becomes of the radio's, between requests too."""
        was_up = False
        while True:
            is_up = self._station.isconnected()
            if was_up and not is_up:
                link.lost()
            elif is_up and not was_up:
                link.worked()
            was_up = is_up
            if is_up:
                self._tries = 0
            elif self._joined is not None:
                self._again()
            await asyncio.sleep(WATCH_S)

    def _again(self):
        if time.ticks_diff(time.ticks_ms(), self._tried_ms) < AGAIN_MS:
            return
        self._tries += 1
        try:
            if self._tries % TRIES_A_RADIO == 0:
                self._station.active(False)
                self._station.active(True)
            self._join(self._credentials())
        except OSError as error:
            self._tried_ms = time.ticks_ms()
            print("wifi:", error)


class WifiHttp:
    """An HTTP client for `drive` that joins the network first.

    `now_ms()` is the terminal's time: the chip's TLS judges the dates of certificates by the chip's
    clock, which nobody else sets. `make_room()` is called when the heap is to be collected.
    """

    def __init__(self, wifi, http, now_ms, make_room=lambda: None):
        self._wifi = wifi
        self._http = http
        self._now_ms = now_ms
        self._make_room = make_room

    async def request(self, fetch):
        await self._prepare()
        return await self._http.request(fetch)

    async def download(self, download):
        await self._prepare()
        return await self._http.download(download)

    async def _prepare(self):
        await self._wifi.ensure()
        set_rtc(self._now_ms())
        self._make_room()

"""The life in which a network is tried on a chip: one signed round trip, with radio and HTTP."""

from ks_driver.http import HttpClient
from ks_driver.loop import drive

from .setup_agent import RoundTrip
from .wifi import Credentials, Wifi, WifiHttp


def maker(ports, memory, version):
    """`make_life` of setup_trial.NetworkTrial; `version`: FW2 of the release that runs, or ""."""
    credentials = Credentials(ports.vault)
    wifi = Wifi(credentials)

    def make_life():
        asking = RoundTrip(ports, version)
        credentials.config = asking.config
        client = HttpClient(_authority(ports.fs, asking.config))
        http = WifiHttp(wifi, client, asking.clock.now_ms, memory.make_room)
        return asking, lambda sleep: drive(asking.run(), http, None, sleep)

    return make_life


def _authority(fs, config):
    """Without https its code is not loaded at all."""

    def authority():
        from ks_driver.authority import Authority

        return Authority(fs, lambda: config.get("CA"))()

    return authority

"""The life of the agent in which a network is tried on a chip: with radio, HTTP, configuration."""

from ks_agent.agent import Agent
from ks_driver.authority import Authority
from ks_driver.http import HttpClient
from ks_driver.loop import drive

from .wifi import Credentials, Wifi, WifiHttp


def maker(ports, memory):
    """`make_life` of setup_trial.NetworkTrial."""
    credentials = Credentials(ports.vault)
    wifi = Wifi(credentials)

    def make_life():
        agent = Agent(ports)
        credentials.config = agent.config
        client = HttpClient(Authority(ports.fs, lambda: agent.config.get("CA")))
        http = WifiHttp(wifi, client, agent.clock.now_ms, memory.make_room)
        return agent, lambda sleep: drive(agent.run(), http, None, sleep)

    return make_life

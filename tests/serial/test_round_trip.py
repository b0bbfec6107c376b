"""The little agent of setup mode: a signed answer over the other network, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ks_agent import life
from ks_board import setup_agent
from tests.serial.site import NEW, OLD, Site


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_agent, "AGAIN_MS", 10)


def attempt(site: Site) -> bool:
    site.terminal.server.requests.clear()
    kept: bool = asyncio.run(site.trial().attempt(*NEW))
    return kept


def requests(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.terminal.server.requests
    return found


def test_it_is_one_heartbeat_after_which_no_command_is_obeyed() -> None:
    site = Site("new")
    site.terminal.server.commands = [{"CMD1": "1"}]
    assert attempt(site)
    (request,) = requests(site)
    assert (request["OP"], request["FW2"]) == ("heartbeat", "1.2.3")


def test_a_terminal_that_is_nobody_yet_registers_and_its_next_life_goes_on() -> None:
    site = Site("new", is_new=True)
    assert attempt(site)
    assert {request["OP"] for request in requests(site)} == {"register"}  # once with the time
    assert site.network() == NEW
    assert site.terminal.agent.identity.state == life.UNREGISTERED
    site.terminal.run(lambda: site.terminal.heartbeats() > 0)
    assert site.terminal.agent.identity.state == life.ACTIVE
    assert site.terminal.agent.config.get("SERVER") == "http://server"


def test_a_server_that_has_lost_the_terminal_is_asked_to_register_it() -> None:
    site = Site("new")
    site.terminal.server.answers["heartbeat"] = {"ERR1": "DEVICE_NOT_FOUND"}

    def unsign(answer: dict[str, Any]) -> None:
        if "ERR1" in answer:
            del answer["SIG_SERV"]

    site.terminal.server.bend_signed = unsign
    assert attempt(site)
    assert [request["OP"] for request in requests(site)] == ["heartbeat", "register"]


def test_a_link_that_drops_is_tried_again() -> None:
    site = Site("new")
    drops = [OSError(113, "no Wi-Fi"), OSError(110, "no answer in time")]

    def drop(answer: dict[str, Any]) -> None:
        if drops:
            raise drops.pop()

    site.terminal.server.bend = drop
    assert attempt(site)
    assert len(requests(site)) == 3


def test_a_damaged_configuration_is_the_factorys_again_with_the_new_network() -> None:
    site = Site("new")
    site.terminal.fs.files["data/state/config.toon"] = b"?"
    assert attempt(site)
    assert site.network() == NEW
    assert site.terminal.agent.config.get("SERVER") == "http://server"


def test_a_signed_no_is_an_answer_and_silence_is_none() -> None:
    site = Site("new")
    site.terminal.server.answers["heartbeat"] = {"ERR1": "INTERNAL"}
    assert attempt(site)
    site = Site()
    site.limit_s = 0.4
    assert not attempt(site)
    assert site.network() == (OLD["WIFI_SSID"], OLD["WIFI_PASSWORD"])

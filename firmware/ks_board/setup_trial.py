"""A try of another Wi-Fi network: kept only when the server has answered over it, signed.

The agent does it by its own trial of a configuration (ks_agent.config): beside the configuration,
which stays as it was until then, whatever the power does.
"""

import asyncio

from .console_text import check_network

LIMIT_S = 90
LOOK_S = 0.2
LONGEST_REST_S = 5

UNTRIED = "Another Wi-Fi network for this terminal."


class NetworkTrial:
    """One try at a time. `make_life()` gives (agent, drive), anew for each, `agent` an Agent or a
    Recovery: `drive(sleep)` runs its life with that for its pauses.
    """

    def __init__(self, make_life, limit_s=LIMIT_S):
        self._make_life = make_life
        self._limit_s = limit_s
        self._is_trying = False
        self.kept = False
        # For a person; never the password.
        self.text = UNTRIED

    def is_trying(self):
        return self._is_trying

    async def attempt(self, name, password):
        """Whether the network is kept. Raises Malformed for what no network has, and changes
        nothing then.
        """
        check_network(name, password)
        if self._is_trying:
            return False
        self._is_trying = True
        self.text = "Trying %s. This may take a minute and a half." % name
        try:
            self.kept = await self._round_trip({"WIFI_SSID": name, "WIFI_PASSWORD": password})
            if self.kept:
                self.text = "%s is kept: the server has answered over it." % name
            else:
                self.text = "%s is not kept: no answer of the server's over it." % name
        except Exception as error:  # whatever it is, the network of before is still there
            self.text = "%s is not kept: %s." % (name, type(error).__name__)
            self.kept = False
        finally:
            self._is_trying = False
        return self.kept

    async def _round_trip(self, fields):
        agent, drive = self._make_life()
        pause = _TrialPause(agent, fields)
        living = asyncio.create_task(drive(pause))
        try:
            for _ in range(int(self._limit_s / LOOK_S)):
                if living.done() or (pause.has_begun and agent.exchange.heard):
                    break
                await asyncio.sleep(LOOK_S)
        finally:
            living.cancel()
            try:
                await living
            except asyncio.CancelledError:
                pass
            except Exception:
                pass
        if agent.config.on_trial:  # what was heard was heard over it: nothing is asked before it
            _end(agent)
        proven = agent.config.proven
        return pause.has_begun and all([proven.get(key, "") == fields[key] for key in fields])


def _begin(agent, fields):
    from ks_agent import config_changes  # let go again, before there is an answer to hold

    config_changes.try_out(agent.config, agent.store, agent.clock, fields, "")


def _end(agent):
    from ks_agent import config_changes

    if agent.exchange.heard:
        config_changes.accept(agent.config, agent.store)
    config_changes.end_trial(agent.config, agent.store)


class _TrialPause:
    """The agent's sleep: at its first one it has booted, and the trial begins."""

    def __init__(self, agent, fields):
        self._agent = agent
        self._fields = fields
        self.has_begun = False

    async def __call__(self, seconds):
        if not self.has_begun:
            _begin(self._agent, self._fields)
            self.has_begun = True
            return
        await asyncio.sleep(min(seconds, LONGEST_REST_S))

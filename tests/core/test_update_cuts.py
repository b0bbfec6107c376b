"""The power goes at every flash operation of an update in turn; stage 0 then picks the slot."""

# heap: 512k because the agent, compiled here, shares it with the test's server and flash

import hashlib

import stage0
from fakes import Terminal, is_cut_after
from test_update import (
    FILES,
    boot_record,
    make_bundle,
    make_manifest,
    offer,
    put_application,
    reported,
)

from ks_agent.effects import Response


class Started(Terminal):
    """A terminal that stage 0 starts, at first from slot a."""

    def boot(self):
        if "slot_a" in self.fs.folders:
            self.slot = stage0.choose(self.fs, hashlib.sha256)
        Terminal.boot(self)


def updating():
    """A registered terminal to which a newer release is offered from now on."""
    terminal = Started()
    put_application(terminal, "a", "1.0.0")
    for path, data in FILES.items():
        terminal.fs.files["slot_a/" + path] = data
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    offer(terminal, make_bundle(make_manifest(terminal, FILES), FILES))
    newer = terminal.server.answers.pop("heartbeat")
    handle = terminal.server.handle

    def offer_what_does_not_run(fetch):
        waits = terminal.agent.progress.version != newer["FW2"]
        terminal.server.answers["heartbeat"] = newer if waits else {"S1": "ok"}
        return handle(fetch)

    terminal.server.handle = offer_what_does_not_run
    return terminal


def talks_nonsense(fetch):
    return Response(200, {}, b"nonsense")


def confirmed(terminal):
    return "OK confirmed" in reported(terminal)


def run_until_confirmed(terminal):
    terminal.run(lambda: confirmed(terminal))


def run_until_rolled_back(terminal, serves):
    """Without a server, then with one that hears of it."""
    terminal.run(lambda: terminal.slot == "a", 2000)
    terminal.server.handle = serves
    terminal.run(lambda: len(reported(terminal)) >= 1)


def test_a_power_cut_at_any_flash_operation_of_an_update_ends_in_the_new_release_confirmed():
    for operations in range(200):
        terminal = updating()
        cut = is_cut_after(operations, terminal, run_until_confirmed, terminal)
        terminal.boot()
        run_until_confirmed(terminal)
        terminal.run_cycle()
        assert terminal.slot == "b" and terminal.agent.progress.version == "1.1.0"
        assert sorted(boot_record(terminal)) == ["MANIFEST", "SLOT"]
        assert terminal.vault.get("counter") == b"1"
        if not cut:
            break
    assert not cut and operations > 20


def test_a_power_cut_at_any_flash_operation_of_a_rollback_still_reports_it_and_bans_the_release():
    for operations in range(100):
        terminal = updating()
        terminal.run(lambda terminal=terminal: terminal.slot == "b")
        serves = terminal.server.handle
        terminal.server.handle = talks_nonsense
        cut = is_cut_after(operations, terminal, run_until_rolled_back, terminal, serves)
        terminal.boot()
        run_until_rolled_back(terminal, serves)
        beats = terminal.beats()
        terminal.run(lambda beats=beats, terminal=terminal: terminal.beats() == beats + 10)
        assert set(reported(terminal)) == {"ERROR ROLLED_BACK no_round_trip"}
        assert terminal.slot == "a" and sorted(boot_record(terminal)) == ["MANIFEST", "SLOT"]
        if not cut:
            break
    assert not cut

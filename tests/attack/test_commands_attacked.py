"""Commands that nobody gave, or gave to somebody else, or gave once: none is performed."""

from __future__ import annotations

from typing import Any

import pytest

from ks_agent import lines, signing, timetext
from ks_agent.effects import Response
from ks_server.db.schema import commands
from tests.attack.commands import command, deliver, untouched
from tests.attack.tampering import changed
from tests.attack.terminal import ADMIN_SEEDS, STRANGER_SEED, Terminal
from tests.attack.wire import Forward, answer_of
from tests.attack.world import World
from tests.server.client import CRYPTO, DAY_MS, SERVER_SEED

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_command_that_is_good_is_performed(shared: World) -> None:
    """So that the tests below fail when they should."""
    terminal = await shared.living()
    row = command(terminal, "IDENTIFY")
    await deliver(terminal, row)
    assert terminal.events().count("identify") == 1
    assert terminal.acknowledged() == {row["CMD1"]: "OK"}


async def test_a_command_with_anything_changed_is_not_performed(shared: World) -> None:
    terminal = await shared.living()
    row = command(terminal, "IDENTIFY", CMD3=None, CMD4="HIGH")
    for what, forged in changed(row):
        if "added" in what:
            continue  # what no signature of a command covers is not used either
        await deliver(terminal, forged)
        assert untouched(terminal), what
    await deliver(terminal, row)
    assert terminal.events().count("identify") == 1


@pytest.mark.parametrize(
    "case",
    ["unsigned", "signed by a stranger", "signed by an administrator", "of another command",
     "of the answer", "of a release", "for another device", "prefix of another device"],
)  # fmt: skip
async def test_a_command_with_another_signature_or_for_another_device_is_not_performed(
    shared: World, case: str
) -> None:
    terminal = await shared.living()
    other = await shared.living()
    row = command(terminal, "IDENTIFY")
    if case == "unsigned":
        del row["SIG_SERV"]
    elif case == "signed by a stranger":
        signing.sign_command(CRYPTO, STRANGER_SEED, row)
    elif case == "signed by an administrator":
        signing.sign_command(CRYPTO, ADMIN_SEEDS[0], row)
    elif case == "of another command":
        row["SIG_SERV"] = command(terminal, "IDENTIFY", 2)["SIG_SERV"]
    elif case == "of the answer":
        row["SIG_SERV"] = answer_of(terminal.wire.answered[-1])["SIG_SERV"]
    elif case == "of a release":
        release = {"FW1": "r", "FW2": "1.0.0", "FW4": "0" * 64, "FW5": "9"}
        row["SIG_SERV"] = signing.sign_release(CRYPTO, SERVER_SEED, release)
    elif case == "for another device":
        row = command(other, "IDENTIFY")
    else:
        row["CMD1"] = f"{signing.command_prefix(CRYPTO, other.d1)}-9"
        signing.sign_command(CRYPTO, SERVER_SEED, row)
    await deliver(terminal, row)
    assert untouched(terminal)


async def test_an_expired_command_is_acknowledged_as_such_and_not_performed(
    shared: World,
) -> None:
    terminal = await shared.living()
    row = command(terminal, "IDENTIFY", CMD5=timetext.format_ms(terminal.clock.ms))
    await deliver(terminal, row)
    assert "identify" not in terminal.events()
    assert terminal.acknowledged()[row["CMD1"]].startswith("ERROR EXPIRED")


@pytest.mark.parametrize("expires", ["in a week", "never said", "at the end of time"])
async def test_a_command_that_comes_again_is_not_performed_again(
    shared: World, expires: str
) -> None:
    """In the same answer, in the next one, after a reboot, and among others."""
    terminal = await shared.living()
    cases: dict[str, dict[str, Any]] = {
        "in a week": {},
        "never said": {"CMD5": None},
        "at the end of time": {"CMD5": "9999-12-31T23:59:59.999Z"},
    }
    fields = cases[expires]
    row = command(terminal, "IDENTIFY", **fields)
    other = command(terminal, "HALT_UPDATES", 2)
    await deliver(terminal, row, row)
    await deliver(terminal, other, row)
    assert terminal.events().count("identify") == 1
    terminal.boot()
    await deliver(terminal, row)
    await deliver(terminal, command(terminal, "HALT_UPDATES", 3), row)
    assert terminal.events().count("identify") == 0


async def test_a_command_performed_before_the_time_was_known_is_not_performed_again(
    shared: World,
) -> None:
    """Without an expiry it need not wait for the time; that its end is unknown must not matter."""
    terminal = await shared.living()
    terminal.boot()
    slow = command(terminal, "IDENTIFY", CMD5=None)

    async def hold(effect: Any, forward: Forward) -> Response:
        terminal.clock.ms += 10_000
        return await forward(effect)

    terminal.agent.clock._offset_ms -= 400 * DAY_MS
    await deliver_slowly(terminal, slow)
    assert not terminal.agent.clock.synced
    assert terminal.events().count("identify") == 1
    await deliver(terminal, command(terminal, "HALT_UPDATES", 2), slow)
    assert terminal.agent.clock.synced
    assert terminal.events().count("identify") == 1


async def deliver_slowly(terminal: Terminal, row: dict[str, str]) -> None:
    """One poll over a link on which every round trip takes ten seconds, by hand."""
    from ks_agent.effectors import Effectors

    performing = Effectors(terminal.agent).commands.perform(row)
    assert list(performing) == []


async def test_two_configurations_at_once_end_with_an_acknowledgement_each(shared: World) -> None:
    terminal = await shared.living()
    one = command(terminal, "APPLY_CONFIG", 1, CMD3="SITE:one")
    two = command(terminal, "APPLY_CONFIG", 2, CMD3="SITE:two")
    await deliver(terminal, one, two)
    await terminal.cycle()
    await terminal.cycle()
    assert set(terminal.acknowledged()) == {one["CMD1"], two["CMD1"]}


async def test_a_command_of_another_devices_cannot_be_acknowledged(shared: World) -> None:
    ours = await shared.registered(**shared.names())
    theirs = await shared.registered(**shared.names())
    cmd1 = await shared.command("IDENTIFY", d1=theirs.d1)
    answer = await ours.call("command-ack", CMD1=cmd1, ACK1="OK")
    assert answer.code == "NOT_FOUND"
    states = [row["state"] for row in await shared.rows(commands) if row["cmd1"] == cmd1]
    assert states == ["queued"]


async def test_the_payload_of_one_command_is_read_as_nothing_else(shared: World) -> None:
    """What looks like another field, a list or a command is refused, not guessed at."""
    terminal = await shared.living()
    assert lines.decode(b"SITE:a", 64) == {"SITE": "a"}
    payloads = (
        "SITE:a|CMD2:WIPE", "SITE[0].A:b|SITE_COUNT:1", "SITE:a|SITE:b", "SITE:%41", "SITE:a|",
        "KEY:x|ROLE:server", "SITE", ":", "SITE:a|SIG_ADMIN_A:x", "SERVER:ftp://x",
        "SERVER:http://a b", "SERVER:http://", "LOG_LEVEL:LOUD",
    )  # fmt: skip
    for number, payload in enumerate(payloads):
        row = command(terminal, "APPLY_CONFIG", number, CMD3=payload)
        await deliver(terminal, row)
        assert terminal.acknowledged()[row["CMD1"]].startswith("ERROR MALFORMED"), payload
    assert "data/state/config_trial.toon" not in terminal.flash()

"""Commands that nobody gave, or gave to somebody else, or gave once: none is performed."""

from __future__ import annotations

from typing import Any

import pytest

from ks_agent import lines, schema, signing, timetext
from ks_agent.effects import Response
from ks_server.db.schema import commands
from tests.attack.requests import NEW_SEED, rotation
from tests.attack.tampering import changed
from tests.attack.world import (
    ADMIN_SEEDS,
    RELEASE_SEED,
    STRANGER_SEED,
    Forward,
    Terminal,
    World,
    answer_of,
    as_response,
    op_of,
)
from tests.server.client import CRYPTO, DAY_MS, SERVER_SEED, public_text, read

pytestmark = pytest.mark.asyncio(loop_scope="session")

DESTRUCTIVE = sorted(name for name, form in schema.COMMANDS.items() if form.two_admins)


def command(terminal: Terminal, name: str, number: int = 1, **fields: Any) -> dict[str, str]:
    """A command as the server would sign it; a field given as None is left out."""
    now_ms = terminal.clock.ms
    row = {
        "CMD1": f"{signing.command_prefix(CRYPTO, terminal.d1)}-{number}",
        "CMD2": name,
        "TS": timetext.format_ms(now_ms),
        "CMD5": timetext.format_ms(now_ms + 7 * DAY_MS),
        **fields,
    }
    row = {key: text for key, text in row.items() if text is not None}
    signing.sign_command(CRYPTO, SERVER_SEED, row)
    return row


def admins(row: dict[str, str], d1: str, *seeds: bytes) -> dict[str, str]:
    """The command with these administrators' signatures."""
    for field, seed in zip(("SIG_ADMIN_A", "SIG_ADMIN_B"), seeds, strict=False):
        row[field] = signing.sign_text(CRYPTO, seed, signing.admin_text(row, d1))
    return row


async def deliver(terminal: Terminal, *rows: dict[str, str]) -> None:
    """As if the server's own key had signed an answer with these commands: one poll."""

    async def meddle(effect: Any, forward: Forward) -> Response:
        response = await forward(effect)
        op = op_of(effect)
        if op not in ("heartbeat", "commands"):
            return response
        answer = answer_of(response)
        if "ERR1" in answer:
            return response
        if op == "heartbeat":
            answer["PENDING_CMDS"] = "1"
        else:
            answer.pop("S1", None)
            answer["CMD"] = [dict(row) for row in rows]
        signing.sign_message(CRYPTO, SERVER_SEED, answer, "SIG_SERV")
        return as_response(answer)

    terminal.wire.meddle = meddle
    asked = len(terminal.wire.asked)
    for _ in range(3):  # the first cycle may end where it began, in a sleep
        await terminal.cycle()
        if "commands" in [op_of(effect) for effect in terminal.wire.asked[asked:]]:
            break
    terminal.wire.meddle = None


def untouched(terminal: Terminal) -> bool:
    """Nothing has been performed, refused or acknowledged."""
    return "command" not in terminal.events() and terminal.acknowledged() == {}


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


def wipe(terminal: Terminal, name: str = "WIPE", number: int = 1, **fields: Any) -> dict[str, str]:
    payload = f"KEY:{public_text(ADMIN_SEEDS[0])}|ROLE:admin" if name == "DISTRUST_KEY" else None
    return command(terminal, name, number, **{"CMD3": payload, **fields})


ADMIN_CASES = (
    "nobody", "one", "the same twice", "one and a stranger", "one and a release key",
    "one and the server", "for another device", "of another command", "with another payload",
    "with another expiry", "in each other's place", "of another name",
)  # fmt: skip


@pytest.mark.parametrize("case", ADMIN_CASES)
async def test_what_two_administrators_must_sign_is_not_performed_without_them(
    shared: World, case: str
) -> None:
    for number, name in enumerate(DESTRUCTIVE):
        terminal = await shared.living()
        row = wipe(terminal, name, number)
        signers = {
            "one": ADMIN_SEEDS[:1],
            "the same twice": (ADMIN_SEEDS[0], ADMIN_SEEDS[0]),
            "one and a stranger": (ADMIN_SEEDS[0], STRANGER_SEED),
            "one and a release key": (ADMIN_SEEDS[0], RELEASE_SEED),
            "one and the server": (ADMIN_SEEDS[0], SERVER_SEED),
        }.get(case, ())
        admins(row, terminal.d1, *signers)
        if case == "for another device":
            admins(row, "dev-0", *ADMIN_SEEDS)
        elif case == "of another command":
            other = admins(wipe(terminal, name, 77), terminal.d1, *ADMIN_SEEDS)
            row |= {key: other[key] for key in ("SIG_ADMIN_A", "SIG_ADMIN_B")}
        elif case == "with another payload":
            payload = "FORCE:true" if name == "WIPE" else row.get("CMD3", "") + "x"
            other = admins({**row, "CMD3": payload}, terminal.d1, *ADMIN_SEEDS)
            row |= {key: other[key] for key in ("SIG_ADMIN_A", "SIG_ADMIN_B")}
        elif case == "with another expiry":
            other = wipe(
                terminal, name, number, CMD5=timetext.format_ms(terminal.clock.ms + DAY_MS)
            )
            admins(other, terminal.d1, *ADMIN_SEEDS)
            row |= {key: other[key] for key in ("SIG_ADMIN_A", "SIG_ADMIN_B")}
        elif case == "of another name":
            other = admins({**row, "CMD2": "IDENTIFY"}, terminal.d1, *ADMIN_SEEDS)
            row |= {key: other[key] for key in ("SIG_ADMIN_A", "SIG_ADMIN_B")}
        elif case == "in each other's place":
            admins(row, terminal.d1, *ADMIN_SEEDS)
            row["SIG_ADMIN_B"] = row["SIG_ADMIN_A"]
        before = {key: terminal.vault.get(key) for key in ("key", "key_next")}
        await deliver(terminal, row)
        outcome = terminal.acknowledged()[row["CMD1"]]
        assert outcome.startswith("ERROR UNAUTHORIZED"), (name, outcome)
        assert terminal.state == "ACTIVE"
        assert {key: terminal.vault.get(key) for key in before} == before
        assert len(terminal.agent.trust.keys("admin")) == 2


async def test_the_server_accepts_no_other_signatures_for_them_either(shared: World) -> None:
    terminal = await shared.living()
    expires = timetext.format_ms(shared.clock() + DAY_MS)
    form = {"name": "WIPE", "expires": expires}
    draft = await shared.admin("POST", f"/devices/{terminal.d1}/commands", form)
    other = await shared.admin("POST", f"/devices/{terminal.d1}/commands", form)
    path = f"/commands/{draft['cmd1']}/signatures"

    async def sign(seed: bytes, text: str = draft["sign_text"]) -> str:
        signature = signing.sign_text(CRYPTO, seed, text)
        answer = await shared.admin("POST", path, {"signature": signature})
        return str(answer["error"]["code"] if "error" in answer else answer["state"])

    assert await sign(STRANGER_SEED) == "SIG_INVALID"
    assert await sign(SERVER_SEED) == "SIG_INVALID"
    assert await sign(ADMIN_SEEDS[0], other["sign_text"]) == "SIG_INVALID"
    assert await sign(ADMIN_SEEDS[0], draft["sign_text"].replace(terminal.d1, "dev-0")) == (
        "SIG_INVALID"
    )
    assert await sign(ADMIN_SEEDS[0]) == "draft"
    assert await sign(ADMIN_SEEDS[0]) == "SAME_ADMIN"
    for _ in range(2):
        await terminal.cycle()
    assert terminal.state == "ACTIVE"
    assert await sign(ADMIN_SEEDS[1]) == "queued"
    await terminal.run(lambda: terminal.state == "DORMANT")


async def test_after_a_wipe_no_other_command_of_the_same_answer_is_performed(
    shared: World,
) -> None:
    """It could write secrets onto a flash that has just been erased."""
    terminal = await shared.living()
    row = admins(wipe(terminal), terminal.d1, *ADMIN_SEEDS)
    config = command(terminal, "APPLY_CONFIG", 2, CMD3="WIFI_PASSWORD:secret")
    rotate = command(terminal, "ROTATE_DEVICE_KEY", 3)
    await deliver(terminal, row, config, rotate, command(terminal, "IDENTIFY", 4))
    assert terminal.state in ("WIPING", "DORMANT")
    assert b"secret" not in b"".join(terminal.flash().values())
    assert terminal.acknowledged() == {row["CMD1"]: "OK erased"}


async def test_a_wipe_erases_what_an_interrupted_write_has_left(shared: World) -> None:
    terminal = await shared.living()
    for name in ("config.toon.new", "config_trial.toon.new", "identity.toon.new"):
        terminal.fs.install(f"data/state/{name}", b'WIFI_PASSWORD: "secret"\n')
    terminal.fs.install("data/state/outbox/command-ack-x.toon.new", b"secret")
    row = admins(wipe(terminal), terminal.d1, *ADMIN_SEEDS)
    await deliver(terminal, row)
    await terminal.run(lambda: terminal.state == "DORMANT")
    assert b"secret" not in b"".join(terminal.flash().values())


async def test_two_administrators_always_stay(shared: World) -> None:
    """One alone could never wipe a stolen terminal, nor let another one in."""
    terminal = await shared.living()
    payload = f"KEY:{public_text(ADMIN_SEEDS[0])}|ROLE:admin"
    row = admins(command(terminal, "DISTRUST_KEY", 1, CMD3=payload), terminal.d1, *ADMIN_SEEDS)
    await deliver(terminal, row)
    assert terminal.acknowledged()[row["CMD1"]].startswith("ERROR LAST_KEY")
    third = f"KEY:{public_text(STRANGER_SEED)}|ROLE:admin"
    add = admins(command(terminal, "TRUST_KEY", 2, CMD3=third), terminal.d1, *ADMIN_SEEDS)
    row = command(terminal, "DISTRUST_KEY", 3, CMD3=payload)
    admins(row, terminal.d1, ADMIN_SEEDS[1], STRANGER_SEED)
    await deliver(terminal, add, row)
    assert terminal.acknowledged()[row["CMD1"]] == "OK"
    assert len(terminal.agent.trust.keys("admin")) == 2


async def test_no_number_of_commands_keeps_out_a_wipe(shared: World) -> None:
    """What was performed is remembered until it has expired, and there is room for 64."""
    terminal = await shared.living()
    for number in range(0, 80, 8):
        numbers = range(number, number + 8)
        await deliver(terminal, *(command(terminal, "IDENTIFY", one) for one in numbers))
    assert 50 < terminal.events().count("identify") < 64
    for number in range(100, 180, 8):
        numbers = range(number, number + 8)
        await deliver(terminal, *(command(terminal, "WIPE", one, CMD5=None) for one in numbers))
    row = admins(wipe(terminal, number=99), terminal.d1, *ADMIN_SEEDS)
    await deliver(terminal, row)
    await terminal.run(lambda: terminal.state == "DORMANT")


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


@pytest.mark.parametrize("answer", ["dropped", "garbage", "NONCE_REUSE", "unsigned yes"])
async def test_a_terminal_never_loses_the_key_that_the_server_has_accepted(
    shared: World, answer: str
) -> None:
    """The attacker lets rotate-key through, keeps the yes to himself, and answers something else;
    by sending the request twice he even gets a refusal that is signed for it.
    """
    terminal = await shared.living()
    old = terminal.vault.get("key")
    await shared.command("ROTATE_DEVICE_KEY", d1=terminal.d1)

    async def meddle(effect: Any, forward: Forward) -> Response:
        response = await forward(effect)
        if op_of(effect) != "rotate-key":
            return response
        if answer == "dropped":
            raise OSError("lost")
        if answer == "garbage":
            return Response(200, {"content-type": "text/toon"}, b"\xff")
        if answer == "NONCE_REUSE":
            return await forward(effect)
        return as_response({"S1": "ok"})

    terminal.wire.meddle = meddle
    await terminal.run(lambda: "rotate-key" in [op_of(one) for one in terminal.wire.asked])
    await terminal.cycle()
    terminal.wire.meddle = None
    heard = terminal.events().count("heartbeat")
    await terminal.run(lambda: terminal.events().count("heartbeat") > heard + 1)
    assert terminal.vault.get("key") != old
    assert terminal.acknowledged() and "OK" in terminal.acknowledged().values()


async def test_a_rotation_held_back_by_the_attacker_and_sent_later_changes_nothing(
    shared: World,
) -> None:
    """Once its command is acknowledged, the server takes no new key any more."""
    terminal = await shared.living()
    await shared.command("ROTATE_DEVICE_KEY", d1=terminal.d1)
    held: list[Any] = []

    async def hold(effect: Any, forward: Forward) -> Response:
        if op_of(effect) == "rotate-key":
            held.append(effect)
            raise OSError("no answer")
        return await forward(effect)

    terminal.wire.meddle = hold
    await terminal.run(lambda: terminal.acknowledged() != {})
    await terminal.cycle()
    assert "ERROR the old key goes on" in terminal.acknowledged().values()
    answer = answer_of(await terminal.wire.forward(held[0]))
    assert answer["ERR1"] in ("UNAUTHORIZED", "TIMESTAMP_INVALID")
    terminal.wire.meddle = None
    heard = terminal.events().count("heartbeat")
    await terminal.run(lambda: terminal.events().count("heartbeat") > heard)


async def test_a_rotation_with_another_new_key_put_in_is_refused(shared: World) -> None:
    device = await shared.registered(**shared.names())
    await shared.command("ROTATE_DEVICE_KEY", d1=device.d1)
    message = rotation(device)
    forged = {**message, "D3": public_text(STRANGER_SEED)}
    signing.sign_message(CRYPTO, STRANGER_SEED, forged, "SIG_NEW")
    assert read(await device.send("rotate-key", forged)).code == "SIG_INVALID"
    assert read(await device.send("rotate-key", message)).code == "ok"
    assert message["D3"] == public_text(NEW_SEED)

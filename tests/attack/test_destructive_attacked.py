"""What takes two administrators is not done by one, nor by any number of others; and is done."""

from __future__ import annotations

from typing import Any

import pytest

from ks_agent import schema, signing, timetext
from tests.attack.commands import admins, command, deliver
from tests.attack.terminal import ADMIN_SEEDS, RELEASE_SEED, STRANGER_SEED, Terminal
from tests.attack.world import World
from tests.server.client import CRYPTO, DAY_MS, SERVER_SEED, public_text

pytestmark = pytest.mark.asyncio(loop_scope="session")

DESTRUCTIVE = sorted(name for name, form in schema.COMMANDS.items() if form.two_admins)


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

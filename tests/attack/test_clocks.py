"""Clocks that are wrong by a year, either way, on either side; and time as a weapon."""

from __future__ import annotations

from typing import Any

import pytest

from ks_agent import signing, timetext
from ks_agent.effects import Response
from ks_server.db.schema import commands, nonces
from tests.attack.conftest import Start
from tests.attack.terminal import STRANGER_SEED, WrongClock
from tests.attack.wire import Forward, answer_of, as_response, message_of, op_of
from tests.attack.world import World, opened
from tests.server.client import BASE, Device, public_text, read

pytestmark = pytest.mark.asyncio(loop_scope="session")

YEAR_MS = 365 * 86_400_000
BEAT = {"HB1": "1", "HB2": "2"}


@pytest.mark.parametrize("wrong_ms", [-YEAR_MS, YEAR_MS])
async def test_a_terminal_that_is_a_year_off_learns_the_time_and_goes_on(
    shared: World, wrong_ms: int
) -> None:
    terminal = await shared.living()
    terminal.agent.clock._offset_ms += wrong_ms
    heard = terminal.events().count("heartbeat")
    await terminal.cycle()
    assert terminal.events().count("heartbeat") == heard + 1
    assert abs(terminal.agent.clock.now_ms() - shared.clock.ms) < 100


@pytest.mark.parametrize("wrong_ms", [-YEAR_MS, YEAR_MS])
async def test_a_server_that_is_a_year_off_does_no_harm_that_lasts(
    data_folder: Any, wrong_ms: int
) -> None:
    """Its signed time is believed, as it must be; when it is right again, everything goes on."""
    clock = WrongClock(wrong_ms=wrong_ms)
    async with opened(data_folder, clock) as world:
        terminal = await world.living()
        assert abs(terminal.agent.clock.now_ms() - clock()) < 100
        cmd1 = await world.command("IDENTIFY", d1=terminal.d1)
        await terminal.run(lambda: cmd1 in terminal.acknowledged())
    clock.wrong_ms = 0
    async with opened(data_folder, clock) as world:
        heard = terminal.events().count("heartbeat")
        terminal.wire._http = world.http
        for _ in range(3):
            await terminal.cycle()
        if wrong_ms > 0:
            # its database remembers the future, and readyz says so: nothing older is believed
            assert world.context.fence.behind_ms() > 60_000
            assert terminal.details("refused")[-1]["ERR1"] == "TIMESTAMP_INVALID"
            return
        assert terminal.events().count("heartbeat") > heard
        assert abs(terminal.agent.clock.now_ms() - clock()) < 100
        assert terminal.events().count("identify") == 1


@pytest.mark.parametrize("wrong_ms", [-YEAR_MS, YEAR_MS, -301_000, 301_000])
async def test_a_request_of_another_time_is_refused_signed_and_now_and_then_and_for_ever(
    start: Start, wrong_ms: int
) -> None:
    async with start() as world:
        device = await world.registered()
        cmd1 = await world.command("IDENTIFY")
        message = device.build(
            "command-ack", CMD1=cmd1, ACK1="OK", TS=timetext.format_ms(world.clock() + wrong_ms)
        )
        answer = read(await device.send("command-ack", message))
        assert (answer.code, answer.signed) == ("TIMESTAMP_INVALID", True)
        if wrong_ms > 0:
            world.clock.ms += wrong_ms  # recorded, and sent again when its time has come
            assert read(await device.send("command-ack", message)).code == "NONCE_REUSE"
        assert (await world.rows(commands))[0]["state"] == "queued"


async def test_a_device_cannot_fill_the_database_with_requests_from_the_future(
    start: Start,
) -> None:
    """Each is refused, and its nonce is kept until its time has passed: for years."""
    async with start(rate_limit_acknowledgements="10/hour") as world:
        device = await world.registered()
        for number in range(30):
            ts = timetext.format_ms(world.clock() + YEAR_MS + number)
            answer = read(await device.send("heartbeat", device.build("heartbeat", TS=ts)))
            assert (answer.code, answer.signed) == ("TIMESTAMP_INVALID", True)
        assert len(await world.rows(nonces)) <= 1 + 10


async def test_an_answer_that_was_held_back_for_ten_seconds_sets_no_clock(shared: World) -> None:
    """Somebody on the way could otherwise make the terminal late by as much as he likes."""
    terminal = await shared.terminal()
    terminal.boot()

    async def hold(effect: Any, forward: Forward) -> Response:
        response = await forward(effect)
        terminal.clock.ms += 10_000
        return response

    terminal.wire.meddle = hold
    await terminal.cycle()
    await terminal.cycle()
    assert not terminal.agent.clock.synced
    terminal.wire.meddle = None
    await terminal.run(lambda: bool(terminal.agent.clock.synced))
    assert abs(terminal.agent.clock.now_ms() - shared.clock.ms) < 100


async def test_an_unsigned_time_sets_no_clock(shared: World) -> None:
    terminal = await shared.living()
    now_ms = terminal.agent.clock.now_ms() - terminal.clock.ms

    async def lie(effect: Any, forward: Forward) -> Response:
        request = message_of(effect)
        answer = {key: request[key] for key in ("D1", "NONCE", "OP")}
        answer |= {"TS": "2031-01-01T00:00:00.000Z", "ERR1": "TIMESTAMP_INVALID", "RQ": "0" * 32}
        return as_response(answer, 400)

    terminal.wire.meddle = lie
    for _ in range(3):
        await terminal.cycle()
    assert terminal.agent.clock.now_ms() - terminal.clock.ms == now_ms


async def test_the_time_over_plain_http_is_asked_only_before_the_clock_is_set_and_tells_only_it(
    shared: World,
) -> None:
    """TLS fails for its dates: one signed question without TLS, and nothing else goes that way."""
    terminal = await shared.living()
    config = "data/state/config.toon"
    terminal.agent.store.write(config, {"SERVER": BASE.replace("http:", "https:")})
    terminal.boot()
    plain = []

    async def expired(effect: Any, forward: Forward) -> Response:
        if effect.url.startswith("https:"):
            if not terminal.agent.clock.synced or "heartbeat" in terminal.events():
                raise OSError("certificate date")
            effect.url = effect.url.replace("https:", "http:")
        else:
            plain.append(op_of(effect))
        return await forward(effect)

    terminal.wire.meddle = expired
    await terminal.run(lambda: "heartbeat" in terminal.events())
    assert plain == ["time"]
    asked = len(terminal.wire.asked)
    for _ in range(3):
        await terminal.cycle()
    assert len(terminal.wire.asked) > asked
    assert plain == ["time"], "with a clock, a certificate's date is no reason to go without TLS"


async def test_a_server_key_cannot_bring_a_terminal_beyond_the_end_of_time(shared: World) -> None:
    """TS is the last millisecond that can be written; the terminal lives on and comes back."""
    terminal = await shared.living()

    async def last_moment(effect: Any, forward: Forward) -> Response:
        answer = answer_of(await forward(effect))
        answer["TS"] = "9999-12-31T23:59:59.999Z"
        signing.sign_message(
            shared.context.crypto, shared.context.keys.current.seed, answer, "SIG_SERV"
        )
        return as_response(answer)

    terminal.wire.meddle = last_moment
    await terminal.cycle()
    terminal.wire.meddle = None
    heard = terminal.events().count("heartbeat")
    terminal.boot()
    for _ in range(4):
        await terminal.cycle()
    assert heard
    assert terminal.events().count("heartbeat") >= 1
    assert abs(terminal.agent.clock.now_ms() - shared.clock.ms) < 100


async def test_what_a_registration_of_another_year_is_told_is_signed(shared: World) -> None:
    device: Device = shared.device(**shared.names())
    await shared.allow(device)
    answer = await device.call("register", TS="2019-01-01T00:00:00.000Z")
    assert (answer.code, answer.signed) == ("TIMESTAMP_INVALID", True)
    stranger = shared.device(**shared.names())
    before = await shared.contents()
    answer = await stranger.call("register", TS="2039-01-01T00:00:00.000Z")
    assert (answer.code, answer.signed) == ("TIMESTAMP_INVALID", True)
    assert await shared.contents() == before
    assert public_text(stranger.seed) not in str(before)


async def test_a_new_terminal_behind_tls_learns_the_time_before_it_is_known(
    shared: World,
) -> None:
    """Its certificate's dates and its build's may never meet: without the time, no registration."""
    terminal = await shared.terminal()
    factory = "factory.toon"
    with terminal.fs.open(factory, "rb") as file:
        terminal.fs.install(factory, file.read().replace(b'"http:', b'"https:'))
    terminal.boot()
    plain = []

    async def expired(effect: Any, forward: Forward) -> Response:
        if effect.url.startswith("https:"):
            if not terminal.agent.clock.synced:
                raise OSError("certificate date")
            effect.url = effect.url.replace("https:", "http:")
        else:
            plain.append(op_of(effect))
        return await forward(effect)

    terminal.wire.meddle = expired
    await terminal.run(lambda: "heartbeat" in terminal.events())
    assert plain == ["time"]


async def test_a_stranger_who_asks_for_the_time_gets_the_time_and_nothing_else(
    shared: World, device: Device
) -> None:
    key = public_text(STRANGER_SEED)
    before = await shared.contents()
    for d1 in (device.d1, "dev-nobody-knows"):
        stranger = shared.device(d1=d1, seed=STRANGER_SEED)
        answer = await stranger.call("time", D3=key)
        assert sorted(answer.message) == ["D1", "NONCE", "OP", "RQ", "SIG_SERV", "TS"]
        message = stranger.build("time")
        code = "DEVICE_NOT_FOUND" if d1 != device.d1 else "SIG_INVALID"
        assert read(await stranger.send("time", message)).code == code
        forged = device.build("time", D1=d1, D3=key)
        assert read(await stranger.send("time", forged)).code == "SIG_INVALID"
    assert await shared.contents() == before

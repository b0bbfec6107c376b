"""The ESP32's driver on the software chip: real boot.py, main.py and TLS, against a real server."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from ks_agent.effects import NO_MEMORY
from tests.chip.flash_file import board_named, files_in
from tests.chip.power import Chip
from tests.chip.world import BLOCKING_CARD, REAL_HEAP, STALLING_CARD, ChipWorld, chip_world
from tests.driver.certificates import AUTHORITY, GOOD, KEY

PATIENCE_S = 60.0
BITTEN = -14  # SIGALRM


async def heartbeat(chip: Chip) -> None:
    """The next one that is answered."""
    await chip.wait_for("heartbeat", PATIENCE_S, after=len(chip.events))


async def is_bitten(chip: Chip, mark: int) -> None:
    """Wait for the boot that comes after the watchdog's reset."""
    await chip.told(lambda line: line.startswith("boot 3 "), PATIENCE_S, mark)
    assert chip.ended[-1] in (BITTEN, 128 - BITTEN)


async def test_a_chip_in_the_memory_of_a_real_one_registers_and_obeys(tmp_path: Path) -> None:
    async with chip_world(tmp_path) as here:
        chip = await here.chip("dev_1", interpreter="i386", heap=REAL_HEAP)
        await chip.wait_for("registered", PATIENCE_S)
        identify = await here.api.command("dev_1", "IDENTIFY")
        assert await here.acknowledged(identify) == "OK"
        assert chip.boots == 1
        fw1 = await here.api.publish(here.chip_release(here.architecture, "1.1.0", 2).assemble())
        await chip.wait_for("update_confirmed", 4 * PATIENCE_S)
        assert await here.reported(fw1) == ("OK", "confirmed")
        assert not [line for line in chip.output if "Error" in line]


async def test_a_terminal_with_readers_lives_through_a_day(tmp_path: Path) -> None:
    async with chip_world(tmp_path) as here:
        chip = await here.chip("dev_1", interpreter="i386", board="ks_clock")
        await chip.wait_for("heartbeat", PATIENCE_S)
        await punches_arrive(here, chip)
        what_lasts_is_on_the_partition_for_it(here.folder / "dev_1.bin")
        await the_console_is_closed(chip)
        await an_update_is_taken(here, chip)
        await hangs_end_in_a_reset_with_the_reason(here, chip)
        await drops_of_the_radio_are_told(here, chip)
        await the_button_leads_to_setup(chip)


async def punches_arrive(here: ChipWorld, chip: Chip) -> None:
    chip.card(0x12E456)
    found = await chip.wait_for("punch", PATIENCE_S)
    assert found.detail["A2"] == "IN"
    await chip.told(lambda line: line.startswith("pwm 4 ") and line != "pwm 4 0", PATIENCE_S)
    await here.comes("SELECT e1 FROM punches", "12E456")


def what_lasts_is_on_the_partition_for_it(flash: Path) -> None:
    board = board_named("ks_clock")
    folders = {path.partition("/")[0] for path in files_in(flash, board, "data")}
    assert {"state", "journal"} <= folders
    assert not [path for path in files_in(flash, board, "vfs") if path.startswith("data")]


async def the_console_is_closed(chip: Chip) -> None:
    assert "kbd_intr -1" in chip.lines
    chip.type(b"\x03\x03\r\nprint(40 + 2)\r\n")
    await heartbeat(chip)
    assert chip.boots == 1
    assert not {"42", ">>> 42"} & set(chip.output)


async def an_update_is_taken(here: ChipWorld, chip: Chip) -> None:
    fw1 = await here.api.publish(here.chip_release(here.architecture, "1.1.0", 2).assemble())
    await chip.wait_for("restart", PATIENCE_S, lambda event: event.detail["REASON"] == NO_MEMORY)
    await chip.wait_for("update_confirmed", PATIENCE_S)  # in a life without readers
    await here.version_of("dev_1", "1.1.0")
    assert await here.reported(fw1) == ("OK", "confirmed")
    assert chip.ended == [75, 75]


async def hangs_end_in_a_reset_with_the_reason(here: ChipWorld, chip: Chip) -> None:
    await heartbeat(chip)
    mark = len(chip.lines)
    chip.card(BLOCKING_CARD)
    await is_bitten(chip, mark)
    await here.comes("SELECT log3 FROM log_rows", "crashed: Watchdog reader: works")
    await heartbeat(chip)
    mark, after = len(chip.lines), len(chip.events)
    chip.card(STALLING_CARD)
    await chip.wait_for("punch", PATIENCE_S, lambda event: event.detail["A2"] != "", after)
    chip.card(0x12E457)  # waits behind it
    await is_bitten(chip, mark)
    assert "watchdog: reader: hangs" in chip.output
    await here.comes("SELECT log3 FROM log_rows", "crashed: Watchdog reader: hangs")


async def drops_of_the_radio_are_told(here: ChipWorld, chip: Chip) -> None:
    await heartbeat(chip)
    for _ in range(3):
        mark = len(chip.lines)
        chip.control("wifi")
        await chip.told(lambda line: line == "wifi left", PATIENCE_S, mark)
        await asyncio.sleep(0.2)  # several looks of the terminal
        chip.control("wifi site secret%201 -61")
        await chip.told(lambda line: line == "wifi joined site", PATIENCE_S, mark)
        await asyncio.sleep(0.2)
    await here.comes("SELECT hb6 FROM heartbeats", "FLAPPING")


async def the_button_leads_to_setup(chip: Chip) -> None:
    await heartbeat(chip)
    mark = len(chip.lines)
    chip.control("pin 36 0")
    await chip.wait_for("restart", PATIENCE_S, lambda event: event.detail["REASON"] == "setup")
    await chip.told(lambda line: line.startswith("boot 2 "), PATIENCE_S, mark)


@asynccontextmanager
async def behind_tls(folder: Path, port: int) -> AsyncIterator[int]:
    """The server with a certificate for "localhost": the port."""
    chain = folder / "server.pem"
    chain.write_text(GOOD + KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):
            while piece := await reader.read(4096):
                writer.write(piece)
                await writer.drain()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, far_writer))
        for way in forward(reader, far_writer), forward(far_reader, writer):
            tasks.add(asyncio.create_task(way))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:  # also of a task that was cancelled before it began
            writer.close()


async def test_tls_needs_the_pinned_authority_and_the_name_of_the_server(tmp_path: Path) -> None:
    pinned = base64.b64encode(ssl.PEM_cert_to_DER_cert(AUTHORITY)).decode()
    async with chip_world(tmp_path) as here, behind_tls(tmp_path, here.server.port) as port:
        right = await here.chip("dev_1", server=f"https://localhost:{port}", ca=pinned)
        wrong = await here.chip("dev_2", server=f"https://127.0.0.1:{port}", ca=pinned)
        await right.wait_for("heartbeat", PATIENCE_S)
        refused = await wrong.wait_for("offline", PATIENCE_S)
        assert "certificate" in refused.detail["reason"]
        assert [device["d1"] for device in await here.api.devices()] == ["dev_1"]


@pytest.mark.parametrize("board", ["esp32s3"])
async def test_a_chip_with_two_images_runs_the_first(tmp_path: Path, board: str) -> None:
    async with chip_world(tmp_path) as here:
        chip = await here.chip("dev_1", board=board)
        await chip.wait_for("heartbeat", PATIENCE_S)
        await here.comes("SELECT img1 FROM devices", "1.25.0")

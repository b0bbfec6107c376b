"""The life of a terminal that is not provisioned: the factory's console, and nothing else."""

import machine

from .board_record import read_board
from .console import Console
from .console_factory import FactoryDesk
from .console_facts import facts
from .console_radio import Radio
from .console_stream import StdStream
from .console_tests import Tester
from .desk import Desk


async def live(ports, memory, slot):
    """ "restart" once the factory has sealed it; None where stdin has ended, as on a computer."""
    record = read_board(ports.fs)
    desk = Desk()
    if record.get("FEATURE"):
        from .features import load

        load(record, desk)
        desk.start()
    told = facts(ports.fs, machine.unique_id(), record, slot, ports.partition.stage0)
    factory = FactoryDesk(ports, told, Tester(ports, desk), Radio())
    print("not provisioned: the factory's console, see docs/serial.md")
    try:
        return await Console(StdStream(), factory).run()
    finally:
        desk.close()

"""One module for each operation of PROTOCOL section 5."""

from typing import Final

from ..operation import Operation
from .allow_list import AllowList
from .command_ack import CommandAck
from .commands import Commands
from .events import Events
from .firmware_ack import FirmwareAck
from .firmware_check import FirmwareCheck
from .firmware_download import FirmwareDownload
from .heartbeat import Heartbeat
from .logs import Logs
from .register import Register
from .rotate_key import RotateKey
from .time import Time

OPERATIONS: Final[tuple[type[Operation], ...]] = (
    Register,
    Heartbeat,
    Commands,
    CommandAck,
    FirmwareCheck,
    FirmwareDownload,
    FirmwareAck,
    Logs,
    Events,
    AllowList,
    RotateKey,
    Time,
)

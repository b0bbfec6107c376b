"""What differs between chips for a loader: identity, eFuse words, registers, the SPI controller.

Addresses and meanings: the technical reference manuals of the ESP32, ESP32-S3 and ESP32-C3
(chapters eFuse Controller, SPI Controller, UART), as esptool uses them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

ROM_BAUD: Final = 115_200
CRYSTAL_HZ: Final = 40_000_000
MAGIC_ADDRESS: Final = 0x4000_1000
_USER_COMMAND: Final = 1 << 18
_WATCHDOG_ON: Final = 1 << 31
_WORD: Final = 0xFFFF_FFFF

# Winbond's W25Q series; the last byte is the power of two of its size.
_MAKER_AND_TYPE: Final = 0x40EF
_READ_ID, _READ_SFDP = 0x9F, 0x5A
_SFDP_SIGNATURE: Final = int.from_bytes(b"SFDP", "little")


class UnknownChip(ValueError):
    """Not one of MODELS."""


@dataclass(frozen=True)
class Model:
    """One kind of chip.

    `spi` is the controller's base, and the offsets of its registers USR2 and W0. `chip_id` is what
    GET_SECURITY_INFO tells; a chip without that command has none. `bootloader` is where the ROM
    looks for the second stage. `watchdog` is the register whose top bit starts a reset.
    """

    name: str
    magic: int
    chip_id: int | None
    mac: Callable[[bytes], dict[int, int]]
    constants: dict[int, int]
    spi: tuple[int, int, int]
    spi_address_shift: int
    uart_divider: int
    bootloader: int
    watchdog: int | None


def _mac_of_esp32(mac: bytes) -> dict[int, int]:
    return {
        0x3FF5_A004: int.from_bytes(mac[2:]),
        0x3FF5_A008: int.from_bytes(mac[:2]),
    }


def _mac_at(base: int) -> Callable[[bytes], dict[int, int]]:
    def words(mac: bytes) -> dict[int, int]:
        return {base: int.from_bytes(mac[2:]), base + 4: int.from_bytes(mac[:2])}

    return words


ESP32 = Model(
    name="esp32",
    magic=0x00F0_1D83,
    chip_id=None,
    mac=_mac_of_esp32,
    constants={
        0x3FF5_A00C: 1 << 15 | 1 << 9,  # revision 3, package D0WD
        0x3FF5_A010: 128,  # frequency of the 8 MHz clock, with which the next one gives 40 MHz
        0x3FF5_A014: 1 << 24 | 1 << 20,  # revision x.1
        0x3FF5_F06C: 800 << 7,
        0x3FF6_607C: 1 << 31,
    },
    spi=(0x3FF4_2000, 0x24, 0x80),
    spi_address_shift=8,
    uart_divider=0x3FF4_0014,
    bootloader=0x1000,
    watchdog=None,
)
ESP32S3 = Model(
    name="esp32s3",
    magic=0x0000_0009,
    chip_id=9,
    mac=_mac_at(0x6000_7044),
    constants={0x6000_7050: 2 << 18},  # revision 0.2
    spi=(0x6000_2000, 0x20, 0x58),
    spi_address_shift=0,
    uart_divider=0x6000_0014,
    bootloader=0,
    watchdog=0x6000_8098,
)
ESP32C3 = Model(
    name="esp32c3",
    magic=0x1B31_506F,
    chip_id=5,
    mac=_mac_at(0x6000_8844),
    constants={0x6000_8850: 4 << 18},  # revision 0.4
    spi=(0x6000_2000, 0x20, 0x58),
    spi_address_shift=0,
    uart_divider=0x6000_0014,
    bootloader=0,
    watchdog=0x6000_8090,
)
MODELS: Final = {model.name: model for model in (ESP32, ESP32S3, ESP32C3)}


def model_named(name: str) -> Model:
    """Raises UnknownChip."""
    try:
        return MODELS[name]
    except KeyError:
        raise UnknownChip(f"no chip {name}; there are {', '.join(MODELS)}") from None


@dataclass
class Registers:
    """A chip's memory as READ_REG and WRITE_REG see it."""

    model: Model
    mac: bytes
    flash_bytes: int
    baud: int = ROM_BAUD
    must_reset: bool = False
    _words: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._words = {
            MAGIC_ADDRESS: self.model.magic,
            **self.model.constants,
            **self.model.mac(self.mac),
        }

    def read(self, address: int) -> int:
        if address == self.model.uart_divider:
            return CRYSTAL_HZ // self.baud
        return self._words.get(address, 0)

    def write(self, address: int, value: int, mask: int = _WORD) -> None:
        value = (self._words.get(address, 0) & ~mask | value & mask) & _WORD
        if address == self.model.spi[0]:
            if value & _USER_COMMAND:
                self._talk_to_flash()
            return
        if address == self.model.watchdog and value & _WATCHDOG_ON:
            self.must_reset = True
        if len(self._words) < 4096:
            self._words[address] = value

    def _talk_to_flash(self) -> None:
        """One command of the SPI controller; what the flash answers stands in W0."""
        base, command_at, data_at = self.model.spi
        command = self.read(base + command_at) & 0xFF
        answer = 0
        if command == _READ_ID:
            answer = _MAKER_AND_TYPE | (self.flash_bytes.bit_length() - 1) << 16
        elif command == _READ_SFDP and self.read(base + 4) >> self.model.spi_address_shift == 0:
            answer = _SFDP_SIGNATURE
        self._words[base + data_at] = answer

"""What each security level burns into each chip, and what can never be undone.

The operations are those of ESP-IDF's programming guide, "Security Features Enablement Workflows":
"Enable Flash Encryption Externally" (3 to 5, and 8), "Enable Secure Boot v2 Externally" (3 to 5)
and "Enable NVS Encryption Externally". Left out is SECURE_BOOT_AGGRESSIVE_REVOKE: with one key, one
signature that fails would revoke it, and the unit would never start again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SECURE_BOOT: Final = "secure-boot"
FLASH_ENCRYPTION: Final = "flash-encryption"
NVS_ENCRYPTION: Final = "nvs-encryption"
CLOSE_DOWNLOAD: Final = "close-download"
LEVELS: Final = (FLASH_ENCRYPTION, NVS_ENCRYPTION, SECURE_BOOT, CLOSE_DOWNLOAD)
ESP32: Final = "esp32"
_HASH_ONLY: Final = "SECURE_BOOT_DIGEST0"


@dataclass(frozen=True)
class Key:
    """32 bytes into a key block. `blocks`: where they may go, in order of preference.

    `purpose`: "" on an ESP32, whose blocks each have one purpose. `secret`: nobody can read it.
    """

    file: str
    blocks: tuple[str, ...]
    purpose: str
    secret: bool


@dataclass(frozen=True)
class Flags:
    """Fields that get their bits set."""

    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Protect:
    """A field, and those that share its bit, that can be written no more."""

    field: str


Operation = Key | Flags | Protect


@dataclass(frozen=True)
class Level:
    """One level for one chip. `forever`: what can never be undone, a sentence each."""

    name: str
    chip: str
    operations: tuple[Operation, ...]
    forever: tuple[str, ...]


def level_of(name: str, chip: str, hmac_block: int | None = None) -> Level:
    """`hmac_block`: 0 to 5, for NVS encryption by the HMAC peripheral, which an ESP32 has not."""
    if name == NVS_ENCRYPTION:
        return Level(name, chip, *_nvs_encryption(hmac_block))
    makers = {
        SECURE_BOOT: _secure_boot,
        FLASH_ENCRYPTION: _flash_encryption,
        CLOSE_DOWNLOAD: _close_download,
    }
    operations, forever = makers[name](chip)
    return Level(name, chip, tuple(operations), forever)


def _key_blocks(numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"BLOCK_KEY{number}" for number in numbers)


def _secure_boot(chip: str) -> tuple[list[Operation], tuple[str, ...]]:
    forever = (
        "The chip starts no bootloader, and the bootloader no MicroPython, that is not signed with "
        "this key. Who loses the key can never update MicroPython on this unit again.",
        "JTAG is off.",
        "RD_DIS is write-protected, so that no key can be hidden from software any more: "
        "flash-encryption and nvs-encryption by HMAC can never follow. They come first.",
    )
    if chip == ESP32:
        return [
            Key("secure-boot-digest.bin", ("BLOCK2",), "", secret=False),
            Flags((("ABS_DONE_1", 1), ("JTAG_DISABLE", 1))),
            Protect("RD_DIS"),
        ], forever
    return [
        Key("secure-boot-digest.bin", _key_blocks(range(5, -1, -1)), _HASH_ONLY, secret=False),
        Flags(
            (
                ("SECURE_BOOT_EN", 1),
                ("DIS_DIRECT_BOOT", 1),
                ("DIS_PAD_JTAG", 1),
                ("DIS_USB_JTAG", 1),
                ("SOFT_DIS_JTAG", 7),
                ("SECURE_BOOT_KEY_REVOKE1", 1),
                ("SECURE_BOOT_KEY_REVOKE2", 1),
            )
        ),
        Protect("RD_DIS"),
    ], (*forever, "The two other slots for keys are revoked: no second key can be added.")


def _flash_encryption(chip: str) -> tuple[list[Operation], tuple[str, ...]]:
    forever = (
        "Bootloader, partition table, MicroPython, and every partition that is marked `encrypted` "
        "are read through this key alone: what lies there unencrypted is rubbish to the chip.",
        "All bits of the counter are set: encryption can never be turned off, not even once.",
        "The key cannot be read, not by us either. Once its file is deleted, nobody can write an "
        "image for this unit over the serial line; only the terminal itself can.",
        "JTAG is off, and the ROM loader neither encrypts nor decrypts.",
    )
    if chip == ESP32:
        return [
            Key("flash-encryption-{mac}.bin", ("BLOCK1",), "", secret=True),
            Flags(
                (
                    ("FLASH_CRYPT_CNT", 127),
                    ("FLASH_CRYPT_CONFIG", 0xF),
                    ("DISABLE_DL_ENCRYPT", 1),
                    ("DISABLE_DL_DECRYPT", 1),
                    ("DISABLE_DL_CACHE", 1),
                    ("JTAG_DISABLE", 1),
                )
            ),
            Protect("DIS_CACHE"),
        ], forever
    data_cache = (("DIS_DOWNLOAD_DCACHE", 1),) if chip == "esp32s3" else ()
    # ESP-IDF: BLOCK_KEY5 can hold no key of XTS_AES on some chips.
    return [
        Key("flash-encryption-{mac}.bin", _key_blocks(range(5)), "XTS_AES_128_KEY", secret=True),
        Flags(
            (
                ("SPI_BOOT_CRYPT_CNT", 7),
                ("DIS_DOWNLOAD_ICACHE", 1),
                *data_cache,
                ("DIS_DOWNLOAD_MANUAL_ENCRYPT", 1),
                ("DIS_DIRECT_BOOT", 1),
                ("DIS_PAD_JTAG", 1),
                ("DIS_USB_JTAG", 1),
            )
        ),
        Protect("DIS_ICACHE"),
    ], forever


def _nvs_encryption(hmac_block: int | None) -> tuple[tuple[Operation, ...], tuple[str, ...]]:
    if hmac_block is None:
        return (), (
            "Nothing is burned: the keys of NVS lie in the partition nvs_keys, which flash "
            "encryption hides. An image that does not know of it cannot read what NVS holds.",
        )
    return (Key("nvs-hmac-{mac}.bin", _key_blocks([hmac_block]), "HMAC_UP", secret=True),), (
        "The key from which that of NVS is made cannot be read or changed, and takes one of the "
        "six key blocks.",
    )


def _close_download(chip: str) -> tuple[list[Operation], tuple[str, ...]]:
    if chip == ESP32:
        return [Flags((("UART_DOWNLOAD_DIS", 1),))], (
            "The ROM loader never answers again: no esptool, no espefuse, no repair over the "
            "serial line, and no other level after this one.",
        )
    return [Flags((("ENABLE_SECURITY_DOWNLOAD", 1),))], (
        "The ROM loader writes flash and no more: it reads none, runs no program that it is sent, "
        "and espefuse burns nothing any more, so that no other level can follow.",
    )

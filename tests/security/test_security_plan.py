"""`ks security plan`, and what is refused before anything is burned."""

from __future__ import annotations

from pathlib import Path

import pytest

from ks_tools.board_file import find_board
from ks_tools.cli import run
from ks_tools.image_micropython import read_image
from ks_tools.security_signature import BLOCK_BYTES, signature_of
from tests.security.security_support import BOARDS, MAC, Signed, signed, tool, write_folder
from tests.tools import chip_image

LEVELS = ("flash-encryption", "nvs-encryption", "secure-boot", "close-download")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return signed(tmp_path_factory.mktemp("signed"))


@pytest.mark.parametrize("chip", BOARDS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_stock_image_is_refused_with_the_reason(
    chip: str, level: str, tmp_path: Path, own: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "image", chip, own.image, own=False)
    assert run(["security", "plan", level, "--image", str(folder)]) == 1
    said = capsys.readouterr()
    assert "stock MicroPython" in said.err and "Nothing is burned" in said.err
    assert "espefuse" not in said.out
    virtual = tmp_path / "efuses.bin"
    told = ["--image", str(folder), "--virt", str(virtual), "--burn", "--confirm", f"{level}:{MAC}"]
    assert run(["security", "apply", level, *told]) == 1
    assert not virtual.exists()


EXPECTED = {
    ("esp32", "flash-encryption"): [
        "burn-key flash_encryption keys/flash-encryption-MAC.bin",
        "burn-efuse FLASH_CRYPT_CNT 127 FLASH_CRYPT_CONFIG 15 DISABLE_DL_ENCRYPT 1 "
        "DISABLE_DL_DECRYPT 1 DISABLE_DL_CACHE 1 JTAG_DISABLE 1",
        "write-protect-efuse DIS_CACHE",
    ],
    ("esp32s3", "flash-encryption"): [
        "burn-key BLOCK_KEY0 keys/flash-encryption-MAC.bin XTS_AES_128_KEY",
        "burn-efuse SPI_BOOT_CRYPT_CNT 7 DIS_DOWNLOAD_ICACHE 1 DIS_DOWNLOAD_DCACHE 1 "
        "DIS_DOWNLOAD_MANUAL_ENCRYPT 1 DIS_DIRECT_BOOT 1 DIS_PAD_JTAG 1 DIS_USB_JTAG 1",
        "write-protect-efuse DIS_ICACHE",
    ],
    ("esp32c3", "flash-encryption"): [
        "burn-key BLOCK_KEY0 keys/flash-encryption-MAC.bin XTS_AES_128_KEY",
        "burn-efuse SPI_BOOT_CRYPT_CNT 7 DIS_DOWNLOAD_ICACHE 1 "
        "DIS_DOWNLOAD_MANUAL_ENCRYPT 1 DIS_DIRECT_BOOT 1 DIS_PAD_JTAG 1 DIS_USB_JTAG 1",
        "write-protect-efuse DIS_ICACHE",
    ],
    ("esp32", "secure-boot"): [
        "burn-key secure_boot_v2 keys/secure-boot-digest.bin",
        "burn-efuse ABS_DONE_1 1 JTAG_DISABLE 1",
        "write-protect-efuse RD_DIS",
    ],
    **{
        (chip, "secure-boot"): [
            "burn-key BLOCK_KEY5 keys/secure-boot-digest.bin SECURE_BOOT_DIGEST0",
            "burn-efuse SECURE_BOOT_EN 1 DIS_DIRECT_BOOT 1 DIS_PAD_JTAG 1 DIS_USB_JTAG 1 "
            "SOFT_DIS_JTAG 7 SECURE_BOOT_KEY_REVOKE1 1 SECURE_BOOT_KEY_REVOKE2 1",
            "write-protect-efuse RD_DIS",
        ]
        for chip in ("esp32s3", "esp32c3")
    },
    **{(chip, "nvs-encryption"): [] for chip in BOARDS},
    ("esp32", "close-download"): ["burn-efuse UART_DOWNLOAD_DIS 1"],
    ("esp32s3", "close-download"): ["burn-efuse ENABLE_SECURITY_DOWNLOAD 1"],
    ("esp32c3", "close-download"): ["burn-efuse ENABLE_SECURITY_DOWNLOAD 1"],
}


@pytest.mark.parametrize("chip", BOARDS)
def test_a_plan_lists_the_commands_of_each_level_and_what_is_for_ever(
    chip: str, tmp_path: Path, own: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "image", chip, own.image)
    for level in LEVELS:
        assert run(["security", "plan", level, "--image", str(folder)]) == 0
        said = capsys.readouterr().out
        begin = f"  espefuse --chip {chip} --port PORT "
        listed = [line[len(begin) :] for line in said.splitlines() if line.startswith(begin)]
        assert listed == EXPECTED[chip, level]
        assert "What can never be undone:\n  " in said
        assert said.endswith("nothing was burned\n")


@pytest.mark.parametrize("chip", ["esp32s3", "esp32c3"])
def test_nvs_encryption_by_hmac_needs_no_partition_but_the_block_it_was_built_for(
    chip: str, tmp_path: Path, own: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "image", chip, own.image, with_keys=False)
    plan = ["security", "plan", "nvs-encryption", "--image", str(folder)]
    assert run([*plan, "--hmac-block", "3"]) == 0
    assert "burn-key BLOCK_KEY3 keys/nvs-hmac-MAC.bin HMAC_UP" in capsys.readouterr().out
    assert run(plan) == 1
    assert "nvs_keys" in capsys.readouterr().err


def test_an_esp32_has_no_hmac(
    tmp_path: Path, own: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "image", "esp32", own.image)
    plan = ["security", "plan", "nvs-encryption", "--image", str(folder), "--hmac-block", "3"]
    assert run(plan) == 1
    assert "--hmac-block" in capsys.readouterr().err


def test_flash_encryption_says_what_it_leaves_readable_and_how_the_rest_is_encrypted(
    tmp_path: Path, own: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "image", "esp32s3", own.image)
    assert run(["security", "plan", "flash-encryption", "--image", str(folder)]) == 0
    said = capsys.readouterr().out
    plain = next(line for line in said.splitlines() if line.startswith("NOT encrypted"))
    assert " vfs" in plain and " data" in plain and "nvs_keys" not in plain
    key = tmp_path / "key.bin"
    key.write_bytes(bytes(range(32)))
    listed = [line.split() for line in said.splitlines() if line.startswith("  espsecure ")]
    assert [Path(words[-1]).name for words in listed] == [
        "bootloader.bin",
        "partition-table.bin",
        "micropython.bin",
    ]
    words = [
        str(key) if word == "keys/flash-encryption-MAC.bin" else word for word in listed[1][1:]
    ]
    tool("espsecure", *words)
    assert (folder / "partition-table.encrypted").read_bytes()[:2] != b"\xaa\x50"


def _cut(image: bytes) -> bytes:
    return image[:-4096]


def _changed(image: bytes) -> bytes:
    return b"\0" + image[1:]


def _torn(image: bytes) -> bytes:
    start = len(image) - 4096
    return image[: start + 100] + b"\0\0" + image[start + 102 :]


def _shifted(image: bytes) -> bytes:
    return image + bytes(BLOCK_BYTES)


@pytest.mark.parametrize("damage", [_cut, _changed, _torn, _shifted])
def test_secure_boot_is_refused_for_an_image_that_is_not_signed(
    damage: object, tmp_path: Path, own: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(damage)
    folder = write_folder(tmp_path / "image", "esp32s3", damage(own.image))
    assert run(["security", "plan", "secure-boot", "--image", str(folder)]) == 1
    assert "no signature block" in capsys.readouterr().err


def test_an_unknown_level_is_named_with_the_known_ones(
    tmp_path: Path, own: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "image", "esp32", own.image)
    assert run(["security", "plan", "all", "--image", str(folder)]) == 1
    assert "flash-encryption" in capsys.readouterr().err


def test_a_signed_download_keeps_its_signatures_in_the_image_folder(
    tmp_path: Path, own: Signed
) -> None:
    stock = chip_image.micropython("esp32", "1.25.0")
    app = tmp_path / "app.bin"
    app.write_bytes(stock[0x10000 - 0x1000 :])
    app.write_bytes(app.read_bytes().ljust(-(-len(app.read_bytes()) // 4096) * 4096, b"\xff"))
    out = tmp_path / "app-signed.bin"
    tool(
        "espsecure", "sign-data", "--version", "2", "--keyfile", str(own.key),
        "--output", str(out), str(app),
    )  # fmt: skip
    whole = tmp_path / "micropython.bin"
    start = own.image.ljust(0x10000 - 0x1000, b"\xff")
    whole.write_bytes(start + out.read_bytes() + b"\xff" * 64)
    found = read_image(whole, find_board("esp32_generic"))
    assert found.bootloader == own.image
    assert found.application == out.read_bytes()
    assert signature_of(found.application) is not None

"""`ks security apply` against `espefuse --virt`, which plays the eFuses of all three chips.

No chip has been burned by these tests, or by anybody: what is shown is that espefuse takes the
operations, that they are what was wanted, and that nothing is burned twice.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ks_tools.cli import run
from ks_tools.security_fuses import Fuses, Target
from tests.security.security_support import (
    BOARDS,
    MAC,
    Signed,
    espefuse,
    new_chip,
    signed,
    write_folder,
)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return signed(tmp_path_factory.mktemp("signed"))


class Unit:
    """A virtual chip, an image for it and a folder for keys."""

    def __init__(self, chip: str, folder: Path, own: Signed) -> None:
        self.chip = chip
        self.folder = folder
        self.efuses = new_chip(chip, folder / "efuses.bin")
        self.image = write_folder(folder / "image", chip, own.image)
        self.keys = folder / "keys"
        self.public_key = own.key

    def apply(self, level: str, *options: str) -> int:
        known = ["--image", str(self.image), "--keys", str(self.keys), "--virt", str(self.efuses)]
        if level == "secure-boot":
            known += ["--public-key", str(self.public_key)]
        return run(["security", "apply", level, *known, *options])

    def burn(self, level: str, *options: str) -> int:
        return self.apply(level, *options, "--burn", "--confirm", f"{level}:{MAC}")

    def read(self) -> Fuses:
        return Target(self.chip, virtual=self.efuses).read()


@pytest.mark.parametrize("chip", BOARDS)
def test_all_levels_are_burned_in_order_read_back_and_not_burned_again(
    chip: str, tmp_path: Path, own: Signed, capsys: Capture
) -> None:
    unit = Unit(chip, tmp_path, own)
    hmac = [] if chip == "esp32" else ["--hmac-block", "1"]
    assert unit.burn("flash-encryption") == 0
    assert unit.burn("nvs-encryption", *hmac) == 0
    assert unit.burn("secure-boot") == 0
    said = capsys.readouterr().out
    assert said.count("read back, it is what was wanted") == (2 if chip == "esp32" else 3)

    fuses = unit.read()
    flash_key, digest_block = ("BLOCK1", "BLOCK2") if chip == "esp32" else (
        "BLOCK_KEY0", "BLOCK_KEY5")  # fmt: skip
    assert not fuses.can_read(flash_key) and not fuses.can_write(flash_key)
    digest = (unit.keys / "secure-boot-digest.bin").read_bytes()
    assert fuses.content(digest_block) == digest and not fuses.can_write(digest_block)
    on = ("ABS_DONE_1", "FLASH_CRYPT_CNT") if chip == "esp32" else (
        "SECURE_BOOT_EN", "SPI_BOOT_CRYPT_CNT")  # fmt: skip
    assert all(fuses.number(name) for name in on)
    if hmac:
        assert fuses.fields["KEY_PURPOSE_1"]["value"] == "HMAC_UP"
        assert not fuses.can_read("BLOCK_KEY1")

    for path in unit.keys.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        if "digest" not in path.name:
            key = path.read_bytes()
            shown = (key.hex(), key.hex(" "), key[::-1].hex(" "))
            assert not any(text in said for text in shown)

    before = unit.efuses.read_bytes()
    for level in ("flash-encryption", "secure-boot") if chip == "esp32" else ("flash-encryption",):
        assert unit.burn(level) == 0
        assert "already" in capsys.readouterr().out
    assert unit.efuses.read_bytes() == before
    assert unit.burn("close-download") == 0


def test_nothing_is_burned_without_the_words_that_name_level_and_unit(
    tmp_path: Path, own: Signed, capsys: Capture
) -> None:
    unit = Unit("esp32s3", tmp_path, own)
    unit.read()
    before = unit.efuses.read_bytes()
    assert unit.apply("flash-encryption") == 0
    said = capsys.readouterr().out
    assert "burn-key BLOCK_KEY0" in said and said.endswith("nothing was burned\n")
    for words in (f"secure-boot:{MAC}", "flash-encryption:00:00:00:00:00:01"):
        assert unit.apply("flash-encryption", "--burn", "--confirm", words) == 1
        assert f"--confirm flash-encryption:{MAC}" in capsys.readouterr().err
    assert unit.efuses.read_bytes() == before
    assert not unit.keys.exists()


def test_what_an_interrupted_run_has_burned_is_not_burned_again(
    tmp_path: Path, own: Signed, capsys: Capture
) -> None:
    unit = Unit("esp32s3", tmp_path, own)
    espefuse("esp32s3", unit.efuses, "burn-efuse", "SPI_BOOT_CRYPT_CNT", "7", "DIS_PAD_JTAG", "1")
    assert unit.burn("flash-encryption") == 0
    said = capsys.readouterr().out
    assert "SPI_BOOT_CRYPT_CNT" not in said and "DIS_PAD_JTAG" not in said
    assert "DIS_USB_JTAG 1" in said


def test_flash_encryption_is_refused_after_secure_boot(
    tmp_path: Path, own: Signed, capsys: Capture
) -> None:
    unit = Unit("esp32s3", tmp_path, own)
    assert unit.burn("secure-boot") == 0
    capsys.readouterr()
    assert unit.burn("flash-encryption") == 1
    assert "too late" in capsys.readouterr().err


def test_nvs_encryption_is_refused_while_its_keys_would_lie_readable(
    tmp_path: Path, own: Signed, capsys: Capture
) -> None:
    unit = Unit("esp32s3", tmp_path, own)
    assert unit.burn("nvs-encryption") == 1
    assert "flash-encryption comes first" in capsys.readouterr().err


@pytest.mark.parametrize("chip", ["esp32", "esp32c3"])
def test_an_old_chip_is_refused(chip: str, tmp_path: Path, own: Signed, capsys: Capture) -> None:
    unit = Unit(chip, tmp_path, own)
    unit.efuses.unlink()
    assert unit.burn("close-download") == 1
    assert "revision 0.0" in capsys.readouterr().err


def test_an_image_signed_with_another_key_is_refused(
    tmp_path: Path, own: Signed, capsys: Capture
) -> None:
    unit = Unit("esp32s3", tmp_path, own)
    (tmp_path / "other").mkdir()
    unit.public_key = signed(tmp_path / "other").key
    assert unit.burn("secure-boot") == 1
    assert "another key" in capsys.readouterr().err


def test_what_reads_back_otherwise_is_told(
    tmp_path: Path, own: Signed, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = Unit("esp32s3", tmp_path, own)
    monkeypatch.setattr(Target, "burn", lambda *_: None)
    assert unit.burn("flash-encryption") == 1
    assert "keep this unit apart" in capsys.readouterr().err


def test_a_unit_has_to_be_named(tmp_path: Path, own: Signed, capsys: Capture) -> None:
    folder = write_folder(tmp_path / "image", "esp32", own.image)
    assert run(["security", "apply", "flash-encryption", "--image", str(folder)]) == 1
    assert "--port" in capsys.readouterr().err


def test_the_facts_of_an_image_that_was_changed_are_not_believed(
    tmp_path: Path, own: Signed, capsys: Capture
) -> None:
    folder = write_folder(tmp_path / "image", "esp32", own.image)
    facts = json.loads((folder / "image.json").read_text("utf-8"))
    assert facts["own_micropython"] is True
    (folder / "bootloader.bin").write_bytes(b"another")
    assert run(["security", "plan", "secure-boot", "--image", str(folder)]) == 1
    assert "changed after" in capsys.readouterr().err

"""Every command of docs/security.md runs as it stands there, on a virtual chip."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ks_simulator import vfs_image
from ks_tools import image_build, image_release
from ks_tools.cli import run
from tests.security.security_support import MAC, signed
from tools.micropython import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


class _Release:
    """Nothing of it bears on what is burned."""

    manifest_hash = "-"

    @staticmethod
    def token(name: str) -> str:
        return name


def test_every_command_of_the_page_runs_in_the_order_that_it_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(image_release, "made_release", lambda *_: _Release)
    monkeypatch.setattr(
        image_build, "_vfs", lambda order: vfs_image.make({"boot.py": b""}, 64 * 4096)
    )
    monkeypatch.setattr(image_build, "_sizes", lambda order: {})
    image = signed(tmp_path, "esp32s3").image
    (tmp_path / "micropython.bin").write_bytes(image.ljust(0x10000, b"\xff") + image)
    for line in COMMANDS:
        virtual = line.replace("--port PORT", "--virt efuses.bin").replace(":MAC", f":{MAC}")
        words = shlex.split(virtual)
        assert words.pop(0) == "ks", line
        assert run(words) == 0, line
        said = capsys.readouterr().out
        assert ("read back" in said) == ("--burn" in words), line
        if words[0] == "image":
            for name in ("bootloader", "micropython"):
                assert (tmp_path / "image" / f"{name}.bin").read_bytes() == image, name
            merged = (tmp_path / "image" / "factory.bin").read_bytes()
            assert merged[: len(image)] == image and merged[0x10000:][: len(image)] == image


def test_the_page_names_every_level() -> None:
    for level in ("flash-encryption", "nvs-encryption", "secure-boot", "close-download"):
        assert any(f"security apply {level} " in line for line in COMMANDS)

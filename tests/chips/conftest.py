"""Architectures of chips: the ESP32's and the ESP32-S3's, the ESP32-C3's, and ARMv7-M."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["xtensawin", "rv32imc", "armv7emsp"])
def architecture(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name != "xtensawin":
        pytest.importorskip("unicorn")
    return name

"""No test touches the figures that were measured last."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as program


@pytest.fixture(autouse=True)
def _latest_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "LATEST", tmp_path / "latest-of-this-test.json")

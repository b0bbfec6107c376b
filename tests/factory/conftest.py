"""For all tests of the factory line."""

import pytest

from ks_tools.factory import feature_tests


@pytest.fixture(autouse=True)
def no_waiting_for_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units in memory have seen at once what is shown to them."""
    monkeypatch.setattr(feature_tests, "SETTLE_S", 0)

"""The power goes at every flash operation while the allow list changes, on the real LittleFS."""

from typing import Any

import cut_allow_lists
import cut_planted_lists
import pytest

from tests.power.sweep import CutFailed
from tests.power.worlds import sweep, sweep_recoveries


def test_a_power_cut_leaves_the_old_list_or_the_new_one_in_force() -> None:
    assert sweep(cut_allow_lists.Changes()) > 100


def test_a_power_cut_in_the_recovery_does_so_too() -> None:
    assert sweep_recoveries(cut_allow_lists.Changes(), 1, 23, 5) > 20


@pytest.mark.parametrize("mistake", cut_planted_lists.REFRESHES, ids=lambda made: made.__name__)
def test_a_planted_mistake_is_caught(mistake: Any) -> None:
    with pytest.raises(CutFailed):
        sweep(cut_allow_lists.Changes(mistake))

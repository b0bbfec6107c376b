"""The power goes at every flash operation, torn ones too, on the real LittleFS on a NOR flash."""

from typing import Any

import cut_journals
import cut_planted
import cut_records
import pytest

from tests.power.worlds import sweep, sweep_recoveries

SCENARIOS = cut_records.SCENARIOS + cut_journals.SCENARIOS
# Journals take longer: each so many-th cut of theirs.
EVERY_IN_JOURNALS = 4
# Each so many-th recovery is cut as well, at each so many-th place.
EVERY = 131
EVERY_SECOND = 7


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_power_cut_at_any_flash_operation_loses_nothing_that_was_promised(scenario: Any) -> None:
    every = EVERY_IN_JOURNALS if scenario in cut_journals.SCENARIOS else 1
    assert sweep(scenario(), 0, every) > 2


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_power_cut_in_the_recovery_of_a_power_cut_loses_nothing_either(scenario: Any) -> None:
    assert sweep_recoveries(scenario(), 1, EVERY, EVERY_SECOND) > 0


@pytest.mark.parametrize(
    ("mistake", "scenarios"),
    cut_planted.JOURNALS + cut_planted.STORES,
    ids=lambda what: getattr(what, "__name__", ""),
)
def test_a_planted_mistake_is_caught(mistake: Any, scenarios: Any) -> None:
    for scenario in scenarios:
        with pytest.raises(AssertionError):
            sweep(scenario(mistake))

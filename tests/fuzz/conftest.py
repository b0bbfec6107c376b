"""Examples for hypothesis: few enough for every run, the same ones each time in CI."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture)

settings.register_profile(
    "fuzz", deadline=None, derandomize="CI" in os.environ, suppress_health_check=SLOW
)

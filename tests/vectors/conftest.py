"""Asks every engine in the background, two processes at a time, while the tests wait for them."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.vectors.engines import TARGETS, Run, Target, ask

PROCESSES = 2
DURATIONS = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def run_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Target], Run]]:
    """Gives the run of a target; all that the selected tests need are started at once."""
    wanted = {
        item.callspec.params.get("target")
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    }
    with ThreadPoolExecutor(PROCESSES) as pool:
        runs: dict[Target, Future[Run]] = {}
        for target in reversed(TARGETS):
            if target in wanted and not target.missing():
                folder = tmp_path_factory.mktemp(str(target))
                runs[target] = pool.submit(ask, target, folder)

        def wait(target: Target) -> Run:
            if reason := target.missing():
                pytest.skip(reason)
            run = runs[target].result()
            request.config.stash.setdefault(DURATIONS, {})[str(target)] = run.duration_s
            return run

        yield wait


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with how long each engine took for its questions."""
    if durations := terminalreporter.config.stash.get(DURATIONS, {}):
        took = ", ".join(f"{name} {duration:.0f} s" for name, duration in durations.items())
        terminalreporter.write_line(f"vectors: {took}")

"""Fixtures of the whole suite, and the account of what did not run and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder with real data beside the repository; the test is skipped, and says so, without it."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("real data not run: there is no ../shared/data beside the repository")
    return folder


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in ("slurm", "gpu", "weights", "browser", "slow"):
            if item.get_closest_marker(marker):
                _left_out[marker] += 1


_left_out: Counter[str] = Counter()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests of each marker did not run; skips with their reasons are pytest's own summary."""
    for marker, count in sorted(_left_out.items()):
        terminalreporter.write_line(
            f"not run: {count} tests marked {marker} (run them with `-m {marker}`)"
        )

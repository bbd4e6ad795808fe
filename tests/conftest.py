"""Fixtures of the whole suite, and the account of what did not run and why."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is loaded: each of several workers with a thread for every core would take turns on them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

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


MARKERS = ("slurm", "gpu", "weights", "browser", "slow")

_left_out: Counter[str] = Counter()
_marked: dict[str, set[str]] = {}
"""The selected tests of each marker."""
_ran: set[str] = set()
"""Tests whose body was run to its end, passed or not."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--must-run",
        action="append",
        choices=MARKERS,
        default=[],
        help="fail when all tests of this marker were skipped: for a machine that can run them (.ci/run)",
    )


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        _left_out.update(marker for marker in MARKERS if item.get_closest_marker(marker))


def pytest_collection_finish(session: pytest.Session) -> None:
    for marker in MARKERS:
        _marked[marker] = {item.nodeid for item in session.items if item.get_closest_marker(marker)}


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    worker_says = getattr(session.config, "workeroutput", None)
    if worker_says is not None:  # of pytest-xdist; only its controller sees all reports
        worker_says["left_out"] = dict(_left_out)
        worker_says["marked"] = {marker: sorted(tests) for marker, tests in _marked.items()}
        return
    passed = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    # Skipped everywhere means tested nowhere, and that must not look like success.
    if passed and not session.config.option.collectonly and never_run(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """With pytest-xdist the workers collect, each of them everything, and the controller nothing."""
    said = getattr(node, "workeroutput", {})  # none of a worker that crashed
    _left_out.update({k: n for k, n in said.get("left_out", {}).items() if k not in _left_out})
    _marked.update({marker: set(tests) for marker, tests in said.get("marked", {}).items()})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and not report.skipped:
        _ran.add(report.nodeid)


def never_run(config: pytest.Config) -> list[str]:
    """Markers that had to run and of which no test did."""
    asked: list[str] = config.getoption("--must-run")
    return [marker for marker in asked if not _marked.get(marker, set()) & _ran]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """How many tests of each marker did not run; skips with their reasons are pytest's own summary."""
    for marker, count in sorted(_left_out.items()):
        terminalreporter.write_line(
            f"not run: {count} tests marked {marker} (run them with `-m {marker}`)"
        )
    for marker in never_run(config):
        count = len(_marked.get(marker, ()))
        what = f"every test marked {marker} was skipped ({count})"
        if not count:
            what = f"no test marked {marker} was selected"
        terminalreporter.write_line(f"FAILED --must-run {marker}: {what}", red=True)

"""What every test of a marker skips is tested nowhere: .ci/run fails, a plain pytest only says so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

@pytest.mark.browser
def test_one():
    pytest.skip("no Chromium")

@pytest.mark.browser
def test_two():
    {two}

@pytest.mark.slow
def test_three():
    pass

@pytest.fixture
def weights():
    pytest.skip("no weights")

@pytest.mark.weights
def test_four(weights):
    pass
"""


@pytest.fixture
def suite(root: Path, tmp_path: Path) -> Path:
    """A project whose tests have the conftest of this one."""
    (tmp_path / "tests").mkdir()
    shutil.copy(root / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copy(root / "pyproject.toml", tmp_path)
    return tmp_path


def run(suite: Path, *arguments: str, two: str = "pytest.skip('no Chromium')") -> tuple[int, str]:
    (suite / "tests" / "test_all.py").write_text(SUITE.format(two=two))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=suite, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("workers", [0, 2])
def test_a_marker_that_was_skipped_throughout_fails_only_where_it_must_run(
    suite: Path, workers: int
) -> None:
    chosen = (f"-n{workers}", "-m", "browser or slow or weights")
    assert run(suite, *chosen)[0] == 0
    code, said = run(suite, *chosen, "--must-run=slow", "--must-run=browser", "--must-run=weights")
    assert code == 1
    failed = [line for line in said.splitlines() if line.startswith("FAILED")]
    assert failed == [
        "FAILED --must-run browser: every test marked browser was skipped (2)",
        "FAILED --must-run weights: every test marked weights was skipped (1)",
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_one_test_that_ran_is_enough_and_a_failure_stays_one(suite: Path, workers: int) -> None:
    chosen = (f"-n{workers}", "-m", "browser", "--must-run=browser")
    code, said = run(suite, *chosen, two="assert True")
    assert code == 0
    lines = said.splitlines()
    assert [line for line in lines if line.startswith("not run: ")] == [
        "not run: 1 tests marked slow (run them with `-m slow`)",
        "not run: 1 tests marked weights (run them with `-m weights`)",
    ]
    assert "1 passed, 1 skipped" in lines[-1]
    code, said = run(suite, *chosen, two="assert False")
    assert code == 1
    assert "--must-run" not in said


def test_a_marker_without_a_test_fails_too(suite: Path) -> None:
    code, said = run(suite, "-m", "gpu", "--must-run=gpu")
    assert code == 1
    assert "FAILED --must-run gpu: no test marked gpu was selected" in said


def test_looking_at_what_there_is_fails_nothing(suite: Path) -> None:
    assert run(suite, "-m", "browser", "--must-run=browser", "--collect-only")[0] == 0


def test_ci_asks_for_what_it_found_able_to_run(root: Path, tmp_path: Path) -> None:
    """.ci/run with every program replaced by one that notes how it was called."""
    calls = tmp_path / "calls"
    (tmp_path / ".ci").mkdir()
    shutil.copy(root / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "workflow" / "schemas").mkdir(parents=True)
    (tmp_path / "workflow" / "schemas" / "config.schema.json").touch()
    for name in ("make", "nvidia-smi", "chromium", "id"):
        program(tmp_path / "programs" / name, "echo 1000" if name == "id" else "exit 0")
    for name in ("ruff", "mypy", "lint-imports", "snakefmt", "snakemake", "msgbench"):
        program(tmp_path / ".venv" / "bin" / name, "exit 0")
    program(tmp_path / ".venv" / "bin" / "python", f'printf "%s\\n" "$*" >> {calls}')
    path = f"{tmp_path / 'programs'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(tmp_path / ".ci" / "run")],
        env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (call,) = calls.read_text().splitlines()
    assert call == (
        "-m pytest -m (slow or browser or gpu) and not slurm --must-run=slow --must-run=browser --must-run=gpu"
    )
    slurm = re.search(r"pytest -m slurm (\S+)", (root / ".ci" / "run").read_text())
    assert slurm is not None
    assert slurm[1] == "--must-run=slurm"


def program(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)

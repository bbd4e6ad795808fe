"""What a newcomer types first: the messages of make, and that CI runs what it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make not run: not installed")

OLD_PYTHON = """#!/bin/sh
case "$1" in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac
"""


@pytest.fixture
def empty(root: Path, tmp_path: Path) -> Path:
    """A checkout without .venv, in a folder whose name has a space."""
    folder = tmp_path / "a clone"
    (folder / "envs").mkdir(parents=True)
    shutil.copy(root / "Makefile", folder)
    (folder / "envs" / "constraints.txt").touch()
    (folder / "pyproject.toml").touch()
    old = tmp_path / "old python"
    old.write_text(OLD_PYTHON)
    old.chmod(0o755)
    return folder


def make(
    folder: Path, *arguments: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    # Without the settings of a make around the tests: below `make test` it would name its folders.
    outer = {"PYTHON", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    if path is not None:
        environment["PATH"] = path
    program = shutil.which("make")
    assert program is not None
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_old_python_is_named_in_one_sentence(empty: Path) -> None:
    old = empty.parent / "old python"
    done = make(empty, "smoke", f"PYTHON={old}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        f"msgbench needs Python >= 3.11, but {old} is Python 3.9.2; "
        "name another: make PYTHON=/path/to/python3.12 setup"
    )
    assert not (empty / ".venv").exists()


def test_without_any_new_enough_python_the_newest_is_named(empty: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    shutil.copy(empty.parent / "old python", programs / "python3")
    done = make(empty, "test", path=str(programs))
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "msgbench needs Python >= 3.11, and Python 3.9.2 is the newest found; "
        "name another: make PYTHON=/path/to/python3.12 setup"
    )


def test_make_alone_says_what_there_is(empty: Path) -> None:
    said = make(empty).stdout
    assert [line.split()[:2] for line in said.splitlines()][:2] == [
        ["make", "smoke"],
        ["make", "test"],
    ]


def test_ci_runs_every_check_of_make_lint(root: Path) -> None:
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (root / "Makefile").read_text(), re.MULTILINE)
    assert lint is not None
    checks = [line.strip().replace("$(BIN)/", ".venv/bin/") for line in lint[1].splitlines()]
    ci = (root / ".ci" / "run").read_text()
    assert len(checks) == 10
    for check in checks:
        assert check.removesuffix(" -") in ci

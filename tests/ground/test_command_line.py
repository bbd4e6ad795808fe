"""What every command has in common: a disk or folder that cannot be used is one sentence, and no half file is left."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words: str, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "msgbench.cli", *words, "--config", str(ROOT / "config.yaml")],
        capture_output=True, text=True, check=False, preexec_fn=before,
    )  # fmt: skip


def no_room() -> None:
    """Files of more than 64 bytes meet the answer of a disk that takes no more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


def test_a_disk_that_takes_no_more_names_the_file(tmp_path: Path) -> None:
    out = tmp_path / "cost.csv"
    done = run("cost", "--out", str(out), before=no_room)
    assert done.stderr == f"msgbench: error: {out}: File too large\n"
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("there", "Is a directory"), ("n" * 300, "File name too long"), ("file/x.csv", "Not a directory")],
)  # fmt: skip
def test_places_that_cannot_be_written_are_named(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    out = tmp_path / name
    done = run("cost", "--out", str(out))
    named = out.parent if "/" in name else out
    assert done.stderr == f"msgbench: error: {named}: {sentence}\n"
    assert done.returncode == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_plan_of_all_is_not_asked_for_one_spec() -> None:
    done = run("plan", "--show")
    assert done.stderr == (
        "msgbench: error: plan: --show, --seed and --run-dir need the name of an experiment\n"
    )
    assert (done.returncode, done.stdout) == (2, "")

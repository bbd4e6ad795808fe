"""Atomic records, locks that die with their owner, progress lines, units and seeds."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from msgbench import console
from msgbench.errors import LaunchError
from msgbench.layout import Layout, source_digest
from msgbench.locks import FolderLock, is_locked
from msgbench.records import atomic_file, read_json, write_json
from msgbench.seeding import derive_seed
from msgbench.units import format_duration, nimg_label, scales


def test_a_failed_write_leaves_the_old_record_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"value": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"value": float("nan")})
    with contextlib.suppress(RuntimeError), atomic_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert read_json(path) == {"value": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_broken_record_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(ValueError, match=r"a\.json: is not valid JSON"):
        read_json(tmp_path / "a.json")


HOLDER = """
import sys, time
from pathlib import Path
from msgbench.locks import FolderLock
with FolderLock(Path(sys.argv[1]), "train"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_names_its_owner_and_dies_with_it(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(tmp_path, "train")
        with (
            pytest.raises(
                LaunchError, match=f"train is already running \\(process {holder.pid} on"
            ),
            FolderLock(tmp_path, "train"),
        ):
            pytest.fail("two owners")
        said: list[str] = []
        os.kill(holder.pid, signal.SIGKILL)
        with FolderLock(tmp_path, "train", wait=True, say=said.append):
            assert is_locked(tmp_path, "train")
        assert not is_locked(tmp_path, "train")
    finally:
        holder.kill()
        holder.communicate()


def test_a_second_start_waits_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    with FolderLock(tmp_path, "train"):
        deadline = time.monotonic() + 1.2
        with (
            pytest.raises(LaunchError, match="stopped while waiting for train"),
            FolderLock(
                tmp_path, "train", wait=True, say=said.append,
                should_stop=lambda: time.monotonic() > deadline,
            ),
        ):  # fmt: skip
            pytest.fail("two owners")
    assert len(said) == 1
    assert "waiting for it" in said[0]


def test_progress_is_plain_lines_away_from_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.Progress("train x", 100, "img", start=20, every_seconds=0) as progress:
        for done in (40, 60, 80, 100):
            clock[0] += 2
            progress.advance_to(done, "loss 1")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("train x: 40/100 img, ")
    assert lines[0].endswith("loss 1")
    assert "ETA 0:04" in lines[1]
    assert lines[-1] == "train x: done, 100 img in 0:08 (10 img/s)"
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("longest", "shown"),
    [(None, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]), ("40", [10, 30, 70]), ("x", [10, 20])],
)
def test_lines_become_rare_where_many_tasks_share_one_terminal(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    longest: str | None,
    shown: list[int],
) -> None:
    monkeypatch.delenv("MSGBENCH_PROGRESS_SECONDS", raising=False)
    if longest is not None:
        monkeypatch.setenv("MSGBENCH_PROGRESS_SECONDS", longest)
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.Progress("x", 300, "img", live=False) as progress:
        for done in range(1, 301):
            clock[0] += 1
            progress.advance_to(done)
    lines = capsys.readouterr().err.splitlines()[:-1]
    counts = [int(line.split("/")[0].removeprefix("x: ")) for line in lines]
    assert counts[: len(shown)] == shown
    assert {later - earlier for earlier, later in itertools.pairwise(counts[3:])} == {
        40 if longest == "40" else 10
    }


@pytest.mark.parametrize("slow_start", [0.0, 5.0])
def test_after_a_third_of_a_minute_the_eta_is_within_thirty_percent(
    monkeypatch: pytest.MonkeyPatch, slow_start: float
) -> None:
    # A one-minute run of 600 units, steps of 0.1 s that vary by half; the first seconds do nothing.
    clock = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    chance = random.Random(3)
    with console.Progress("x", 600, "img", live=False) as progress:
        clock[0] += slow_start
        etas = {}
        for done in range(1, 601):
            clock[0] += 0.1 * chance.uniform(0.5, 1.5)
            progress.advance_to(done)
            etas[done] = (clock[0], progress.eta_seconds)
        end = clock[0]
    for done in range(200, 590):
        at, eta = etas[done]
        assert eta is not None
        assert abs(eta - (end - at)) <= 0.3 * (end - at) + 0.5, done


def test_the_eta_of_units_that_become_expensive_follows_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second half of the units takes nine times as long as the first."""
    clock = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])

    def work(done: float) -> float:
        return done + 8 * max(0.0, done - 50)

    with console.Progress("x", 100, "img", live=False, work=work) as progress:
        for done in range(1, 101):
            clock[0] += work(done) - work(done - 1)
            progress.advance_to(done)
            assert progress.eta_seconds == pytest.approx(work(100) - work(done), abs=1e-6)


def test_units() -> None:
    assert scales(32) == (4, 8, 16, 32)
    assert scales(1024)[-1] == 1024
    assert len(scales(1024)) == 9
    with pytest.raises(ValueError, match="not a power of two"):
        scales(48)
    assert nimg_label(12_500) == "0000012500"
    assert [format_duration(s) for s in (0.4, 75.2, 4000)] == ["0:00", "1:15", "1:06:40"]


def test_seeds_are_functions_of_their_arguments() -> None:
    # Pinned: another value would change every run of every user.
    assert derive_seed(0, 0, "latents-d") == 7989440351193105143
    assert derive_seed(3, 25_000, "mirror") == 9133787870617377751
    assert len({derive_seed(s, n, p) for s in (0, 1) for n in (0, 16) for p in ("a", "b")}) == 8
    assert 0 <= derive_seed(3, 14, "x") < 2**63


def test_a_room_s_digest_moves_with_its_sources_alone() -> None:
    assert source_digest("analysis") == source_digest("analysis")
    assert source_digest("errors.py") != source_digest("units.py")


def test_paths_of_a_tier() -> None:
    layout = Layout(Path("results"), "smoke")
    run = layout.run_dir("e", "0123456789abcdef", 3)
    assert run == Path("results/smoke/runs/e/01234567/seed3")
    assert layout.table_csv("table3") == Path("results/smoke/tables/table3.csv")
    assert layout.report_html == Path("results/smoke/report/index.html")

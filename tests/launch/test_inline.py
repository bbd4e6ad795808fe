"""The launcher `inline`: in place, one at a time, signals and exit codes passed through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from msgbench.errors import LaunchError
from msgbench.launch.submit import launch

from .conftest import Run


def test_the_exit_code_comes_through(run: Run) -> None:
    assert launch([sys.executable, "-c", "raise SystemExit(4)"], run.folder, "inline") == 4
    assert launch(run.command(total=1), run.folder, "inline") == 0
    assert run.result() == {"done": 1}


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)]
)
def test_a_signal_saves_stops_and_the_same_command_goes_on(
    run: Run, signum: signal.Signals, code: int
) -> None:
    run.hold()
    launched = run.launch("inline", run.command(total=40))
    run.wait_for_starts(1)
    launched.process.send_signal(signum)
    assert launched.end()[0] == code
    run.release()
    assert launch(run.command(total=40), run.folder, "inline") == 0
    first, second = run.starts()
    assert (first, run.result()) == (0, {"done": run.counted()})
    assert run.counted() >= 40
    assert second > 0


def test_ctrl_c_in_a_terminal_reaches_the_command_once(run: Run) -> None:
    """A terminal signals the whole foreground group; a training takes a second SIGINT as 'at once'."""
    run.hold()
    launched = run.launch("inline", run.command(total=200))
    run.wait_for_starts(1)
    os.killpg(launched.process.pid, signal.SIGINT)
    assert launched.end()[0] == 130
    assert (run.folder / "signals.txt").read_text() == "2"


def test_a_second_start_waits_for_the_first(run: Run) -> None:
    run.hold()
    first = run.launch("inline", run.command(total=20))
    run.wait_for_starts(1)
    second = run.launch("inline", run.command(total=20))
    second.wait_to_hear("launch-train is already running")
    run.release()
    code, _ = second.end()
    assert (first.end()[0], code) == (0, 0)
    assert run.never_two()


def test_a_killed_command_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert launch([sys.executable, "-c", code], run.folder, "inline") == 137
    assert "was killed (SIGKILL)" in capsys.readouterr().err


@pytest.mark.parametrize("launcher", ["slurmm", "Local", ""])
def test_an_unknown_launcher_is_refused(run: Run, launcher: str) -> None:
    with pytest.raises(LaunchError) as caught:
        launch(["true"], run.folder, launcher)
    assert (
        str(caught.value) == f"launcher: {launcher!r} is not allowed; allowed: inline, local, slurm"
    )
    assert list(run.folder.iterdir()) == []


def test_launch_does_not_import_torch() -> None:
    code = "import sys, msgbench.launch.submit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

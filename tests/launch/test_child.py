"""A child gets each signal once, is born deaf where asked, and its exit code is the shell's."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from msgbench.errors import LaunchError
from msgbench.launch.child import running, running_child


def test_exit_code_is_that_of_the_command() -> None:
    with running([sys.executable, "-c", "raise SystemExit(5)"]) as child:
        assert child.wait() == 5


def test_death_by_signal_is_128_plus_its_number() -> None:
    with running(["sleep", "60"]) as child:
        child.send(signal.SIGKILL)
        assert child.wait() == 137


def test_an_ignored_signal_stays_ignored_over_exec_and_the_others_work() -> None:
    # `sleep` sets no handlers: without the inheritance SIGUSR2 ends it.
    with running(["sleep", "60"], ignored=(signal.SIGUSR2,)) as child:
        child.send(signal.SIGUSR2)
        time.sleep(0.2)
        assert not child.has_ended()
        child.send(signal.SIGTERM)
        assert child.wait() == 143


def test_without_ignoring_the_same_signal_ends_it() -> None:
    with running(["sleep", "60"]) as child:
        child.send(signal.SIGUSR2)
        assert child.wait() == 128 + signal.SIGUSR2


def test_the_end_can_be_seen_without_waiting_and_stays_to_be_waited_for() -> None:
    with running(["true"]) as child:
        deadline = time.monotonic() + 60
        while not child.has_ended():
            assert time.monotonic() < deadline
        assert child.has_ended()
        assert child.wait() == 0
        child.send(signal.SIGTERM)  # too late, and no error


def test_handlers_and_the_running_child_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with running(["true"]) as child:
        assert running_child() is child
        assert signal.getsignal(signal.SIGTERM) is not before
        child.wait()
    assert running_child() is None
    assert signal.getsignal(signal.SIGTERM) is before


def test_variables_are_set_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGBENCH_GONE", "1")
    check = "import os, sys; sys.exit(os.environ['NEW'] != 'a b' or 'MSGBENCH_GONE' in os.environ)"
    with running(
        [sys.executable, "-c", check], environment={"NEW": "a b", "MSGBENCH_GONE": None}
    ) as child:
        assert child.wait() == 0


def test_a_command_that_does_not_exist_is_one_sentence() -> None:
    with (
        pytest.raises(LaunchError, match=r"^no-such-command: cannot be started \(No such file"),
        running(["no-such-command"]),
    ):
        pass
    assert running_child() is None


def test_a_signal_that_was_ignored_on_purpose_is_not_passed_on(tmp_path: Path) -> None:
    """`nohup` means that a closed terminal does not matter."""
    code = (
        "import os, signal, sys\n"
        "from msgbench.launch.child import running\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with running(['sleep', '0.5']) as child:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    sys.exit(child.wait())\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0

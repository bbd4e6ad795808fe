"""The errors a user can meet: one sentence each, one exit code per floor of the house.

Raise the class of the room that found the problem; the command line prints the sentence and exits
with the class's code. `assert` is for our own invariants only.
"""

from __future__ import annotations

import signal


class MsgbenchError(Exception):
    """Base of all errors that are the user's to mend; the message is one sentence.

    `told_by_another`: of processes that share a work one has said it, and that is enough.
    """

    exit_code = 1
    told_by_another = False


class ConfigError(MsgbenchError):
    """config.yaml, an override or a command-line value is wrong."""

    exit_code = 2


class DatasetError(MsgbenchError):
    """A dataset source or store is missing, truncated, corrupt or not the expected one."""

    exit_code = 3


class TrainingError(MsgbenchError):
    """A training cannot start, go on or be trusted (non-finite loss, foreign state)."""

    exit_code = 4


class SnapshotError(MsgbenchError):
    """A snapshot file is missing, truncated or not of this project."""

    exit_code = 5


class MeasurementError(MsgbenchError):
    """A score cannot be computed or would not mean what its name says."""

    exit_code = 6


class LaunchError(MsgbenchError):
    """A job cannot be submitted, attached to or waited for."""

    exit_code = 7


class ResultsError(MsgbenchError):
    """A table, figure or report cannot be made from the records that exist."""

    exit_code = 8


class StoppedBySignal(Exception):
    """A command saved its work and stopped because a signal asked for it.

    The exit code is the shell's convention: 128 + signal number (130 for SIGINT, 143 for SIGTERM).
    """

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"stopped by {signal.Signals(signum).name}")

    @property
    def exit_code(self) -> int:
        return 128 + self.signum

"""`msgbench unlock`: what to do when Snakemake says that the directory is locked."""

from __future__ import annotations

from pathlib import Path

from msgbench.console import say
from msgbench.workflow_lock import release


def unlock(folder: Path) -> None:
    """Remove the lock that a killed Snakemake left in `folder`, and say what was done.

    Raises LaunchError while a Snakemake is alive there. The jobs of the killed one may still run; they
    hold locks of their own, and the next Snakemake waits for them.
    """
    removed = release(folder)
    say(f"{folder.resolve()}: {'unlocked' if removed else 'nothing was locked'}")

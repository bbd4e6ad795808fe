"""What is going on: every run's state from its files and one look at Slurm's queue, in about a second.

Nothing here computes or waits: no torch, no pandas, and nothing is written but by `cancel`.
"""

from msgbench.status.actions import cancel, follow_log, show_log
from msgbench.status.names import find_run
from msgbench.status.overview import Overview, look
from msgbench.status.show import lines, to_json

__all__ = ["Overview", "cancel", "find_run", "follow_log", "lines", "look", "show_log", "to_json"]

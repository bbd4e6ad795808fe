"""What runs cost before they are made: hours, wall time, disk, energy and money. Nothing is timed here."""

from msgbench.analysis.cost.arithmetic import (
    evaluation_flops,
    measured_snapshots,
)
from msgbench.analysis.cost.bill import (
    Rates,
    announcement,
    bill_lines,
    plan_lines,
    require_accepted,
    to_csv,
)
from msgbench.analysis.cost.estimate import CostModel, Workload, estimate_benchmark
from msgbench.analysis.cost.measured import Measured

__all__ = [
    "CostModel",
    "Measured",
    "Rates",
    "Workload",
    "announcement",
    "bill_lines",
    "estimate_benchmark",
    "evaluation_flops",
    "measured_snapshots",
    "plan_lines",
    "require_accepted",
    "to_csv",
]

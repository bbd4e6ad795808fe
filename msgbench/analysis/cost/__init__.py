"""What runs cost before they are made: hours, wall time, disk, energy and money. Nothing is timed here."""

from msgbench.analysis.cost.arithmetic import (
    discriminator_macs,
    discriminator_parameters,
    evaluation_flops,
    generator_macs,
    generator_parameters,
    measured_snapshots,
    training_flops,
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
    "discriminator_macs",
    "discriminator_parameters",
    "estimate_benchmark",
    "evaluation_flops",
    "generator_macs",
    "generator_parameters",
    "measured_snapshots",
    "plan_lines",
    "require_accepted",
    "to_csv",
    "training_flops",
]

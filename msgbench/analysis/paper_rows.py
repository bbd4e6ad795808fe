"""Which row of the papers' tables an experiment belongs beside, found from config.yaml's tables."""

from __future__ import annotations

from dataclasses import dataclass

from msgbench.config import Benchmark, TableSpec
from msgbench.protocols import Metric, get_protocol
from msgbench.reference import PaperNumber, Printed, cell, printed_value


@dataclass(frozen=True)
class PaperRow:
    """One row of a table of the papers, and how surely a run belongs beside it."""

    table: str
    """Key under `tables` in config.yaml."""
    spec: TableSpec
    reference: str
    own: bool
    """Whether the row is the experiment's own; false: that of a larger experiment with its method and dataset."""

    @property
    def metric(self) -> Metric:
        """The metric of the table's printed scores."""
        return get_protocol(self.spec.protocol).metric

    @property
    def score(self) -> PaperNumber:
        """The score that the paper prints."""
        return cell(self.spec.numbers or self.table, self.reference, self.metric, self.spec.paper)

    def printed(self, column: str) -> Printed | None:
        """Another cell of the row (`real_images`, `gpus`, ...); None where the paper's table has no such column."""
        try:
            return printed_value(
                self.spec.numbers or self.table, self.reference, column, self.spec.paper
            )
        except KeyError:
            return None


def paper_row(
    benchmark: Benchmark, experiment: str, method: str, dataset: str, lr: float
) -> PaperRow | None:
    """The row that shows `experiment`, else the first of its method and dataset; None when there is neither.

    An experiment that no table shows is a smaller version of one that they do: of those with its method and dataset,
    the ones with its learning rate go first.
    """
    shown = [
        (name, spec, row.reference, row.experiment)
        for name, spec in benchmark.tables.items()
        for row in spec.rows
        if row.reference is not None and row.experiment is not None
    ]
    for name, spec, reference, shows in shown:
        if shows == experiment:
            return PaperRow(name, spec, reference, own=True)
    alike = []
    for name, spec, reference, shows in shown:
        other = benchmark.experiments[shows]
        if (other.method, other.dataset.name) == (method, dataset):
            alike.append((other.optimizer.lr != lr, PaperRow(name, spec, reference, own=False)))
    return min(alike, key=lambda pair: pair[0])[1] if alike else None

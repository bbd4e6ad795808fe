"""Holding what torch-fidelity needs to say FID again for the numbers that tables show.

Every snapshot's FID is made by symmetric eigenvalues; the best and the final one of a run are made a second time by
torch-fidelity's own function, which takes seven seconds at 2,048 features. Which is the best is known at the end:
until then the statistics of the best so far and of the latest are kept, 34 MB each.
"""

from __future__ import annotations

from msgbench.metrics.measure import Instruments, Seen
from msgbench.metrics.scores import Statistics, confirmed_distance
from msgbench.protocols import Protocol


class Confirmations:
    """Statistics of the snapshots that may turn out to be the best or the final one, by protocol."""

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        self._statistics: dict[tuple[str, int], Statistics] = {}
        self._values: dict[str, dict[int, float]] = {}

    def hold(self, protocol: Protocol, cur_nimg: int, seen: Seen, value: float) -> None:
        """Keeps the statistics of a snapshot that has just been measured; lets go of those that are neither."""
        layer = self.instruments.extractor(protocol.extractor).layer_for("fid")
        self._statistics[protocol.name, cur_nimg] = seen.statistics(layer)
        values = self._values.setdefault(protocol.name, {})
        values[cur_nimg] = value
        wanted = {protocol.best(values), cur_nimg, max(values)}
        for length in [length for length in values if length not in wanted]:
            self._statistics.pop((protocol.name, length), None)

    def held(self, protocol: Protocol, cur_nimg: int) -> Statistics | None:
        """The statistics of a snapshot, if they are still there."""
        return self._statistics.get((protocol.name, cur_nimg))

    def value(self, protocol: Protocol, cur_nimg: int) -> float:
        """torch-fidelity's FID of a held snapshot; MeasurementError when it does not confirm ours."""
        reference = self.instruments.reference(protocol)
        assert reference is not None
        held = self._statistics[protocol.name, cur_nimg]
        return confirmed_distance(held, reference.statistics()).value

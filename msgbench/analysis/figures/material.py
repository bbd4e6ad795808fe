"""What figures are made from, and what one is before it is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from msgbench.analysis import scale
from msgbench.analysis.collect import collect, read_dataset, read_run
from msgbench.analysis.collected import Collection, Dataset, Run
from msgbench.config import Benchmark
from msgbench.layout import Layout
from msgbench.units import kimg_to_nimg


@dataclass(frozen=True)
class Material:
    """The records of a benchmark, also of experiments that only a figure shows."""

    collection: Collection
    beside: dict[str, tuple[Run, ...]]
    """Runs of experiments that no table of the collection shows."""
    datasets: dict[str, Dataset]

    @property
    def benchmark(self) -> Benchmark:
        return self.collection.benchmark

    def runs_of(self, experiment: str) -> tuple[Run, ...]:
        """The planned runs of one experiment, in the order of its seeds."""
        found = self.beside.get(experiment)
        return self.collection.runs_of(experiment) if found is None else found

    def first_run_of(self, experiment: str) -> Run:
        """The run whose pictures are shown: that of the first seed."""
        return self.runs_of(experiment)[0]

    def statement(self, experiments: Iterable[str]) -> str:
        """The sentence of scale for a figure of `experiments`, short enough to stand on it; empty at full size."""
        specs = {name: self.benchmark.experiment(name) for name in experiments}
        departures = [
            departure
            for name, spec in specs.items()
            for departure in scale.training_departures(
                spec, self.datasets[spec.dataset.name], {}, self.benchmark.published.get(name),
                in_paper=False,
            )
        ]  # fmt: skip
        tier = self.benchmark.tier
        if not scale.statement(tier, tuple(departures)):
            return ""
        sides = sorted({spec.model.resolution for spec in specs.values()})
        shown = sorted({spec.schedule.total_nimg for spec in specs.values()})
        lengths = [scale.count(nimg) for nimg in dict.fromkeys((shown[0], shown[-1]))]
        parts = [f"{' and '.join(map(str, sides))} px", f"{' to '.join(lengths)} images shown"]
        stand_ins = {
            name
            for name in dict.fromkeys(spec.dataset.name for spec in specs.values())
            if self.datasets[name].stand_in
        }
        if stand_ins:
            parts.append("trained on drawn stand-ins")
        if tier == "paper":
            parts.append("departs from the published recipe")
        return f"{tier} tier: {', '.join(parts)}; not a reproduction"


def gather(
    benchmark: Benchmark, layout: Layout, tables: Sequence[str], experiments: Iterable[str]
) -> Material:
    """Read what exists of `tables` and of `experiments` below `layout`.

    Raises ResultsError for a record that is broken, of another schema or of another run.
    """
    collection = collect(benchmark, layout, tables)
    datasets = dict(collection.datasets)
    shown = set(benchmark.table_experiments(tables))
    beside = {}
    for experiment in experiments:
        if experiment in shown:
            continue
        spec = benchmark.experiment(experiment)
        name = spec.dataset.name
        if name not in datasets:
            datasets[name] = read_dataset(benchmark, benchmark.dataset(name), layout)
        beside[experiment] = tuple(
            read_run(benchmark.run(experiment, seed), layout, datasets[name].manifest)
            for seed in spec.seeds
        )
    return Material(collection, beside, datasets)


@dataclass(frozen=True)
class Made:
    """A figure ready to be written: the picture, its numbers and what is said about it."""

    caption: str
    alt: str
    """What it shows, for who cannot see it."""
    frame: pd.DataFrame | None = None
    """The plotted numbers; None where there is nothing to show."""
    figure: Figure | None = None
    statement: str = ""
    missing: tuple[str, ...] = ()
    """What it lacks and why, one sentence each."""
    sources: tuple[Path, ...] = ()
    """Files whose numbers or pictures it shows."""
    animation: bytes | None = field(default=None, repr=False)
    """The same as a moving picture (WebP)."""


def images_shown(nimg: int) -> str:
    """A moment of a training for people: `0`, `240`, `80k`, `1.6M` images."""
    if nimg < kimg_to_nimg(10):
        return f"{nimg:,}"
    return f"{nimg / 1e6:.4g}M" if nimg >= kimg_to_nimg(1000) else f"{nimg / 1e3:.4g}k"

"""The resolved benchmark of one tier: its datasets, experiments, tables and figures, and what of them is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgbench.config.cluster import ClusterSpec
from msgbench.config.document import FigureSpec, Launcher, TableSpec, WeightsSpec
from msgbench.config.sentences import nearest
from msgbench.config.specs import DatasetSpec, ExperimentSpec, RunSpec, Tier
from msgbench.errors import ConfigError


@dataclass(frozen=True)
class Benchmark:
    """The resolved benchmark of one tier."""

    tier: Tier
    results: str
    launcher: Launcher
    accept_gpu_hours: float
    weights: WeightsSpec
    datasets: dict[str, DatasetSpec]
    experiments: dict[str, ExperimentSpec]
    tables: dict[str, TableSpec]
    figures: dict[str, FigureSpec] = field(default_factory=dict)
    """Figures beside those that every table has."""
    cluster: ClusterSpec = field(default_factory=ClusterSpec)
    """What Slurm jobs ask for, the tier's overlay laid over."""
    published: Mapping[str, ExperimentSpec] = field(default_factory=dict)
    """The experiments as config.yaml's base has them, without the tier's overlay, where that is complete."""
    allow_missing: bool = False
    """Whether a target may end well although datasets are left out."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """What was changed of the config file for this benchmark, as a nested mapping."""

    def experiment(self, name: str) -> ExperimentSpec:
        """The experiment called `name`; raises ConfigError with the nearest name."""
        if name not in self.experiments:
            raise ConfigError(
                f"experiments.{name}: no such experiment{nearest(name, self.experiments)}"
            )
        return self.experiments[name]

    def dataset(self, name: str) -> DatasetSpec:
        """The dataset called `name`; raises ConfigError with the nearest name."""
        if name not in self.datasets:
            raise ConfigError(f"datasets.{name}: no such dataset{nearest(name, self.datasets)}")
        return self.datasets[name]

    def run(self, experiment: str, seed: int) -> RunSpec:
        """The run of `experiment` with `seed`."""
        spec = self.experiment(experiment)
        return RunSpec(
            schema="msgbench.run/1",
            tier=self.tier,
            experiment=experiment,
            seed=seed,
            fingerprint=spec.fingerprint,
            spec=spec,
        )

    def tables_of_all(self) -> tuple[str, ...]:
        """Tables that the target `all` makes."""
        return tuple(name for name, table in self.tables.items() if table.in_all)

    def figures_of_all(self) -> tuple[str, ...]:
        """Figures, beside those of its tables, that the target `all` makes."""
        return tuple(name for name, figure in self.figures.items() if figure.in_all)

    def figure_experiments(self, figures: Iterable[str] | None = None) -> tuple[str, ...]:
        """Experiments that `figures` show (None: those of `all`), in order, but those whose dataset is left out."""
        chosen = self.figures_of_all() if figures is None else figures
        names = dict.fromkeys(e for figure in chosen for e in self.figures[figure].experiments)
        return tuple(name for name in names if self.experiments[name].dataset.left_out is None)

    def table_experiments(self, tables: Iterable[str] | None = None) -> tuple[str, ...]:
        """Experiments that `tables` name (None: those of `all`), in order of first use."""
        chosen = self.tables_of_all() if tables is None else tables
        return tuple(
            dict.fromkeys(name for table in chosen for name in self.tables[table].experiments)
        )

    def left_out(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Datasets of tables and figures (None: those of `all`) that are not configured, and why, in order of use."""
        chosen = self._of_all() if names is None else tuple(names)
        datasets = dict.fromkeys(dataset for name in chosen for dataset in self._datasets_of(name))
        reasons = {name: self.datasets[name].left_out for name in datasets}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def _of_all(self) -> tuple[str, ...]:
        return (*self.tables_of_all(), *self.figures_of_all())

    def _experiments_of(self, name: str) -> tuple[str, ...]:
        """The experiments of a table or figure."""
        return (self.tables[name] if name in self.tables else self.figures[name]).experiments

    def _datasets_of(self, name: str) -> tuple[str, ...]:
        if name in self.tables:
            return self.table_datasets([name])
        return tuple(self.experiments[e].dataset.name for e in self._experiments_of(name))

    def planned_experiments(self, tables: Iterable[str] | None = None) -> tuple[str, ...]:
        """`table_experiments` without those whose dataset is left out."""
        names = self.table_experiments(tables)
        return tuple(name for name in names if self.experiments[name].dataset.left_out is None)

    def planned_datasets(self, tables: Iterable[str] | None = None) -> tuple[str, ...]:
        """`table_datasets` without those that are left out."""
        names = self.table_datasets(tables)
        return tuple(name for name in names if self.datasets[name].left_out is None)

    def left_out_sentences(self, names: Iterable[str] | None = None) -> list[str]:
        """One sentence for each dataset that is left out: why, and what of tables and figures is not made for it.

        `names` are keys under `tables` and `figures`; None: those of `all`. Raises ConfigError for any other name.
        """
        chosen = self._of_all() if names is None else tuple(names)
        known = (*self.tables, *self.figures)
        for name in chosen:
            if name not in known:
                raise ConfigError(f"{name}: is neither a table nor a figure{nearest(name, known)}")
        sentences = []
        for dataset, reason in self.left_out(chosen).items():
            experiments = dict.fromkeys(e for name in chosen for e in self._experiments_of(name))
            missing = [e for e in experiments if self.experiments[e].dataset.name == dataset]
            shown = [name for name in chosen if dataset in self._datasets_of(name)]
            number = f"{len(missing)} experiment{'s' if len(missing) != 1 else ''}"
            sentences.append(f"{dataset} is left out ({number} of {', '.join(shown)}): {reason}")
        return sentences

    def table_datasets(self, tables: Iterable[str] | None = None) -> tuple[str, ...]:
        """Datasets that experiments and real-images rows of `tables` (None: those of `all`) need, in order."""
        chosen = self.tables_of_all() if tables is None else tuple(tables)
        names = [row.real_images for table in chosen for row in self.tables[table].rows]
        names += [self.experiments[name].dataset.name for name in self.table_experiments(chosen)]
        return tuple(dict.fromkeys(name for name in names if name is not None))

"""config.yaml as it is written: datasets, defaults, methods, experiments, tables and the tiers' overlays.

`Document` checks the form of every layer; `benchmark.py` resolves the layers into experiments.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from msgbench.config.base import Spec
from msgbench.config.cluster import ClusterSpec
from msgbench.config.patches import Patch
from msgbench.config.specs import DatasetSpec, ExperimentSpec, Tier
from msgbench.errors import ConfigError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]

Launcher = Literal["inline", "local", "slurm"]

# The published paper, and its first version (arXiv:1903.06048v1).
Paper = Literal["cvpr2020", "arxiv-v1"]
LAUNCHERS: tuple[Launcher, ...] = get_args(Launcher)


def known_launcher(name: str, where: str) -> Launcher:
    """The launcher called `name`; raises ConfigError, naming `where` it stands, for any other text."""
    for launcher in LAUNCHERS:
        if name == launcher:
            return launcher
    raise ConfigError(f"{where}: {name!r} is not allowed; allowed: {', '.join(LAUNCHERS)}")


_EXPERIMENT_PARTS = frozenset({"method", "dataset"})


StandInLayer = Annotated[dict[str, Any], Patch(DatasetSpec, frozenset({"name", "path"}))]


class DatasetEntry(DatasetSpec):
    """A dataset in config.yaml: a dataset spec, and the stand-in that is used while `path` is empty."""

    stand_in: StandInLayer | None = Field(
        default=None,
        description="what replaces the dataset while `path` is empty (fields of a dataset); "
        "empty = a missing path is an error",
    )


DatasetLayer = Annotated[dict[str, Any], Patch(DatasetEntry, frozenset({"name"}))]
DefaultsLayer = Annotated[dict[str, Any], Patch(ExperimentSpec, _EXPERIMENT_PARTS)]


class ExperimentEntry(ExperimentSpec):
    """An experiment in config.yaml: its method and dataset by name, and what it changes."""

    # A name here, a whole spec in ExperimentSpec: the type differs from the base on purpose.
    dataset: str = Field(description="key under `datasets`")  # type: ignore[assignment]


ExperimentLayer = Annotated[dict[str, Any], Patch(ExperimentEntry)]


class TableRow(Spec):
    """One row of a table: what it shows of ours, beside the paper's row `reference` where there is one."""

    reference: str | None = Field(
        default=None, description="row key of this table in msgbench/reference"
    )
    label: str | None = Field(
        default=None, description="the row's name; empty = as the paper prints it"
    )
    experiment: str | None = Field(default=None, description="key under `experiments`")
    real_images: str | None = Field(
        default=None,
        description="key under `datasets`: the row is the score of the real images themselves",
    )
    record: str | None = Field(
        default=None,
        description="path of a file that `msgbench evaluate --images` or `--snapshot` wrote: the row is its score",
    )
    quoted: bool = Field(
        default=False,
        description="the paper quotes the row from another paper: it is shown as printed, nothing is trained",
    )


class TableSpec(Spec):
    """One table of the paper: its rows in printed order and the protocol that fills its score column."""

    title: str
    paper: Paper = Field(
        default="cvpr2020", description="the published paper or its first version, `arxiv-v1`"
    )
    numbers: str | None = Field(
        default=None,
        description="where the paper's numbers stand in msgbench/reference (`table1` to `table5`, `text`); "
        "empty = under the table's own name",
    )
    in_all: bool = Field(
        default=True, description="false: not part of the target `all`, only of its own"
    )
    protocol: str = Field(
        description="name from msgbench/protocols.py that the table's score comes from"
    )
    also: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="protocols whose scores stand beside it"
    )
    rows: Annotated[tuple[TableRow, ...], Field(strict=False)] = Field(min_length=1)

    @property
    def experiments(self) -> tuple[str, ...]:
        """The experiments of its rows, in order."""
        return tuple(row.experiment for row in self.rows if row.experiment is not None)


# Tables of the paper that are made from the networks themselves; no other table may have these names.
LAYER_TABLES = ("table6", "table7")

# How a figure is drawn, one function each (msgbench/analysis/figures).
FigureKind = Literal[
    "scales", "samples", "beside", "mixing", "noise", "depths", "interpolation", "time_lapse",
    "stability", "synchronisation", "architecture", "learning_rates",
]  # fmt: skip


class FigureSpec(Spec):
    """One figure beside the curves that every table has: how it is drawn, and whose runs it shows."""

    title: str
    kind: FigureKind = Field(
        description="`scales`, `samples`, `beside`, `mixing`, `noise`, `depths`, `interpolation`: pictures of the best "
        "snapshot (of the last, of an experiment that no table shows); `time_lapse`: of all kept snapshots; "
        "`stability`, `synchronisation`: images of fixed latents observed in training; `architecture`: the networks; "
        "`learning_rates`: scores of one table over the learning rate"
    )
    paper: Paper | None = Field(
        default="cvpr2020",
        description="the paper that prints it; null = a figure that no paper has",
    )
    number: int | None = Field(default=None, ge=1, description="its number there")
    table: str | None = Field(
        default=None, description="of `learning_rates`: key under `tables` whose scores it shows"
    )
    in_all: bool = Field(
        default=True,
        description="false: not part of the target `all`, only of `figures` and of its own",
    )
    experiments: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        min_length=1, description="keys under `experiments`, in the order in which they are shown"
    )


FigureLayer = Annotated[dict[str, Any], Patch(FigureSpec)]

# Tables beside those of config.yaml: parameters by the number of scales, numbers in running text.
OWN_TABLES = ("parameters", "text")

TableLayer = Annotated[dict[str, Any], Patch(TableSpec)]


class Overlay(Spec):
    """What a tier changes; laid over the base after everything else."""

    cluster: ClusterSpec = Field(default_factory=ClusterSpec)
    datasets: dict[Name, DatasetLayer] = Field(default_factory=dict)
    defaults: DefaultsLayer = Field(default_factory=dict)
    methods: dict[Name, DefaultsLayer] = Field(default_factory=dict)
    experiments: dict[Name, ExperimentLayer] = Field(default_factory=dict)
    tables: dict[Name, TableLayer] = Field(default_factory=dict)
    figures: dict[Name, FigureLayer] = Field(default_factory=dict)


class WeightsSpec(Spec):
    """Files of pretrained feature extractors that msgbench does not ship."""

    inception: str | None = Field(
        default=None,
        description="path of torch-fidelity's weights-inception-2015-12-05-6726825d.pth (mini and paper tier)",
    )
    vgg16: str | None = Field(
        default=None,
        description="path of torchvision's vgg16-397923af.pth, for precision and recall (protocol prc50k)",
    )


class Document(Spec):
    """The whole of config.yaml."""

    tier: Tier = Field(description="how much of the paper is run: `smoke`, `mini` or `paper`")
    results: str = Field(
        default="results", min_length=1, description="folder of everything that is made"
    )
    launcher: Launcher = Field(
        default="inline",
        description="where preparing, training and measuring run: `inline` (inside the rule), `local` "
        "(a submitit job on this machine) or `slurm` (what `--profile slurm` chooses)",
    )
    cluster: ClusterSpec = Field(
        default_factory=ClusterSpec, description="what Slurm jobs ask for, per task"
    )
    accept_gpu_hours: float = Field(
        default=0.0,
        ge=0,
        description="GPU-hours you accept to spend; the paper tier starts only when this covers its estimate",
    )
    allow_missing: bool = Field(
        default=False,
        description="end well although datasets are left out that are not configured: the rest is made in any case",
    )
    weights: WeightsSpec = Field(default_factory=WeightsSpec)
    datasets: dict[Name, DatasetLayer]
    defaults: DefaultsLayer
    methods: dict[Name, DefaultsLayer]
    experiments: dict[Name, ExperimentLayer]
    tables: dict[Name, TableLayer]
    figures: dict[Name, FigureLayer] = Field(default_factory=dict)
    tiers: dict[Tier, Overlay]

"""Whether a figure of config.yaml names what exists, and networks that can be drawn that way."""

from __future__ import annotations

from collections.abc import Mapping

from msgbench.config.document import LAYER_TABLES, FigureSpec, TableSpec
from msgbench.config.sentences import nearest
from msgbench.config.specs import ExperimentSpec
from msgbench.errors import ConfigError

# Of each table, beside its own name (see `figures_of_table` in msgbench/analysis).
TABLE_FIGURES = ("", "-fid", "-hours", "-losses")
# Targets of the workflow that are no table, figure or experiment.
_TARGETS = ("all", "figures", "tables", "report", "runs", "datasets", "measurements", "samples")


def check_figure(
    name: str,
    figure: FigureSpec,
    experiments: Mapping[str, ExperimentSpec],
    tables: Mapping[str, TableSpec],
) -> None:
    """Raise ConfigError, with the key, for what the form of `figure` alone does not show."""
    where = f"figures.{name}"
    taken = {f"{table}{suffix}" for table in tables for suffix in TABLE_FIGURES}
    if name in taken | set(experiments) | set(LAYER_TABLES) | set(_TARGETS):
        raise ConfigError(
            f"{where}: is the name of a table, of one of its figures, of an experiment or of a target; "
            "give this figure another name"
        )
    for index, experiment in enumerate(figure.experiments):
        place = f"{where}.experiments.{index}"
        if experiment not in experiments:
            raise ConfigError(
                f"{place}: {experiment!r} is no experiment{nearest(experiment, experiments)}"
            )
        _require_fitting(place, figure.kind, experiment, experiments[experiment])
    if len(set(figure.experiments)) != len(figure.experiments):
        raise ConfigError(
            f"{where}.experiments: {', '.join(figure.experiments)} names one experiment twice"
        )
    if figure.kind == "learning_rates":
        _require_table(where, figure, tables)
    elif figure.table is not None:
        raise ConfigError(
            f"{where}.table: {figure.table!r} is not allowed; only a figure of the kind learning_rates has a table"
        )


def _require_fitting(where: str, kind: str, name: str, spec: ExperimentSpec) -> None:
    """Refuse networks that do not have what the figure shows."""
    lacks = ""
    if kind in ("mixing", "noise") and spec.model.family != "stylegan":
        lacks = "styles and noise inputs, which stylegan has"
    elif kind == "depths" and not spec.model.growing:
        lacks = "stages, which a growing baseline has"
    elif kind == "synchronisation" and spec.model.growing:
        lacks = "images at several scales at once, which a growing baseline has not"
    if lacks:
        raise ConfigError(f"{where}: {name!r} does not fit a figure of {kind}: it needs {lacks}")


def _require_table(where: str, figure: FigureSpec, tables: Mapping[str, TableSpec]) -> None:
    if figure.table is None or figure.table not in tables:
        raise ConfigError(
            f"{where}.table: {figure.table!r} is no table{nearest(figure.table or '', tables)}"
        )

"""Whether the rows of a table name what exists and differ from each other."""

from __future__ import annotations

from collections.abc import Mapping

from msgbench.config.document import TableSpec
from msgbench.config.sentences import nearest
from msgbench.config.specs import DatasetSpec, ExperimentSpec
from msgbench.errors import ConfigError


def check_table(
    name: str,
    table: TableSpec,
    datasets: Mapping[str, DatasetSpec],
    experiments: Mapping[str, ExperimentSpec],
) -> None:
    """Raise ConfigError, with the row's key, for what the form of `table` alone does not show."""
    for index, row in enumerate(table.rows):
        where = f"tables.{name}.rows.{index}"
        kinds = (row.experiment, row.real_images, row.record, row.quoted or None)
        if sum(kind is not None for kind in kinds) != 1:
            raise ConfigError(
                f"{where}: give exactly one of experiment, real_images, record and quoted"
            )
        if row.reference is None and row.label is None:
            raise ConfigError(f"{where}: give reference or label")
        if row.quoted and row.reference is None:
            raise ConfigError(f"{where}: a quoted row needs its reference")
        if row.experiment is not None:
            if row.experiment not in experiments:
                raise ConfigError(
                    f"{where}.experiment: {row.experiment!r} is no experiment{nearest(row.experiment, experiments)}"
                )
            planned = experiments[row.experiment].evaluation.protocols
            for protocol in (table.protocol, *table.also):
                if protocol not in planned:
                    raise ConfigError(
                        f"{where}: {protocol} is not measured for experiment {row.experiment}; "
                        f"its evaluation.protocols are {', '.join(planned)}"
                    )
        elif row.real_images is not None and row.real_images not in datasets:
            raise ConfigError(
                f"{where}.real_images: {row.real_images!r} is no dataset{nearest(row.real_images, datasets)}"
            )


def require_different(
    name: str,
    table: TableSpec,
    experiments: Mapping[str, ExperimentSpec],
    stated: Mapping[str, object],
) -> None:
    """Refuse two experiments of a table whose connections are stated otherwise and mean the same training.

    That happens when levels of connections have no scale of their own: at 32 px "fine" is "none". `stated` are the
    experiments' model.connections as written.
    """
    first: dict[str, str] = {}
    for index, row in enumerate(table.rows):
        if row.experiment is None:
            continue
        spec = experiments[row.experiment]
        other = first.setdefault(spec.fingerprint, row.experiment)
        if stated[other] == stated[row.experiment]:
            continue
        where = f"tables.{name}.rows.{index}.experiment: {row.experiment!r} is the same training as {other!r}"
        raise ConfigError(
            f"{where}: model.connections {stated[row.experiment]} and {stated[other]} both mean "
            f"{list(spec.model.connected)} at {spec.model.resolution} px; "
            "give lists that differ, or a larger resolution"
        )

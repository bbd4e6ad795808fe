"""Whether the rows of a table name what exists and differ from each other."""

from __future__ import annotations

from collections.abc import Mapping

from msgbench.config.base import fingerprint_of
from msgbench.config.document import TableSpec
from msgbench.config.model import ModelSpec
from msgbench.config.sentences import nearest
from msgbench.config.specs import DatasetSpec, ExperimentSpec
from msgbench.errors import ConfigError
from msgbench.protocols import PROTOCOLS, get_protocol
from msgbench.reference import cell, load_reference, rows_of


def check_table(
    name: str,
    table: TableSpec,
    datasets: Mapping[str, DatasetSpec],
    experiments: Mapping[str, ExperimentSpec],
) -> None:
    """Raise ConfigError, with the row's key, for what the form of `table` alone does not show.

    A number that the paper does not have is found here, before hours of training, not when the table is made.
    """
    numbers = table.numbers or name
    printed = sorted({number.table for number in load_reference() if number.paper == table.paper})
    if table.numbers is not None and numbers not in printed:
        raise ConfigError(
            f"tables.{name}.numbers: {numbers!r} is not allowed; allowed: {', '.join(printed)}"
        )
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
        if row.reference is not None:
            _require_printed(f"{where}.reference", table, numbers, row.reference)


def _require_printed(where: str, table: TableSpec, numbers: str, reference: str) -> None:
    """Refuse a row of the paper that has no number in the metric of the table."""
    metric = get_protocol(table.protocol).metric
    try:
        cell(numbers, reference, metric, table.paper)
    except KeyError:
        known = rows_of(numbers, table.paper)
        metrics = {protocol.metric for protocol in PROTOCOLS.values()}
        prints = sorted(
            number.column.upper()
            for number in load_reference()
            if (number.paper, number.table, number.row) == (table.paper, numbers, reference)
            and number.column in metrics
        )
        other = f"; it prints {' and '.join(prints)}" if prints else nearest(reference, known)
        raise ConfigError(
            f"{where}: the paper prints no {metric.upper()} for {reference!r} in {numbers}{other}"
        ) from None


def require_different(
    name: str,
    table: TableSpec,
    experiments: Mapping[str, ExperimentSpec],
    stated: Mapping[str, object],
) -> None:
    """Refuse two experiments of a table that a reader would compare though they do not differ.

    Either their discriminators are the same networks with the same inputs, stated as different connections: levels
    may have no scale of their own, so that at 32 px "fine" is "none". Or one training has two names. `stated` are the
    experiments' model.connections as written.
    """
    networks: dict[str, str] = {}
    trainings: dict[str, str] = {}
    for index, row in enumerate(table.rows):
        if row.experiment is None:
            continue
        spec = experiments[row.experiment]
        training = _training(spec)
        where = f"tables.{name}.rows.{index}.experiment: {row.experiment!r}"
        # Whatever else differs (a length, a learning rate): the row would show a level that is none.
        network = fingerprint_of([spec.dataset.name, _built(spec.model).model_dump(mode="json")])
        other = networks.setdefault(network, row.experiment)
        # A growing discriminator looks at one image, whatever is stated.
        if spec.growing is None and stated[other] != stated[row.experiment]:
            same = (
                "is the same training as"
                if training == _training(experiments[other])
                else "has the same discriminator and inputs as"
            )
            raise ConfigError(
                f"{where} {same} {other!r}: model.connections {stated[row.experiment]} and {stated[other]} both mean "
                f"{list(spec.model.connected)} at {spec.model.resolution} px; "
                "give lists that differ, or a larger resolution"
            )
        other = trainings.setdefault(training, row.experiment)
        if other != row.experiment:
            raise ConfigError(
                f"{where} is the same training as {other!r}: nothing that a training depends on differs; "
                f"let them differ, or give {other!r} in this row, too"
            )


# How often something is written or measured: other files, the same networks.
_BOOKKEEPING = ("snapshot_kimg", "state_kimg", "grid_kimg", "stats_kimg", "observe_kimg")


def _training(spec: ExperimentSpec) -> str:
    """What decides the networks that a training gives; the fingerprint also covers which files it writes."""
    training = spec.training.model_copy(update=dict.fromkeys(_BOOKKEEPING, 1.0))
    updated = {"training": training, "model": _built(spec.model)}
    return spec.model_copy(update=updated).fingerprint


def _built(model: ModelSpec) -> ModelSpec:
    """`model` without what its networks do not have: a combine function where no image is combined."""
    return model if model.connected[:-1] else model.model_copy(update={"combine": "phi_simple"})

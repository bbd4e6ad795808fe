"""The lists of runs and datasets on the first page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgbench.analysis.collected import Collection, Dataset, Run
from msgbench.analysis.report.parts import Link, Site
from msgbench.analysis.report.pictures import Thumbnail, preview
from msgbench.layout import short
from msgbench.protocols import Protocol
from msgbench.units import format_duration


@dataclass(frozen=True)
class RunLine:
    """One run in the list of runs."""

    label: str
    page: Link
    fingerprint: str
    reason: str
    dataset: Link
    length: str
    time: str
    rate: str
    device: str
    scores: tuple[tuple[Link, Link] | None, ...]
    """(first, last) score by each protocol of the page; None where it has none."""
    preview: Thumbnail | None
    in_tables: bool


@dataclass(frozen=True)
class DatasetLine:
    """One dataset in the list of datasets."""

    page: Link
    stand_in: bool
    images: str
    reason: str


def run_lines(
    collection: Collection, protocols: tuple[Protocol, ...], site: Site
) -> Iterator[RunLine]:
    """The runs of tables, then the others."""
    for run in collection.runs:
        yield _run_line(run, collection.datasets[run.plan.spec.dataset.name], protocols, site, True)
    for other in collection.others:
        yield _run_line(other.run, other.dataset, protocols, site, False)


def _run_line(
    run: Run, dataset: Dataset, protocols: tuple[Protocol, ...], site: Site, in_tables: bool
) -> RunLine:
    train, page = run.train or {}, site.index
    rate = train.get("images_per_second")
    last = max(run.grids, key=lambda grid: (grid.cur_nimg, grid.scale), default=None)
    return RunLine(
        label=run.label,
        page=site.of_run(run, page),
        fingerprint=short(run.plan.fingerprint),
        reason=run.reason or "",
        dataset=site.of_dataset(dataset, page),
        length=f"{run.plan.spec.schedule.total_nimg:,}",
        time=format_duration(run.seconds) if run.train is not None else "",
        rate=f"{rate:.1f}" if isinstance(rate, int | float) else "",
        device=", ".join(run.devices),
        scores=tuple(_ends(run, protocol, site) for protocol in protocols),
        preview=None if last is None else preview(last),
        in_tables=in_tables,
    )


def _ends(run: Run, protocol: Protocol, site: Site) -> tuple[Link, Link] | None:
    records = run.of(protocol.name)
    if not records:
        return None
    return site.score(records[0], site.index), site.score(records[-1], site.index)


def dataset_line(dataset: Dataset, site: Site) -> DatasetLine:
    """One dataset: whose images, how many, and why they have no scores."""
    manifest = dataset.manifest
    side = manifest.resolution if manifest else 0
    return DatasetLine(
        page=site.of_dataset(dataset, site.index),
        stand_in=dataset.stand_in,
        images=f"{manifest.count:,} of {side} x {side} px" if manifest else "",
        reason=dataset.reason or "",
    )

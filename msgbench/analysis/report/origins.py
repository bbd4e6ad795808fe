"""Where everything on the pages comes from: time, machines, versions, commits of records, trainings and datasets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgbench.analysis.collected import Collection, Dataset, Run
from msgbench.analysis.report.parts import Fact, Site, commits, distinct
from msgbench.analysis.score_records import Record
from msgbench.data.manifest import PREPARE_JSON
from msgbench.records import read_json
from msgbench.units import format_duration


def facts_of(
    collection: Collection, origins: list[Mapping[str, Any]], site: Site
) -> tuple[Fact, ...]:
    """The first page's facts: how much was run, for how long, on what and when."""
    runs = collection.runs
    trained = [run for run in runs if run.train is not None]
    shown = sum(int(run.train["cur_nimg"]) for run in trained if run.train is not None)
    records = sum(len(run.records) for run in runs)
    seconds = sum(run.seconds for run in trained)
    experiments = len({run.plan.experiment for run in runs})
    written = sorted(str(origin["written"]) for origin in origins if origin.get("written"))
    return (
        Fact("Tier", (collection.benchmark.tier,)),
        Fact("Runs", (f"{len(trained)} of {len(runs)} trained, {experiments} experiments",)),
        Fact("Images shown", (f"{shown:,} in all",)),
        Fact(
            "Time",
            (
                f"{format_duration(seconds)} training, all runs together",
                f"{format_duration(measuring_seconds(runs))} measuring {records:,} scores",
            ),
        ),
        *_dataset_facts(collection, site),
        Fact("Commit", commits(origins)),
        Fact("Machine", _machines(origins)),
        Fact("Date", (_span(written[0], written[-1]) if written else "no records yet",)),
    )


def measuring_seconds(runs: Iterable[Run]) -> float:
    """Time spent on measuring: the scores of one sample set share the time it took to generate it."""
    longest: dict[tuple[str, int | None, str], float] = {}
    for run in runs:
        for record in run.records:
            seconds = record.provenance.get("seconds")
            if isinstance(seconds, int | float):
                key = (run.run_id, record.cur_nimg, record.extractor)
                longest[key] = max(longest.get(key, 0.0), float(seconds))
    return sum(longest.values())


def _span(first: str, last: str) -> str:
    """First and last moment of records: `2026-01-02 03:04 to 05:06 UTC`; times are in UTC."""
    (day, start), (last_day, end) = ((m[:10], m[11:16]) for m in (first, last))
    if day != last_day:
        return f"{day} {start} to {last_day} {end} UTC"
    return f"{day} {start} UTC" if start == end else f"{day} {start} to {end} UTC"


def _dataset_facts(collection: Collection, site: Site) -> Iterator[Fact]:
    """The datasets by what they are: the published images, drawn stand-ins, not prepared."""
    groups: dict[str, list[Dataset]] = {}
    for dataset in collection.datasets.values():
        kind = "drawn by msgbench as stand-ins" if dataset.stand_in else "as published"
        groups.setdefault(kind if dataset.manifest else "not prepared", []).append(dataset)
    for kind, datasets in groups.items():
        yield Fact(
            "Datasets",
            (f"{len(datasets)} {kind}",),
            tuple(site.of_dataset(dataset, site.index) for dataset in datasets),
        )


def records_of(collection: Collection) -> Iterator[Record]:
    """The records of all runs of tables, and of the datasets' own images."""
    for run in collection.runs:
        yield from run.records
    for dataset in collection.datasets.values():
        yield from (*dataset.real, *dataset.controls)


def provenances(collection: Collection) -> Iterator[Mapping[str, Any]]:
    """The provenance of every record, training and dataset."""
    for run in collection.runs:
        if run.train is not None and isinstance(run.train.get("provenance"), dict):
            yield run.train["provenance"]
    for record in records_of(collection):
        yield record.provenance
    for dataset in collection.datasets.values():
        path = dataset.folder / PREPARE_JSON
        if path.is_file():
            content = read_json(path)
            origin = content.get("provenance") if isinstance(content, dict) else None
            if isinstance(origin, dict):
                yield origin


def _machines(origins: list[Mapping[str, Any]]) -> tuple[str, ...]:
    hardware = [d for d in distinct(origins, "device") if d != "cpu"] + list(
        distinct(origins, "cpu")
    )
    hosts = distinct(origins, "host")
    return (*hardware, *(f"host {host}" for host in hosts)) or ("no records yet",)


def provenance_facts(origins: list[Mapping[str, Any]]) -> tuple[Fact, ...]:
    """Every commit and machine among `origins`."""
    facts = [
        Fact("Records", (f"{len(origins):,} with provenance",)),
        Fact("Commits", commits(origins)),
        Fact("Hosts", distinct(origins, "host")),
        Fact("Devices", distinct(origins, "device")),
        Fact("CPUs", distinct(origins, "cpu")),
        Fact("Platforms", distinct(origins, "platform")),
    ]
    return tuple(fact for fact in facts if fact.lines)

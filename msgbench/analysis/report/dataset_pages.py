"""The page of one dataset: what its store holds, what became of its photographs, and the scores of its own images."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from msgbench.analysis.collected import Collection, Dataset, Run
from msgbench.analysis.commands import changes_of, step_command
from msgbench.analysis.report.charts import Bin, histogram, number_of
from msgbench.analysis.report.parts import (
    Command,
    Fact,
    Link,
    Site,
    anchor,
    commits,
    files,
    href,
    link,
    write_unsynced,
)
from msgbench.analysis.report.pictures import Thumbnail, contact_sheet, png_bytes
from msgbench.analysis.score_records import Record
from msgbench.analysis.tables import METRIC_NAMES, number
from msgbench.config.published import PUBLISHED
from msgbench.data.manifest import IMAGES_TSV, PREPARE_JSON
from msgbench.errors import ResultsError
from msgbench.layout import MANIFEST_JSON, REAL_JSON
from msgbench.records import read_json

OUTCOMES_CSV, FACES_CSV, SUMMARY_CSV = "outcomes.csv", "faces.csv", "summary.csv"
SHEETS = "sheets"
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_QUANTITIES = {
    "face_px": "Size of the face in pixels",
    "sharpness": "Sharpness",
    "brightness": "Brightness",
    "clipped": "Share of clipped pixels",
}


@dataclass(frozen=True)
class RealLine:
    """A score of the dataset's own images, of the control, or of images against images."""

    id: str
    of: str
    protocol: str
    version: int
    metric: str
    value: str
    exact: str
    commit: str
    file: Link


@dataclass(frozen=True)
class Sheet:
    """A picture of a store with its file."""

    picture: Thumbnail | None
    href: str
    title: str


@dataclass(frozen=True)
class Outcomes:
    """What became of the photographs that a set of faces was made from."""

    counts: tuple[tuple[str, int], ...]
    histograms: tuple[tuple[str, Markup], ...]
    sheets: tuple[Sheet, ...]
    files: tuple[Link, ...]


@dataclass(frozen=True)
class DatasetPage:
    """The page of one dataset."""

    name: str
    stand_in: bool
    reason: str
    statement: str
    facts: tuple[Fact, ...]
    sheet: Sheet | None
    outcomes: Outcomes | None
    scores: tuple[RealLine, ...]
    runs: tuple[Link, ...]
    commands: tuple[Command, ...]
    files: tuple[Link, ...]


def dataset_page(dataset: Dataset, collection: Collection, site: Site) -> DatasetPage:
    """Everything about `dataset`; its contact sheet is written beside the pages."""
    page = site.dataset_page(dataset)
    names = (MANIFEST_JSON, REAL_JSON, PREPARE_JSON, IMAGES_TSV)
    return DatasetPage(
        name=dataset.spec.name,
        stand_in=dataset.stand_in,
        reason=dataset.reason or "",
        statement="drawn by msgbench as a stand-in, not the dataset of that name"
        if dataset.stand_in
        else "",
        facts=tuple(fact for fact in _facts(dataset) if fact.lines),
        sheet=_sheet(dataset, site, page),
        outcomes=outcomes_of(dataset, page.parent),
        scores=tuple(_score_lines(dataset, page.parent)),
        runs=tuple(site.of_run(run, page) for run in _runs_on(dataset, collection)),
        commands=(dataset_command(dataset, collection),),
        files=files(((name, dataset.folder / name) for name in names), page.parent),
    )


def _runs_on(dataset: Dataset, collection: Collection) -> Iterator[Run]:
    """The runs that were, or are to be, trained on this store."""
    if collection.datasets.get(dataset.spec.name) is dataset:
        yield from (
            run for run in collection.runs if run.plan.spec.dataset.name == dataset.spec.name
        )
    for other in collection.others:
        if other.dataset.folder == dataset.folder:
            yield other.run


def _facts(dataset: Dataset) -> Iterator[Fact]:
    spec, manifest = dataset.spec, dataset.manifest
    yield Fact("Recipe", (f"{spec.source}, {spec.split} split",))
    yield Fact("Mirrored", ("with probability 1/2" if spec.mirror else "no",))
    yield from _terms(dataset)
    if manifest is None:
        return
    source = manifest.source
    side = manifest.resolution
    yield Fact("Images", (f"{manifest.count:,} of {side} x {side} pixels",))
    yield Fact("Mean (R, G, B)", (", ".join(f"{value:.4f}" for value in manifest.mean),))
    yield Fact("Deviation", (", ".join(f"{value:.4f}" for value in manifest.std),))
    read = [f"{f.name}, {f.bytes:,} bytes, sha256 {f.sha256[:12]}" for f in source.files]
    yield Fact("Read from", (source.form, *read))
    yield Fact(
        "Source",
        (f"{source.count:,} images of the split found, {source.expected_count:,} published",),
    )
    yield Fact(
        "Files",
        tuple(f"{f.name}, {f.bytes:,} bytes, sha256 {f.sha256[:12]}" for f in manifest.files),
    )
    if manifest.packing is not None:
        packing = manifest.packing
        changed = [f"{rule}: {count:,} images" for rule, count in packing.changes.items()]
        yield Fact("Packed", (f"{packing.fit}, {packing.resize}, {packing.storage}", *changed))
    yield Fact("Content", (f"fingerprint {manifest.fingerprint[:12]}",))
    if not manifest.complete:
        stated = f"no: {source.count:,} of {source.expected_count:,} published images"
        yield Fact("Complete", (stated,))
    yield Fact("Commit", commits(_prepared(dataset)))


def _terms(dataset: Dataset) -> Iterator[Fact]:
    """Licence and terms of the real dataset, and whether they were accepted."""
    packing = dataset.manifest.packing if dataset.manifest else None
    published = PUBLISHED.get(dataset.spec.source)
    if packing is not None:
        yield Fact("Licence", (packing.licence,))
        if packing.terms is not None:
            accepted = "accepted" if packing.accept_terms else "not accepted"
            yield Fact("Terms of use", (packing.terms, accepted))
    elif published is not None and not dataset.stand_in:
        yield Fact("Licence", (published.licence,))
        if published.terms is not None:
            accepted = "accepted" if dataset.spec.accept_terms else "not accepted"
            yield Fact("Terms of use", (published.terms, accepted))


def _prepared(dataset: Dataset) -> list[Mapping[str, object]]:
    path = dataset.folder / PREPARE_JSON
    content = read_json(path) if path.is_file() else None
    origin = content.get("provenance") if isinstance(content, dict) else None
    return [origin] if isinstance(origin, dict) else []


def _sheet(dataset: Dataset, site: Site, page: Path) -> Sheet | None:
    picture = contact_sheet(dataset.folder)
    if picture is None:
        return None
    out = site.asset(f"sheets/{page.stem}.png")
    write_unsynced(out, png_bytes(picture))
    url = href(out, page.parent)
    return Sheet(
        Thumbnail(url, *picture.size), url, f"The first images of {dataset.spec.name} as prepared"
    )


def _score_lines(dataset: Dataset, folder: Path) -> Iterator[RealLine]:
    groups: tuple[tuple[str, tuple[Record, ...]], ...] = (
        ("the real images", dataset.real),
        ("the pixel-Gaussian control", dataset.controls),
        ("real images against real images", dataset.floors),
    )
    for of, records in groups:
        for record in records:
            floor = record.content.get("floor")
            yield RealLine(
                id=anchor(record),
                of=of + (f": {floor}" if floor else ""),
                protocol=record.protocol,
                version=record.version,
                metric=METRIC_NAMES[record.metric],
                value=number(record.table_value),
                exact=repr(record.table_value),
                commit=str(record.provenance.get("commit") or "")[:12] or "not a git checkout",
                file=link(record.path.name, record.path, folder),
            )


def outcomes_of(dataset: Dataset, folder: Path) -> Outcomes | None:
    """What summary.csv and the sheets of a set of faces say; None when the store has no such files."""
    path = dataset.folder / SUMMARY_CSV
    sheets = tuple(_sheets(dataset.folder / SHEETS, folder))
    if not path.is_file() and not sheets:
        return None
    counts, bins = read_summary(path) if path.is_file() else ([], {})
    drawn = ((q, histogram(_QUANTITIES.get(q, q), each)) for q, each in bins.items())
    names = (OUTCOMES_CSV, FACES_CSV, SUMMARY_CSV)
    return Outcomes(
        counts=tuple(counts),
        histograms=tuple((_QUANTITIES.get(q, q), svg) for q, svg in drawn if svg),
        sheets=sheets,
        files=files(((name, dataset.folder / name) for name in names), folder),
    )


def read_summary(path: Path) -> tuple[list[tuple[str, int]], dict[str, list[Bin]]]:
    """Counts by outcome, and the bins of each quantity; ResultsError when a line is of another form."""
    counts: list[tuple[str, int]] = []
    bins: dict[str, list[Bin]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for place, row in enumerate(csv.DictReader(file), start=2):
            try:
                count, kept = int(row["photographs"]), int(row["kept"])
                if row["quantity"] == "outcome":
                    counts.append((row["outcome"], count))
                else:
                    label = number_of(float(row["from"]))
                    bins.setdefault(row["quantity"], []).append(Bin(label, count, kept))
            except (KeyError, TypeError, ValueError):
                raise ResultsError(f"{path}: line {place} is no line of a summary") from None
    return counts, bins


def _sheets(sheets: Path, folder: Path) -> Iterator[Sheet]:
    for path in sorted(sheets.glob("*")) if sheets.is_dir() else ():
        if path.suffix.lower() in _PICTURES:
            yield Sheet(None, href(path, folder), path.stem)


def dataset_command(dataset: Dataset, collection: Collection) -> Command:
    """Prepare a dataset, and measure its images and its control by what they were measured by."""
    name, folder = dataset.spec.name, shlex.quote(str(dataset.folder))
    tier = collection.benchmark.tier
    lines = [
        step_command(
            f"prepare {shlex.quote(name)} --store {folder}", changes_of(collection.benchmark)
        )
    ]
    measured = dict.fromkeys(r.protocol for r in (*dataset.real, *dataset.controls))
    if measured:
        out = shlex.quote(str(dataset.folder / REAL_JSON))
        lines.append(
            f"msgbench evaluate --real {folder} --protocols {','.join(measured)} --tier {tier} --out {out}"
            + (" --mirror" if dataset.spec.mirror else "")
        )
    return Command(f"Dataset {name}", tuple(lines))

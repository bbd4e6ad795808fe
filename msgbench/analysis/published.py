"""Published records: what one measured run leaves in results/published/, from which docs are generated.

A JSON file with every score, the curve of the losses and where all of it comes from, and small pictures
beside it in a folder of the same name. It names hardware and versions but no host, no user and no path,
so that it can be kept with the sources and read anywhere. Only runs on the real dataset are published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msgbench.analysis import scale
from msgbench.analysis.collect import read_dataset, read_run
from msgbench.analysis.collected import Dataset, Grid, Run
from msgbench.analysis.figures import LOSSES, thin
from msgbench.analysis.paper_rows import paper_row
from msgbench.analysis.report.pictures import grid_images, moments, png_bytes
from msgbench.analysis.score_records import Record
from msgbench.config import Benchmark, Tier
from msgbench.data.manifest import Manifest
from msgbench.errors import ResultsError
from msgbench.layout import Layout
from msgbench.protocols import Metric
from msgbench.records import atomic_file, write_text

MOST_LOSSES = 120
MOST_MOMENTS = 5
CROP_ROWS, CROP_COLUMNS = 2, 4


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Score(_Part):
    """One record's score."""

    protocol: str
    version: int
    title: str
    metric: Metric
    direction: Literal["lower", "higher"]
    extractor: str
    extractor_sha256: str
    cur_nimg: int | None = Field(description="images shown; None for what is no run's")
    value: float
    std: float | None


class Snapshot(_Part):
    """When a measured snapshot was taken."""

    cur_nimg: int
    seconds: float = Field(description="training time until then")


class Attempt(_Part):
    """One start of the training."""

    start_nimg: int
    end_nimg: int
    seconds: float
    device: str
    ended: str | None
    processes: int = Field(
        default=1,
        exclude_if=lambda count: count == 1,
        description="that shared it, each on a device of its own",
    )


class Picture(_Part):
    """One grid of fixed latents: a file in the folder beside the JSON, pixels as generated."""

    file: str
    cur_nimg: int
    scale: int
    whole: bool = Field(description="false: only the first images of the grid")
    sha256: str


class SourceFile(_Part):
    """One file that the dataset was read from."""

    name: str
    sha256: str


class Origin(_Part):
    """What records that were made in the same way have in common."""

    commit: str | None
    dirty: bool | None
    versions: dict[str, str]
    cpu: str
    device: str
    records: int
    first: str = Field(description="when the first of them was written, UTC")
    last: str


Scores = Annotated[tuple[Score, ...], Field(strict=False)]


class Published(_Part):
    """The content of results/published/EXPERIMENT.json."""

    schema_: Literal["msgbench.published/1"] = Field(default="msgbench.published/1", alias="schema")
    experiment: str
    seed: int
    tier: Tier
    run: str
    fingerprint: str
    spec: dict[str, Any] = Field(description="the resolved experiment, without local paths")
    scaled_down: Annotated[tuple[str, ...], Field(strict=False)]
    dataset: str
    split: str
    images: int
    published_images: int
    resolution: int
    dataset_form: str
    dataset_files: Annotated[tuple[SourceFile, ...], Field(strict=False)]
    dataset_fingerprint: str
    cur_nimg: int
    seconds: float
    images_per_second: float
    peak_memory_mb: float | None
    attempts: Annotated[tuple[Attempt, ...], Field(strict=False)]
    snapshots: Annotated[tuple[Snapshot, ...], Field(strict=False)]
    scores: Scores
    controls: Scores
    real: Scores
    losses: dict[str, list[float]] = Field(description="cur_nimg and losses, thinned")
    losses_lines: int = Field(description="lines of stats.jsonl behind a point, at most")
    pictures: Annotated[tuple[Picture, ...], Field(strict=False)]
    origins: Annotated[tuple[Origin, ...], Field(strict=False)]

    def to_json(self) -> str:
        """The text of the file."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Published:
        """The file at `path`; ResultsError when it is missing or broken."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ResultsError(
                f"{path}: no such published records; make them with `msgbench publish`"
            ) from None
        except OSError as error:
            raise ResultsError(f"{path}: cannot be read ({error.strerror})") from None
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"]))
            wrong = "is missing" if problem["type"] == "missing" else "has a wrong value"
            found = f"{where} {wrong}" if where else "it is not JSON"
            raise ResultsError(
                f"{path}: are no valid published records ({found}); make them with `msgbench publish`"
            ) from None


def publish(benchmark: Benchmark, layout: Layout, experiment: str) -> list[Path]:
    """Write the records and pictures of all runs of an experiment to results/published; returns the JSON files.

    Raises ResultsError, before anything is written, when a run or its dataset is not completely measured, or is a
    stand-in.
    """
    spec = benchmark.experiment(experiment)
    dataset = read_dataset(benchmark, spec.dataset, layout)
    if dataset.stand_in:
        raise ResultsError(
            f"{experiment}: its images are drawn by msgbench in place of {spec.dataset.name}, which is not "
            f"published; name your copy at datasets.{spec.dataset.name}.path"
        )
    runs = [
        read_run(benchmark.run(experiment, seed), layout, dataset.manifest) for seed in spec.seeds
    ]
    for run in runs:
        if run.reason is not None or dataset.manifest is None:
            raise ResultsError(f"{run.label}: cannot be published, it is {run.reason}")
    lacking = [p for p in spec.evaluation.protocols if dataset.control(p) is None]
    if lacking:
        raise ResultsError(
            f"{runs[0].label}: cannot be published, the control of {spec.dataset.name} is not measured by {lacking[0]}"
        )
    assert dataset.manifest is not None
    departures = _departures(benchmark, runs[0], dataset)
    files = [
        layout.published_json(experiment, None if run is runs[0] else run.plan.seed) for run in runs
    ]
    # The first one last: it is the file that the workflow waits for.
    for run, out in reversed(list(zip(runs, files, strict=True))):
        _write(run, dataset, dataset.manifest, departures, out)
    return files


def _write(
    run: Run, dataset: Dataset, manifest: Manifest, departures: tuple[str, ...], out: Path
) -> None:
    """One run's records to `out`, its pictures beside it."""
    assert run.train is not None
    pictures = {file: _crop(grid, whole) for file, grid, whole in _grids(run)}
    content = _published(run, dataset, manifest, run.train, pictures, departures)
    folder = out.with_suffix("")
    for file, picture in pictures.items():
        with atomic_file(folder / file) as stream:
            stream.write(picture)
    remove_other_pictures(folder, pictures)
    write_text(out, content.to_json())


def _departures(benchmark: Benchmark, run: Run, dataset: Dataset) -> tuple[str, ...]:
    """How the training is smaller than, or other than, that of the papers' row that it belongs beside."""
    spec, name = run.plan.spec, run.plan.experiment
    row = paper_row(benchmark, name, spec.method, spec.dataset.name, spec.optimizer.lr)
    printed = {}
    for column in ("real_images", "learning_rate"):
        stated = row.printed(column) if row is not None else None
        if stated is not None:
            printed[column] = stated
    published = benchmark.published.get(name)
    return scale.training_departures(spec, dataset, printed, published, in_paper=row is not None)


def remove_other_pictures(folder: Path, kept: Iterable[str]) -> None:
    """Remove the PNG files of `folder` that an earlier run left and that are not `kept`."""
    names = set(kept)
    for path in folder.glob("*.png"):
        if path.name not in names:
            path.unlink()


def _published(
    run: Run,
    dataset: Dataset,
    manifest: Manifest,
    train: Mapping[str, Any],
    pictures: Mapping[str, bytes],
    departures: tuple[str, ...],
) -> Published:
    plan, spec = run.plan, run.plan.spec
    wanted = spec.evaluation.protocols
    source = manifest.source
    named = source.files if source.archive is None else (source.archive,)
    losses, lines = _losses(run)
    memory = train.get("peak_memory_mb")
    own = [*run.records, *(r for r in (*dataset.controls, *dataset.real) if r.protocol in wanted)]
    return Published(
        schema="msgbench.published/1",
        experiment=plan.experiment,
        seed=plan.seed,
        tier=plan.tier,
        run=plan.run_id,
        fingerprint=plan.fingerprint,
        spec=spec.model_dump(mode="json", exclude={"dataset": {"path"}}),
        scaled_down=departures,
        dataset=manifest.name,
        split=manifest.split,
        images=manifest.count,
        published_images=source.expected_count,
        resolution=manifest.resolution,
        dataset_form=source.form,
        dataset_files=tuple(SourceFile(name=f.name, sha256=f.sha256) for f in named),
        dataset_fingerprint=manifest.fingerprint,
        cur_nimg=int(train["cur_nimg"]),
        seconds=run.seconds,
        images_per_second=float(train["images_per_second"]),
        peak_memory_mb=float(memory) if isinstance(memory, int | float) else None,
        attempts=tuple(
            Attempt(
                start_nimg=int(a["start_nimg"]),
                end_nimg=int(a["end_nimg"]),
                seconds=float(a["seconds"]),
                device=str(a["device"]),
                ended=a["ended"],
                processes=int(a.get("processes", 1)),
            )
            for a in train["attempts"]
        ),
        snapshots=tuple(
            Snapshot(cur_nimg=int(s["cur_nimg"]), seconds=float(s["seconds"]))
            for s in train["snapshots"]
        ),
        scores=tuple(_score(record) for protocol in wanted for record in run.of(protocol)),
        controls=tuple(_score(r) for p in wanted if (r := dataset.control(p)) is not None),
        real=tuple(_score(r) for p in wanted if (r := dataset.of(p)) is not None),
        losses=losses,
        losses_lines=lines,
        pictures=tuple(
            Picture(
                file=file,
                cur_nimg=grid.cur_nimg,
                scale=grid.scale,
                whole=whole,
                sha256=hashlib.sha256(pictures[file]).hexdigest(),
            )
            for file, grid, whole in _grids(run)
        ),
        origins=_origins([train.get("provenance") or {}, *(r.provenance for r in own)]),
    )


def _score(record: Record) -> Score:
    card, extractor = record.content["protocol"], record.content.get("extractor") or {}
    return Score(
        protocol=record.protocol,
        version=record.version,
        title=str(card.get("title", record.protocol)),
        metric=card["metric"],
        direction=card["direction"],
        extractor=record.extractor,
        extractor_sha256=str(extractor.get("sha256", "")),
        cur_nimg=record.cur_nimg,
        value=record.value,
        std=record.std,
    )


def _losses(run: Run) -> tuple[dict[str, list[float]], int]:
    """The columns of stats.jsonl that figures show, as means of equal numbers of lines."""
    columns = ["cur_nimg", *(name for name, _ in LOSSES if name in run.stats)]
    means, lines = thin(run.stats[columns], MOST_LOSSES)
    # Seven digits: what float32 holds, and all that a curve can show.
    return {name: [float(f"{y:.7g}") for y in means[name]] for name in columns}, lines


def _grids(run: Run) -> list[tuple[str, Grid, bool]]:
    """(file name, grid, whether all of it) of the pictures to publish."""
    lengths = moments([grid.cur_nimg for grid in run.grids], MOST_MOMENTS)
    chosen = [
        (f"crop-{grid.path.name.removeprefix('grid-')}", grid, False)
        for grid in run.grids
        if grid.cur_nimg in lengths
    ]
    if run.grids:
        last = run.grids[-1]  # sorted by length and scale: the largest scale at the end
        chosen.append((last.path.name, last, True))
    return chosen


def _crop(grid: Grid, whole: bool) -> bytes:
    images = grid_images(grid.path, grid.scale)
    if not whole:
        images = images[:CROP_ROWS, :CROP_COLUMNS]
    rows, columns, side = images.shape[:3]
    pixels = images.swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    return png_bytes(Image.fromarray(np.ascontiguousarray(pixels)))


def _origins(provenances: Iterable[Mapping[str, Any]]) -> tuple[Origin, ...]:
    """Each way that records came about, once."""
    found: dict[str, Origin] = {}
    for origin in provenances:
        if not origin:
            continue
        written = str(origin.get("written", ""))
        one = Origin(
            commit=origin.get("commit"),
            dirty=origin.get("dirty"),
            versions={str(k): str(v) for k, v in (origin.get("versions") or {}).items()},
            cpu=str(origin.get("cpu", "")),
            device=str(origin.get("device", "")),
            records=1,
            first=written,
            last=written,
        )
        key = one.model_dump_json(exclude={"records", "first", "last"})
        if key in found:
            before = found[key]
            one = before.model_copy(
                update={
                    "records": before.records + 1,
                    "first": min(before.first, written),
                    "last": max(before.last, written),
                }
            )
        found[key] = one
    return tuple(found.values())

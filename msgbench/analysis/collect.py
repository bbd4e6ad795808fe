"""Records below results/ -> what was run, what was measured, and what is missing and why.

What the tables of the benchmark need is read only from the folders that its present specs name: a run
of an edited experiment is another folder and is not seen. Experiments that no table shows are read from
whatever folders exist. A missing piece is a reason in words; a broken or foreign record is a
ResultsError that names the file.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from msgbench.config import Benchmark, DatasetSpec, RunSpec
from msgbench.data.manifest import Manifest
from msgbench.errors import ResultsError
from msgbench.layout import (
    EVALUATE_JSON,
    GRIDS,
    MANIFEST_JSON,
    METRICS,
    REAL_JSON,
    SPEC_JSON,
    STATS_JSONL,
    TRAIN_JSON,
    Layout,
    job_file,
)
from msgbench.protocols import PROTOCOLS, get_protocol
from msgbench.records import read_json
from msgbench.retention import Deleted, Taken, deleted_of

TRAIN_SCHEMA = "msgbench.train/1"
EVALUATE_SCHEMA = "msgbench.evaluate/1"
RECORD_SCHEMA = "msgbench.record/1"
MEASURED_SCHEMA = "msgbench.measured/1"
REAL_SCHEMA = "msgbench.real/2"

SCORE_COLUMNS = (
    "experiment", "seed", "run", "protocol", "version", "metric", "direction", "extractor",
    "cur_nimg", "value", "std", "file",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One measured score and the file that states it."""

    protocol: str
    version: int
    metric: str
    direction: str
    extractor: str
    cur_nimg: int | None
    """Images shown when the snapshot was taken; None for real images."""
    value: float
    std: float | None
    path: Path
    content: Mapping[str, Any]
    """The whole record."""

    def is_of(self, protocol: str) -> bool:
        """Whether the score was made by the present version of `protocol`: others are never shown under its name."""
        declared = PROTOCOLS.get(protocol)
        return self.protocol == protocol and (declared is None or self.version == declared.version)

    @property
    def table_value(self) -> float:
        """The score as tables show it: torch-fidelity's own FID where the record has it, else `value`.

        The two differ by rounding alone, which was checked when the record was made.
        """
        confirmed = self.content.get("torch_fidelity")
        return self.value if confirmed is None else _number(self.path, "torch_fidelity", confirmed)

    @property
    def parts(self) -> Mapping[str, float]:
        """What the score is made of (precision and recall); empty for most."""
        parts = self.content.get("parts")
        return parts if isinstance(parts, dict) else {}

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the score comes from; empty when the record does not say."""
        found = self.content.get("provenance")
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Grid:
    """A picture of fixed latents at one scale."""

    cur_nimg: int
    scale: int
    path: Path


@dataclass(frozen=True)
class Run:
    """One planned run and what its folder holds."""

    plan: RunSpec
    folder: Path
    train: Mapping[str, Any] | None
    records: tuple[Record, ...]
    grids: tuple[Grid, ...]
    job: Mapping[str, Any] | None
    deleted: tuple[Deleted, ...]
    """Snapshots that were deleted after measuring; their records stay."""
    reason: str | None
    """Why the run has no complete result; None when it is trained and measured."""

    @functools.cached_property
    def stats(self) -> pd.DataFrame:
        """stats.jsonl, one line a row, sorted by `cur_nimg`; empty when there is none.

        Read when first asked for: a published length has tens of thousands of lines, and no table needs them.
        """
        return read_stats(self.folder / STATS_JSONL)

    @property
    def run_id(self) -> str:
        return self.plan.run_id

    @property
    def label(self) -> str:
        """The run's name for people."""
        return f"{self.plan.experiment}, seed {self.plan.seed}"

    @property
    def seconds(self) -> float:
        """Training time over all attempts; 0 when it is not finished."""
        return float(self.train["seconds"]) if self.train is not None else 0.0

    @property
    def gpu_seconds(self) -> float:
        """`seconds`, each counted for every GPU in use; 0 on a CPU."""
        if self.train is None or not self.on_gpu:
            return 0.0
        # Records of versions that did not count them: a training has always used at most one.
        return float(self.train.get("gpu_seconds", self.seconds))

    @property
    def energy_joule(self) -> float | None:
        """What the GPUs took in all attempts; None when an attempt has not measured it."""
        attempts = (self.train or {}).get("attempts") or []
        found = [attempt.get("energy_joule") for attempt in attempts]
        known = [float(value) for value in found if isinstance(value, int | float)]
        return sum(known) if found and len(known) == len(found) else None

    @property
    def on_gpu(self) -> bool:
        """Whether the training ran on a GPU."""
        return any(not device.startswith("cpu") for device in self.devices)

    @property
    def devices(self) -> tuple[str, ...]:
        """Hardware of the attempts, each once, in order."""
        if self.train is None:
            return ()
        names = [str(attempt.get("device", "")) for attempt in self.train.get("attempts", [])]
        names.append(str((self.train.get("provenance") or {}).get("device", "")))
        return tuple(dict.fromkeys(name for name in names if name))

    def seconds_at(self, cur_nimg: int | None) -> float | None:
        """Training time when the snapshot of a length was taken; None when train.json does not say."""
        for snapshot in (self.train or {}).get("snapshots", []):
            if snapshot["cur_nimg"] == cur_nimg and isinstance(
                snapshot.get("seconds"), int | float
            ):
                return float(snapshot["seconds"])
        return None

    def of(self, protocol: str) -> tuple[Record, ...]:
        """Records of one protocol in its present version, by length of training."""
        return tuple(record for record in self.records if record.is_of(protocol))

    def gap(self, protocol: str) -> str | None:
        """Why the run has no complete result by one protocol; None when it has."""
        if self.train is None or not self.records:
            return self.reason
        return _gap(self.train, self.records, protocol)


@dataclass(frozen=True)
class Dataset:
    """One dataset, its store's manifest and the scores of its own images."""

    spec: DatasetSpec
    folder: Path
    manifest: Manifest | None
    real: tuple[Record, ...]
    controls: tuple[Record, ...]
    """Scores of the control `pixel-gaussian` of these images."""
    floors: tuple[Record, ...]
    """Scores of real images against real images; `content["floor"]` says which."""
    reason: str | None
    """Why the images have no scores; None when they are prepared and measured."""

    @property
    def stand_in(self) -> bool:
        """Whether the images are msgbench's own drawings instead of the dataset."""
        return self.manifest.stand_in if self.manifest else self.spec.is_stand_in

    def of(self, protocol: str) -> Record | None:
        """The score of the real images by one protocol."""
        return next((record for record in self.real if record.is_of(protocol)), None)

    def control(self, protocol: str) -> Record | None:
        """The score of the control by one protocol."""
        return next((record for record in self.controls if record.is_of(protocol)), None)


@dataclass(frozen=True)
class Missing:
    """A piece of the benchmark that has no result, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class OtherRun:
    """A run that no table shows, found in the results folder, with the dataset it was trained on."""

    run: Run
    dataset: Dataset
    current: bool
    """Whether its spec is the one that config.yaml has now, apart from where the images come from."""


@dataclass(frozen=True)
class Collection:
    """Everything the tables of a benchmark need, as far as it exists."""

    benchmark: Benchmark
    layout: Layout
    runs: tuple[Run, ...]
    datasets: dict[str, Dataset]
    others: tuple[OtherRun, ...] = ()

    def runs_of(self, experiment: str) -> tuple[Run, ...]:
        """The planned runs of one experiment, in the order of its seeds."""
        return tuple(run for run in self.runs if run.plan.experiment == experiment)

    def missing(self) -> tuple[Missing, ...]:
        """Runs and datasets without a complete result."""
        found = [Missing(f"run {run.label}", run.reason) for run in self.runs if run.reason]
        for name, dataset in self.datasets.items():
            if dataset.reason:
                found.append(Missing(f"real images of {name}", dataset.reason))
        return tuple(found)

    def scores(self) -> pd.DataFrame:
        """All scores of all runs, one a row, columns SCORE_COLUMNS; `file` is relative to the tier's folder."""
        rows = [
            (
                run.plan.experiment, run.plan.seed, run.run_id, record.protocol, record.version, record.metric,
                record.direction, record.extractor, record.cur_nimg, record.value, record.std,
                record.path.relative_to(self.layout.root).as_posix(),
            )
            for run in self.runs
            for record in run.records
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def collect(
    benchmark: Benchmark, layout: Layout, tables: Sequence[str] | None = None
) -> Collection:
    """Read what exists of `tables` of `benchmark` (None: those of the target `all`) below `layout`.

    Raises ResultsError for a record that is broken, of another schema or of another run.
    """
    datasets = {
        name: read_dataset(benchmark, benchmark.dataset(name), layout)
        for name in benchmark.table_datasets(tables)
    }
    runs = []
    for experiment in benchmark.table_experiments(tables):
        spec = benchmark.experiment(experiment)
        for seed in spec.seeds:
            plan = benchmark.run(experiment, seed)
            runs.append(read_run(plan, layout, datasets[spec.dataset.name].manifest))
    return Collection(benchmark, layout, tuple(runs), datasets, read_others(benchmark, layout))


def read_others(benchmark: Benchmark, layout: Layout) -> tuple[OtherRun, ...]:
    """Every started training of the experiments that no table shows, of present and of earlier specs."""
    shown = benchmark.table_experiments()
    found = []
    for folder in layout.run_dirs(name for name in benchmark.experiments if name not in shown):
        if not any((folder / file).is_file() for file in (TRAIN_JSON, STATS_JSONL)):
            continue
        plan = RunSpec.read(folder)
        if folder != layout.run_dir(plan.experiment, plan.fingerprint, plan.seed):
            raise ResultsError(f"{folder / SPEC_JSON}: is the spec of {plan.run_id}")
        dataset = read_dataset(benchmark, plan.spec.dataset, layout)
        run = read_run(plan, layout, dataset.manifest)
        # The same experiment on another copy or a stand-in is no earlier spec.
        present = benchmark.experiment(plan.experiment).model_copy(
            update={"dataset": plan.spec.dataset}
        )
        found.append(OtherRun(run, dataset, present.fingerprint == plan.fingerprint))
    return tuple(found)


def read_run(plan: RunSpec, layout: Layout, manifest: Manifest | None) -> Run:
    """What the folder of one planned run holds; `manifest` is that of its dataset's store, if there is one."""
    folder = layout.run_dir(plan.experiment, plan.fingerprint, plan.seed)
    train = _optional(folder / TRAIN_JSON, TRAIN_SCHEMA)
    if train is not None:
        _check_train(folder / TRAIN_JSON, train, plan, manifest)
    records = _read_evaluation(folder, plan) if train is not None else ()
    return Run(
        plan=plan,
        folder=folder,
        train=train,
        records=records,
        grids=read_grids(folder / GRIDS),
        job=_read_object(folder / job_file("train"))
        if (folder / job_file("train")).is_file()
        else None,
        deleted=_deleted(folder, train),
        reason=_run_reason(folder, plan, train, records),
    )


def _deleted(folder: Path, train: Mapping[str, Any] | None) -> tuple[Deleted, ...]:
    """The snapshots of a finished training that are gone and accounted for, by length."""
    if train is None:
        return ()
    taken = [
        Taken(str(entry.get("file")), int(entry["cur_nimg"]), str(entry.get("sha256")))
        for entry in train["snapshots"]
    ]
    return tuple(entry for _, entry in sorted(deleted_of(folder, taken).items()))


def _run_reason(
    folder: Path,
    plan: RunSpec,
    train: Mapping[str, Any] | None,
    records: tuple[Record, ...],
) -> str | None:
    if not (folder / SPEC_JSON).is_file():
        left_out = plan.spec.dataset.left_out
        return "not planned" if left_out is None else f"left out: {left_out}"
    RunSpec.read(folder)  # refuses a spec that was edited by hand
    if train is None:
        total = plan.spec.schedule.total_nimg
        stats = read_stats(folder / STATS_JSONL)
        if stats.empty:
            return "planned, not trained"
        reached = int(stats["cur_nimg"].iloc[-1])
        return f"not trained to the end, {reached:,} of {total:,} images were shown"
    if not (folder / EVALUATE_JSON).is_file():
        started = sum(1 for _ in (folder / METRICS).rglob("*.json"))
        return "trained, not measured" + (f" to the end ({started} records)" if started else "")
    return _first_gap(plan, train, records)


def _first_gap(plan: RunSpec, train: Mapping[str, Any], records: tuple[Record, ...]) -> str | None:
    """The first protocol of the present config that has no complete measurement, in words."""
    for name in plan.spec.evaluation.protocols:
        gap = _gap(train, records, name)
        if gap is not None:
            return gap
    return None


def _gap(train: Mapping[str, Any], records: Iterable[Record], name: str) -> str | None:
    """What is missing of one protocol's measurements of a finished training; None when nothing is."""
    version = get_protocol(name).version
    found = [record for record in records if record.protocol == name]
    if not found:
        return f"trained, not measured by {name}"
    old = {record.version for record in found} - {version}
    if old:
        return f"trained, measured by version {min(old)} of {name}; version {version} is needed"
    wanted = {int(snapshot["cur_nimg"]) for snapshot in train["snapshots"]}
    absent = wanted - {record.cur_nimg for record in found}
    if absent:
        return f"trained, {len(wanted) - len(absent)} of {len(wanted)} snapshots measured by {name}"
    return None


def _check_train(
    path: Path, train: Mapping[str, Any], plan: RunSpec, manifest: Manifest | None
) -> None:
    _same(path, "run", train.get("run"), plan.run_id)
    _same(path, "fingerprint", train.get("fingerprint"), plan.fingerprint)
    if manifest is not None:
        _same(path, "dataset_fingerprint", train.get("dataset_fingerprint"), manifest.fingerprint)
    _number(path, "seconds", train.get("seconds"))
    snapshots = train.get("snapshots")
    if not isinstance(snapshots, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("cur_nimg"), int) for entry in snapshots
    ):
        raise ResultsError(f"{path}: snapshots is not a list of snapshots with their cur_nimg")


def _read_evaluation(folder: Path, plan: RunSpec) -> tuple[Record, ...]:
    """The records that evaluate.json lists, each checked against it; none when it does not exist."""
    path = folder / EVALUATE_JSON
    evaluation = _optional(path, EVALUATE_SCHEMA)
    if evaluation is None:
        return ()
    _same(path, "run", evaluation.get("run"), plan.run_id)
    lines = evaluation.get("records")
    if not isinstance(lines, list):
        raise ResultsError(f"{path}: records is {lines!r}, a list of measured records is needed")
    records = []
    for line in lines:
        if not isinstance(line, dict) or not isinstance(line.get("file"), str):
            raise ResultsError(f"{path}: records holds {line!r}, an object with a file is needed")
        file = folder / line["file"]
        if not file.is_file():
            raise ResultsError(
                f"{file}: is listed in {EVALUATE_JSON} but does not exist; measure the run again"
            )
        content = _optional(file, RECORD_SCHEMA)
        assert content is not None
        record = read_record(file, content)
        _same(file, "run", content.get("run"), plan.run_id)
        if record.cur_nimg is None:
            raise ResultsError(f"{file}: cur_nimg is missing, a record of a run has one")
        if record.value != line.get("value"):
            raise ResultsError(
                f"{file}: value is {record.value!r}, {EVALUATE_JSON} says {line.get('value')!r}"
            )
        records.append(record)
    return tuple(sorted(records, key=lambda record: (record.protocol, record.cur_nimg)))


def read_record(path: Path, content: Mapping[str, Any]) -> Record:
    """The record `content` that stands in the file `path`; ResultsError when a field is not of its kind."""
    protocol = content.get("protocol")
    if not isinstance(protocol, dict):
        raise ResultsError(f"{path}: protocol is {protocol!r}, the card of a protocol is needed")
    for key, kind in (("name", str), ("version", int), ("metric", str), ("direction", str)):
        if not isinstance(protocol.get(key), kind):
            raise ResultsError(
                f"{path}: protocol.{key} is {protocol.get(key)!r}, {kind.__name__} is needed"
            )
    extractor = content.get("extractor")
    name = extractor.get("name") if isinstance(extractor, dict) else protocol.get("extractor")
    if not isinstance(name, str):
        raise ResultsError(
            f"{path}: extractor.name is {name!r}, the name of a feature extractor is needed"
        )
    cur_nimg = content.get("cur_nimg")
    if cur_nimg is not None and not isinstance(cur_nimg, int):
        raise ResultsError(f"{path}: cur_nimg is {cur_nimg!r}, a number of images is needed")
    std = content.get("std")
    return Record(
        protocol=protocol["name"],
        version=protocol["version"],
        metric=protocol["metric"],
        direction=protocol["direction"],
        extractor=name,
        cur_nimg=cur_nimg,
        value=_number(path, "value", content.get("value")),
        std=None if std is None else _number(path, "std", std),
        path=path,
        content=content,
    )


def read_stats(path: Path) -> pd.DataFrame:
    """The numbers of a stats.jsonl, sorted by `cur_nimg`; an empty frame when there is no file.

    A killed training may leave half a last line, which is dropped, and a resumed one states some
    lengths again: the later line holds.
    """
    if not path.is_file():
        return pd.DataFrame({"cur_nimg": pd.Series(dtype="int64")})
    rows = _stated_lines(path)
    by_length = {row["cur_nimg"]: row for row in rows}
    kept = rows if len(by_length) == len(rows) else list(by_length.values())
    if not kept:
        return pd.DataFrame({"cur_nimg": pd.Series(dtype="int64")})
    keys = dict.fromkeys(key for row in kept for key in row)
    columns = {key: [row.get(key) for row in kept] for key in keys}
    numeric = {key: values for key, values in columns.items() if _is_numeric(values)}
    return pd.DataFrame(numeric).sort_values("cur_nimg", ignore_index=True)


def _stated_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a stats.jsonl in the order of its lines."""
    lines = path.read_bytes().splitlines()
    try:
        # At once: a published length has tens of thousands of lines.
        rows: list[dict[str, Any]] = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(json.loads(line))
            except ValueError:
                if number == len(lines):
                    break
                raise ResultsError(f"{path}: line {number} is not valid JSON") from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or type(row.get("cur_nimg")) is not int:
            raise ResultsError(f"{path}: line {number} has no cur_nimg")
    return rows


def _is_numeric(values: list[Any]) -> bool:
    """Whether a column holds numbers alone, as far as lines have it."""
    return {type(value) for value in values} <= {int, float, type(None)}


def read_grids(folder: Path) -> tuple[Grid, ...]:
    """The grids of fixed latents in `folder`, by length and scale; files of other names are left out."""
    grids = []
    for path in folder.glob("grid-*px.png"):
        _, nimg, scale = path.stem.split("-") if path.stem.count("-") == 2 else ("", "", "")
        if nimg.isdigit() and scale.removesuffix("px").isdigit():
            grids.append(Grid(int(nimg), int(scale.removesuffix("px")), path))
    return tuple(sorted(grids, key=lambda grid: (grid.cur_nimg, grid.scale)))


def read_dataset(benchmark: Benchmark, spec: DatasetSpec, layout: Layout) -> Dataset:
    """A dataset's manifest and the scores of its own images and control, as far as they exist."""
    folder = layout.dataset_dir(spec.name, spec.fingerprint)
    path = folder / MANIFEST_JSON
    manifest = Manifest.read(path) if path.is_file() else None
    images, controls, floors = (
        _read_real(folder / REAL_JSON, key) for key in ("records", "controls", "floors")
    )
    # Scores of an earlier store in the same place: its images are gone.
    if manifest is not None:
        own = (None, manifest.fingerprint)
        images = tuple(record for record in images if _dataset_of(record) in own)
        controls = tuple(record for record in controls if _dataset_of(record) in own)
        floors = tuple(record for record in floors if _dataset_of(record) in own)
    reason: str | None
    if manifest is None:
        reason = "not prepared" if spec.left_out is None else f"left out: {spec.left_out}"
    elif not images:
        reason = "prepared, not measured"
    else:
        reason = _real_gap(benchmark, spec.name, images)
    return Dataset(spec, folder, manifest, images, controls, floors, reason)


def _read_real(path: Path, key: str) -> tuple[Record, ...]:
    """The records that stand in the list `key` of a real.json; none when there is no file."""
    content = _optional(path, REAL_SCHEMA)
    if content is None:
        return ()
    listed = content.get(key, [] if key == "floors" else None)
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise ResultsError(f"{path}: {key} is not a list of measured records")
    return tuple(read_record(path, entry) for entry in listed)


def read_measured(path: Path) -> tuple[Record, ...]:
    """The records of a file that `evaluate --images` or `--snapshot` wrote; ResultsError when it is no such file."""
    content = _optional(path, MEASURED_SCHEMA)
    if content is None:
        raise ResultsError(
            f"{path}: no such record; make it with `msgbench evaluate --images` or `--snapshot`"
        )
    listed = content.get("records")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise ResultsError(f"{path}: records is not a list of measured records")
    return tuple(read_record(path, entry) for entry in listed)


def _dataset_of(record: Record) -> str | None:
    """Fingerprint of the images that a record is about; None when it does not say."""
    dataset = record.content.get("dataset")
    fingerprint = dataset.get("fingerprint") if isinstance(dataset, dict) else None
    return fingerprint if isinstance(fingerprint, str) else None


def _real_gap(benchmark: Benchmark, dataset: str, records: Iterable[Record]) -> str | None:
    """What is missing of the scores that the tables' real-images rows need."""
    found = {(record.protocol, record.version) for record in records}
    for table in benchmark.tables.values():
        if not any(row.real_images == dataset for row in table.rows):
            continue
        for name in (table.protocol, *table.also):
            protocol = get_protocol(name)
            # FID and KID compare with these very images.
            if protocol.metric == "is" and (name, protocol.version) not in found:
                return f"prepared, not measured by version {protocol.version} of {name}"
    return None


def _optional(path: Path, schema: str) -> Mapping[str, Any] | None:
    """The JSON object in `path` when it carries `schema`; None when there is no file."""
    if not path.is_file():
        return None
    content = _read_object(path)
    if content.get("schema") != schema:
        raise ResultsError(f"{path}: schema is {content.get('schema')!r}, {schema!r} is needed")
    return content


def _read_object(path: Path) -> Mapping[str, Any]:
    try:
        content = read_json(path)
    except ValueError as error:
        raise ResultsError(str(error)) from None
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror})") from None
    if not isinstance(content, dict):
        raise ResultsError(f"{path}: holds {type(content).__name__}, an object is needed")
    return content


def _same(path: Path, key: str, found: object, wanted: str) -> None:
    if found != wanted:
        raise ResultsError(f"{path}: {key} is {found!r}, the folder is that of {wanted!r}")


def _number(path: Path, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ResultsError(f"{path}: {key} is {value!r}, a finite number is needed")
    return float(value)

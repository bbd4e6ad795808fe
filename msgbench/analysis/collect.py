"""Records below results/ -> what was run, what was measured, and what is missing and why.

What the tables of the benchmark need is read only from the folders that its present specs name: a run
of an edited experiment is another folder and is not seen. Experiments that no table shows are read from
whatever folders exist. A missing piece is a reason in words; a broken or foreign record is a
ResultsError that names the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgbench.analysis.collected import Collection, Dataset, Grid, OtherRun, Run
from msgbench.analysis.gaps import real_gap, run_reason
from msgbench.analysis.score_records import (
    EVALUATE_SCHEMA,
    REAL_SCHEMA,
    RECORD_SCHEMA,
    TRAIN_SCHEMA,
    Record,
    read_content,
    read_object,
    read_record,
    require_number,
    require_same,
)
from msgbench.config import Benchmark, DatasetSpec, RunSpec
from msgbench.data.manifest import Manifest
from msgbench.errors import ResultsError
from msgbench.layout import (
    EVALUATE_JSON,
    GRIDS,
    MANIFEST_JSON,
    REAL_JSON,
    SPEC_JSON,
    STATS_JSONL,
    TRAIN_JSON,
    Layout,
    job_file,
)
from msgbench.retention import Deleted, Taken, deleted_of


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
    train = read_content(folder / TRAIN_JSON, TRAIN_SCHEMA)
    if train is not None:
        _check_train(folder / TRAIN_JSON, train, plan, manifest)
    records = _read_evaluation(folder, plan) if train is not None else ()
    return Run(
        plan=plan,
        folder=folder,
        train=train,
        records=records,
        grids=read_grids(folder / GRIDS),
        job=read_object(folder / job_file("train"))
        if (folder / job_file("train")).is_file()
        else None,
        deleted=_deleted(folder, train),
        reason=run_reason(folder, plan, train, records),
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


def _check_train(
    path: Path, train: Mapping[str, Any], plan: RunSpec, manifest: Manifest | None
) -> None:
    require_same(path, "run", train.get("run"), plan.run_id)
    require_same(path, "fingerprint", train.get("fingerprint"), plan.fingerprint)
    if manifest is not None:
        require_same(
            path, "dataset_fingerprint", train.get("dataset_fingerprint"), manifest.fingerprint
        )
    require_number(path, "seconds", train.get("seconds"))
    snapshots = train.get("snapshots")
    if not isinstance(snapshots, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("cur_nimg"), int) for entry in snapshots
    ):
        raise ResultsError(f"{path}: snapshots is not a list of snapshots with their cur_nimg")


def _read_evaluation(folder: Path, plan: RunSpec) -> tuple[Record, ...]:
    """The records that evaluate.json lists, each checked against it; none when it does not exist."""
    path = folder / EVALUATE_JSON
    evaluation = read_content(path, EVALUATE_SCHEMA)
    if evaluation is None:
        return ()
    require_same(path, "run", evaluation.get("run"), plan.run_id)
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
        content = read_content(file, RECORD_SCHEMA)
        assert content is not None
        record = read_record(file, content)
        require_same(file, "run", content.get("run"), plan.run_id)
        if record.cur_nimg is None:
            raise ResultsError(f"{file}: cur_nimg is missing, a record of a run has one")
        if record.value != line.get("value"):
            raise ResultsError(
                f"{file}: value is {record.value!r}, {EVALUATE_JSON} says {line.get('value')!r}"
            )
        records.append(record)
    return tuple(sorted(records, key=lambda record: (record.protocol, record.cur_nimg)))


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
        reason = real_gap(benchmark, spec.name, images)
    return Dataset(spec, folder, manifest, images, controls, floors, reason)


def _read_real(path: Path, key: str) -> tuple[Record, ...]:
    """The records that stand in the list `key` of a real.json; none when there is no file."""
    content = read_content(path, REAL_SCHEMA)
    if content is None:
        return ()
    listed = content.get(key, [] if key == "floors" else None)
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise ResultsError(f"{path}: {key} is not a list of measured records")
    return tuple(read_record(path, entry) for entry in listed)


def _dataset_of(record: Record) -> str | None:
    """Fingerprint of the images that a record is about; None when it does not say."""
    dataset = record.content.get("dataset")
    fingerprint = dataset.get("fingerprint") if isinstance(dataset, dict) else None
    return fingerprint if isinstance(fingerprint, str) else None

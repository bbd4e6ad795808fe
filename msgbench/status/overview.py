"""All runs of a tier at one moment: those of the config, those that no spec names any more, and Slurm's jobs."""

from __future__ import annotations

import glob
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from msgbench.config import Benchmark
from msgbench.launch.queue import Answer, JobState, QueueSilent, shared_answer
from msgbench.launch.slurm_jobs import job_name
from msgbench.layout import JOBS, Layout, short
from msgbench.status.runs import RUN_STATES, Planned, RunState, RunStatus, read_plan, read_run
from msgbench.status.work import Work, work_of

# A controller that is away makes squeue wait for it; whoever looks does not.
_PATIENCE_SECONDS = 8.0


@dataclass(frozen=True)
class OtherWork:
    """The job of a rule that belongs to no run: a preparation, a measurement of real images."""

    folder: Path
    work: Work


@dataclass(frozen=True)
class LostJob:
    """A living Slurm job of this results folder that no record names."""

    task: str
    job_id: str
    job: JobState
    folder: Path
    """What it works for; it may not exist any more."""


@dataclass(frozen=True)
class Overview:
    """Everything that `status` shows."""

    tier: str
    runs: tuple[RunStatus, ...]
    """Of the present config: what the tables show, and what else was started."""
    orphans: tuple[RunStatus, ...]
    """Folders that no spec of the config names any more."""
    others: tuple[OtherWork, ...]
    lost_jobs: tuple[LostJob, ...]
    """Those for folders that neither the config nor the disk knows."""
    problem: str
    """Why Slurm was not heard; "" when it was, or need not be."""
    asked: float | None
    """When Slurm gave its answer, in seconds since 1970; None when it was not asked."""

    @property
    def counts(self) -> dict[RunState, int]:
        """Number of runs of the config by state, in the order of RUN_STATES."""
        found = Counter(run.state for run in self.runs)
        return {state: found[state] for state in RUN_STATES if found[state]}

    @property
    def has_failed(self) -> bool:
        """Whether something of the config failed and nobody works on it."""
        return any(run.state == "failed" for run in self.runs) or any(
            other.work.state == "failed" for other in self.others
        )


def look(benchmark: Benchmark, layout: Layout) -> Overview:
    """Look at all runs of the benchmark's tier now."""
    planned = plans(benchmark, layout)
    job_folders = [path.parent.parent for path in layout.root.glob(f"{JOBS}/*/{JOBS}/*.json")]
    answer, problem = _slurm([*(plan.folder for plan in planned), *job_folders])
    queue = answer or (None if problem else Answer(time.time(), {}))
    statuses = [read_run(plan, queue) for plan in planned]
    shown = set(benchmark.table_experiments())
    others = [
        OtherWork(folder, work)
        for folder in sorted(set(job_folders))
        for task in ("prepare", "evaluate")
        if (work := work_of(folder, task, queue)) is not None and work.state != "succeeded"
    ]
    known = {s.work.job_id for s in statuses if s.work} | {o.work.job_id for o in others}
    lost = list(_lost(answer, known, layout)) if answer is not None else []
    for job in lost:
        for place, status in enumerate(statuses):
            if status.plan.folder == job.folder:
                found = {job.task: (job.job_id, job.job)}
                statuses[place] = read_run(status.plan, queue, found)
    folders = {plan.folder for plan in planned}
    return Overview(
        tier=benchmark.tier,
        runs=tuple(
            status
            for status in statuses
            if status.plan.current
            and (status.plan.experiment in shown or status.state != "not started")
        ),
        orphans=tuple(status for status in statuses if not status.plan.current),
        others=tuple(others),
        lost_jobs=tuple(job for job in lost if job.folder not in folders),
        problem=problem,
        asked=answer.time if answer is not None else None,
    )


def plans(benchmark: Benchmark, layout: Layout) -> list[Planned]:
    """All runs that the config names or that have a folder; the config's first, in its order."""
    found: dict[Path, Planned] = {}
    for name, spec in benchmark.experiments.items():
        for seed in spec.seeds:
            folder = layout.run_dir(name, spec.fingerprint, seed)
            found[folder] = Planned(
                experiment=name,
                fingerprint=short(spec.fingerprint),
                seed=seed,
                folder=folder,
                total_nimg=spec.schedule.total_nimg,
                protocols=spec.evaluation.protocols,
                current=True,
                spec=spec if spec.growing is not None else None,
            )
    for folder in layout.every_run_dir():
        if folder not in found:
            found[folder] = read_plan(folder, current=False)
    return list(found.values())


def _slurm(folders: Iterable[Path]) -> tuple[Answer | None, str]:
    """(Slurm's answer, why there is none): both empty where no Slurm is and no job needs one."""
    wanted = any(
        _names_slurm(Path(record))
        for folder in folders
        # Not Path.glob, which raises below a folder that must not be entered.
        for record in glob.glob(f"{glob.escape(str(folder / JOBS))}/*.json")
    )
    if shutil.which("squeue") is None:
        return None, "squeue is not on PATH" if wanted else ""
    answers: list[Answer] = []
    problems: list[str] = []

    def ask() -> None:
        try:
            answers.append(shared_answer())
        except QueueSilent as silent:
            problems.append(str(silent))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE_SECONDS)
    if answers:
        return answers[0], ""
    problem = problems[0] if problems else f"no answer in {_PATIENCE_SECONDS:g} s"
    return None, problem if wanted else ""


def _names_slurm(record: Path) -> bool:
    try:
        return b'"launcher": "slurm"' in record.read_bytes()
    except OSError:
        return False  # what cannot be read says so where its run is shown


_RUN_LABEL = re.compile(r"msgbench-(train|evaluate)-(.+)-([0-9a-f]{8})-seed(\d+)-[0-9a-f]{8}")


def _lost(answer: Answer, known: set[str], layout: Layout) -> Iterable[LostJob]:
    """Living jobs without a record whose name is that of a folder below `layout`."""
    strangers = {n: job for n, job in answer.jobs.items() if n not in known and not job.is_final}
    if not strangers:
        return
    for number, job in strangers.items():
        match = _RUN_LABEL.fullmatch(job.name)
        if match is None:
            continue
        task, experiment, fingerprint, seed = match.groups()
        folder = layout.run_dir(experiment, fingerprint, seed)
        if job_name(folder, task) == job.name:
            yield LostJob(task, number, job, folder)


def seconds_since(moment: float) -> float:
    """Seconds from `moment` (since 1970) to now."""
    return max(0.0, time.time() - moment)

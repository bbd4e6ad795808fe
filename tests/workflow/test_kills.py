"""The whole workflow, killed for real at random points: the same command goes on and ends with the same bits."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from msgbench.layout import EVALUATE_JSON, REAL_JSON, STATS_JSONL, TRAIN_JSON

from .conftest import SNAKEMAKE, Project, copy_workflow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# What a clock or a meter measured, and nothing else, may differ between two runs of the same spec: columns named by
# their unit (cpu_hours, hours_at_best_seed0, energy_kwh, ...).
MEASURED_ANEW = ("hours", "seconds", "kwh")


class Workflow:
    """`snakemake --cores 2 all` (or another target) in a session of its own, as from a terminal."""

    def __init__(self, project: Project, *arguments: str, target: str = "all") -> None:
        self.project = project
        self.said = project.folder / "said.txt"
        with self.said.open("a") as file:
            self.process = subprocess.Popen(
                [SNAKEMAKE, "--cores", "2", target, *arguments],
                cwd=project.folder,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in `... &`
            )

    def end(self) -> int:
        return self.process.wait(timeout=600)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Everything that was started in `folder` or below, orphans too."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def running(folder: Path, wanted: str, without: tuple[str, ...] = ("-c",)) -> list[psutil.Process]:
    """Processes in `folder` with the word `wanted` in their command line; shells (-c) are left out."""
    found = []
    for process in processes_in(folder):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if wanted in words and not set(without) & set(words):
            found.append(process)
    return found


def trainings_in(folder: Path) -> list[psutil.Process]:
    """The trainings themselves, without what launched them."""
    return running(folder, "train", without=("-c", "launch"))


@contextlib.contextmanager
def held(project: Project) -> Iterator[list[psutil.Process]]:
    """The trainings that run now stand still in the block; yields those whose run is not done."""
    stopped = []
    for training in trainings_in(project.folder):
        with contextlib.suppress(psutil.NoSuchProcess):
            training.suspend()
            stopped.append(training)
    try:
        yield [
            one for one in stopped if stands_still(one) and not (run_of(one) / TRAIN_JSON).exists()
        ]
    finally:
        for training in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                training.resume()


def stands_still(process: psutil.Process) -> bool:
    """Waits until the process has taken its SIGSTOP; False when its end was quicker."""
    with contextlib.suppress(psutil.NoSuchProcess):
        while (status := process.status()) != psutil.STATUS_ZOMBIE:
            if status == psutil.STATUS_STOPPED:
                return True
            time.sleep(0.01)
    return False


def run_of(training: psutil.Process) -> Path:
    words = training.cmdline()
    return Path(training.cwd()) / words[words.index("train") + 1]


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def results_of(project: Project) -> dict[str, Any]:
    """Everything that two runs of the same spec have in common, to the last bit."""
    import torch

    layout, benchmark = project.layout, project.benchmark
    found: dict[str, Any] = {}
    for name in benchmark.table_experiments():
        folder = project.run_dir(name)
        train = json.loads((folder / TRAIN_JSON).read_text())
        found[f"{name}: snapshots"] = [
            (entry["file"], entry["sha256"]) for entry in train["snapshots"]
        ]
        found[f"{name}: measured"] = json.loads((folder / EVALUATE_JSON).read_text())["records"]
        newest = max((folder / "states").glob("*.pt"))
        state = torch.load(newest, weights_only=True)
        found[f"{name}: state"] = (newest.name, flat(state["networks"]))
        lines = [json.loads(line) for line in (folder / STATS_JSONL).read_text().splitlines()]
        found[f"{name}: losses"] = [(line["cur_nimg"], line["loss_d"]) for line in lines]
    for name in benchmark.table_datasets():
        store = layout.dataset_dir(name, benchmark.datasets[name].fingerprint)
        records = json.loads((store / REAL_JSON).read_text())["records"]
        found[f"{name}: real"] = [
            (record["protocol"]["name"], record["value"]) for record in records
        ]
    for name in benchmark.tables:
        with layout.table_csv(name).open() as file:
            rows = [
                {k: v for k, v in row.items() if not set(k.split("_")) & set(MEASURED_ANEW)}
                for row in csv.DictReader(file)
            ]
        found[name] = rows
    assert layout.report_html.exists()
    return found


def flat(tree: Any) -> Any:
    """Nested state as comparable values: tensors as their bytes."""
    if isinstance(tree, dict):
        return {key: flat(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [flat(value) for value in tree]
    return tree.numpy().tobytes() if hasattr(tree, "numpy") else tree


@pytest.fixture(scope="module")
def uninterrupted(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], float]:
    """Results and seconds of a workflow that nobody disturbed."""
    folder = tmp_path_factory.mktemp("calm") / "bench"
    project = copy_workflow(root, folder, root / "tests" / "workflow" / "config.yaml")
    began = time.monotonic()
    workflow = Workflow(project)
    assert workflow.end() == 0, workflow.said.read_text()[-3000:]
    return results_of(project), time.monotonic() - began


@pytest.fixture
def disturbed(project: Project) -> Iterator[Project]:
    yield project
    kill(processes_in(project.folder))


@pytest.fixture
def chance() -> random.Random:
    """Other points every time; the seed is shown when a test fails."""
    seed = int(os.environ.get("MSGBENCH_KILL_SEED", random.SystemRandom().randrange(10**6)))
    print(f"to see the same kills again: MSGBENCH_KILL_SEED={seed}")
    return random.Random(seed)


def wait_for(condition: Callable[[], bool], workflow: Workflow) -> bool:
    """Whether `condition` came true before the workflow ended."""
    while workflow.process.poll() is None:
        if condition():
            return True
        time.sleep(0.02)
    return False


def assert_same(project: Project, expected: dict[str, Any]) -> None:
    found = results_of(project)
    assert found.keys() == expected.keys()
    for what, value in expected.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for row, (ours, theirs) in enumerate(zip(found[what], value, strict=True)):
                different = {
                    k: (ours.get(k), theirs.get(k)) for k in ours if ours[k] != theirs.get(k)
                }
                assert not different, f"{what}, row {row}"
        assert found[what] == value, what


def test_kill_9_of_everything_at_random_points(
    disturbed: Project, uninterrupted: tuple[dict[str, Any], float], chance: random.Random
) -> None:
    expected, seconds = uninterrupted
    for _ in range(4):
        workflow = Workflow(disturbed)
        time.sleep(chance.uniform(0.5, 0.6 * seconds))
        kill(processes_in(disturbed.folder))
        workflow.end()
    workflow = Workflow(disturbed)
    assert workflow.end() == 0, workflow.said.read_text()[-3000:]
    assert_same(disturbed, expected)


def test_kill_9_of_snakemake_alone_leaves_orphans_that_are_waited_for(
    disturbed: Project, uninterrupted: tuple[dict[str, Any], float], chance: random.Random
) -> None:
    expected, _ = uninterrupted
    workflow = Workflow(disturbed)
    assert wait_for(lambda: bool(trainings_in(disturbed.folder)), workflow)
    time.sleep(chance.uniform(0, 5))
    workflow.process.kill()
    workflow.end()
    with held(disturbed) as orphans:
        again = Workflow(disturbed)
        waited = not orphans or wait_for(
            lambda: "is already running" in again.said.read_text(), again
        )
    assert waited, again.said.read_text()[-3000:]
    assert again.end() == 0, again.said.read_text()[-3000:]
    said = again.said.read_text()
    assert "a killed Snakemake had left its lock here; it is removed, the work goes on" in said
    assert_same(disturbed, expected)
    for name in disturbed.benchmark.table_experiments():
        lines = (disturbed.run_dir(name) / STATS_JSONL).read_text().splitlines()
        shown = [json.loads(line)["cur_nimg"] for line in lines]
        assert shown == sorted(set(shown))  # one writer: no length twice, none out of order


def test_kill_9_of_the_trainings_fails_their_jobs_and_the_same_command_goes_on(
    disturbed: Project, uninterrupted: tuple[dict[str, Any], float], chance: random.Random
) -> None:
    expected, _ = uninterrupted
    killed = 0
    for _ in range(3):
        workflow = Workflow(disturbed)
        if not wait_for(lambda: bool(trainings_in(disturbed.folder)), workflow):
            break
        time.sleep(chance.uniform(0, 6))
        with held(disturbed) as victims:
            kill(victims)
        killed += len(victims)
        code = workflow.end()
        assert (code != 0) == bool(victims)
        assert ("was killed (SIGKILL)" in workflow.said.read_text()) == (killed > 0)
    workflow = Workflow(disturbed)
    assert workflow.end() == 0, workflow.said.read_text()[-3000:]
    assert_same(disturbed, expected)


def test_ctrl_c_saves_stops_and_the_same_command_goes_on(
    disturbed: Project, uninterrupted: tuple[dict[str, Any], float], chance: random.Random
) -> None:
    expected, _ = uninterrupted
    workflow = Workflow(disturbed)
    states = disturbed.folder / "results"
    assert wait_for(lambda: any(states.rglob("training-state-*.json")), workflow)
    time.sleep(chance.uniform(0, 2))
    os.killpg(workflow.process.pid, signal.SIGINT)
    assert workflow.end() == 1
    _, alive = psutil.wait_procs(processes_in(disturbed.folder), timeout=60)
    assert alive == []
    workflow = Workflow(disturbed)
    assert workflow.end() == 0, workflow.said.read_text()[-3000:]
    assert_same(disturbed, expected)


def test_jobs_of_the_local_launcher_outlive_the_workflow_and_are_found_again(
    disturbed: Project, uninterrupted: tuple[dict[str, Any], float], chance: random.Random
) -> None:
    """Snakemake and its waiters are killed, the jobs are not; and where a run trains changes no bit."""
    expected, _ = uninterrupted
    workflow = Workflow(disturbed, "--config", "launcher=local")
    assert wait_for(lambda: bool(trainings_in(disturbed.folder)), workflow)
    with held(disturbed) as trainings:
        assert trainings
        workflow.process.kill()
        kill(running(disturbed.folder, "launch"))
        workflow.end()
        jobs = records_of_jobs(disturbed)
        assert jobs
        again = Workflow(disturbed, "--config", "launcher=local")
        found_again = wait_for(
            lambda: "is running; waiting for it" in again.said.read_text(), again
        )
    assert found_again, again.said.read_text()[-3000:]
    assert again.end() == 0, again.said.read_text()[-3000:]
    assert jobs.items() <= records_of_jobs(disturbed).items()
    assert_same(disturbed, expected)


def records_of_jobs(project: Project) -> dict[Path, str]:
    """The job records of all runs."""
    return {path: path.read_text() for path in project.layout.root.rglob("jobs/*.json")}

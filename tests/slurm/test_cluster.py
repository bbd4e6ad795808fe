"""The fixture itself: if these fail, what the other files here say about the launcher means nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from .cluster import TAG, Cluster, ClusterError, missing, wait_until
from .guard import marked

pytestmark = pytest.mark.slurm


def submit(cluster: Cluster, *options: str, script: str) -> str:
    """sbatch of a shell script; the job's id."""
    out = f"--output={cluster.folder}/%j.out"
    return cluster.run("sbatch", "--parsable", out, *options, "--wrap", script).stdout.strip()


def state(cluster: Cluster, job: str) -> str:
    """What squeue knows of a job: `RUNNING node`, `PENDING`."""
    return cluster.run("squeue", "-h", "-t", "all", "-o", "%T %N", "-j", job).stdout.strip()


def descendants(folder: Path) -> set[int]:
    """All processes that a cluster below `folder` has started."""
    return marked(f"{TAG}={folder}")


def test_jobs_run_on_every_node_and_are_accounted_for(cluster: Cluster) -> None:
    jobs = [
        submit(cluster, f"--nodelist={node}", "--gres=gpu:1", script="echo $CUDA_VISIBLE_DEVICES")
        for node in cluster.nodes
    ]
    done = ["sacct", "-X", "-n", "-P", "-o", "State,NodeList", "-j"]
    for job, node in zip(jobs, cluster.nodes, strict=True):
        wait_until(
            lambda job=job, node=node: (
                cluster.run(*done, job).stdout.strip() == f"COMPLETED|{node}"
            ),
            f"job {job} to complete on {node}",
        )
        assert (cluster.folder / f"{job}.out").read_text().strip() in ("0", "1")


def test_a_requeued_job_runs_again_within_seconds(cluster: Cluster) -> None:
    job = submit(cluster, script="echo $SLURM_RESTART_COUNT; sleep 60")
    wait_until(lambda: state(cluster, job).startswith("RUNNING"), "the first start")
    cluster.run("scontrol", "requeue", job)
    wait_until(lambda: state(cluster, job).startswith("PENDING"), "the requeue")
    wait_until(lambda: state(cluster, job).startswith("RUNNING"), "the second start", 30)
    cluster.run("scancel", job)


def test_without_accounting_sacct_refuses(bare_cluster: Cluster) -> None:
    said = bare_cluster.run("sacct", check=False)
    assert (said.returncode, said.stderr.strip()) == (
        1,
        "Slurm accounting storage is disabled",
    )


def test_a_killed_node_takes_its_jobs_along() -> None:
    """That it is noticed, and can be started again, is seen where a training resumes elsewhere."""
    if reason := missing(accounting=False):
        pytest.skip(f"real Slurm not run: {reason}")
    with Cluster(nodes=1, accounting=False) as cluster:
        (node,) = cluster.nodes
        mark = cluster.folder / "sleeper.pid"
        # A process that has left the job's session and forgotten its environment dies as well.
        script = f"env -i setsid sh -c 'echo $$ > {mark}; exec sleep 600' & wait"
        submit(cluster, "--no-requeue", script=script)
        wait_until(lambda: mark.exists() and bool(mark.read_text().strip()), "the job to start")
        pid = int(mark.read_text())
        cluster.kill_node(node)
        wait_until(lambda: not psutil.pid_exists(pid), "the last process of the node", 5)


def test_a_controller_that_was_away_knows_its_jobs(bare_cluster: Cluster) -> None:
    job = submit(bare_cluster, script="sleep 600")
    wait_until(lambda: state(bare_cluster, job).startswith("RUNNING"), "the job to start")
    bare_cluster.stop_controller()
    assert not bare_cluster.answers()
    bare_cluster.start_controller()
    bare_cluster.wait_for_nodes()
    assert state(bare_cluster, job).startswith("RUNNING")
    bare_cluster.run("scancel", job)


def test_nothing_is_left_of_a_cluster_whatever_ended_it() -> None:
    if reason := missing(accounting=False):
        pytest.skip(f"real Slurm not run: {reason}")
    cluster = Cluster(nodes=1, accounting=False)

    def interrupted() -> None:
        with cluster:
            submit(cluster, script="env -i setsid sleep 600 & wait")
            wait_until(lambda: state(cluster, "1").startswith("RUNNING"), "the job to start")
            assert len(descendants(cluster.folder)) >= 5  # three daemons, a step daemon, the job
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert descendants(cluster.folder) == set()
    assert not cluster.folder.exists()
    assert all(node not in Path("/etc/hosts").read_text() for node in cluster.nodes)


def test_nothing_is_left_after_kill_9(tmp_path: Path) -> None:
    if reason := missing(accounting=False):
        pytest.skip(f"real Slurm not run: {reason}")
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from slurm.cluster import Cluster
with Cluster(nodes=1, accounting=False) as cluster:
    cluster.run("sbatch", "--output=/dev/null", "--wrap", "sleep 600")
    print(cluster.folder, *cluster.nodes, flush=True)
    time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    place, node = owner.stdout.readline().split()
    folder = Path(place)
    assert descendants(folder)
    assert node in Path("/etc/hosts").read_text()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    wait_until(lambda: not folder.exists(), "the guard to clean up", 20)
    assert descendants(folder) == set()
    assert node not in Path("/etc/hosts").read_text()


def test_a_start_that_fails_shows_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := missing(accounting=False):
        pytest.skip(f"real Slurm not run: {reason}")
    cluster = Cluster(nodes=1, accounting=False)
    broken = cluster.settings.slurm_conf
    write = type(cluster.settings).write

    def write_nonsense(settings: object) -> None:
        write(cluster.settings)
        broken.write_text(broken.read_text() + "SelectType=select/none_of_these\n")

    monkeypatch.setattr(type(cluster.settings), "write", write_nonsense)
    with pytest.raises(
        ClusterError, match=r"(?s)slurmctld ended with .*--- slurmctld\.log"
    ) as caught:
        cluster.__enter__()
    assert "none_of_these" in str(caught.value)
    assert not cluster.folder.exists()

"""The launcher `local`: real submitit jobs that outlive their starters, are found again, and requeue."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
import submitit

from msgbench.errors import LaunchError
from msgbench.launch.job import CommandJob
from msgbench.launch.record import JobRecord
from msgbench.launch.submit import launch

from .conftest import Run, wait_until


def task_of(job_pid: int) -> psutil.Process:
    """The process that runs the pickled job: the only child of submitit's controller."""
    (task,) = psutil.Process(job_pid).children()
    return task


def test_success_keeps_the_record_and_a_second_call_returns_at_once(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(run.command(total=3), run.folder, "local") == 0
    assert run.result() == {"done": 3}
    assert run.record().argv == tuple(run.command(total=3))
    assert "counting from 0" in capsys.readouterr().err  # the job's messages are shown here

    assert launch(run.command(total=3), run.folder, "local") == 0
    assert len(run.starts()) == 1


def test_a_success_without_its_output_is_started_again(run: Run) -> None:
    """Snakemake deletes an incomplete train.json before it starts the rule again."""
    launch(run.command(total=3), run.folder, "local")
    first = run.record()
    (run.folder / "train.json").unlink()
    assert launch(run.command(total=3), run.folder, "local") == 0
    assert run.record() != first
    assert run.result() == {"done": 3}


def test_an_exit_code_becomes_one_sentence(run: Run) -> None:
    code = "import sys; print('msgbench: error: no store', file=sys.stderr); sys.exit(3)"
    with pytest.raises(LaunchError) as caught:
        launch([sys.executable, "-c", code], run.folder, "local")
    message = str(caught.value)
    assert "failed with exit code 3; its last lines: msgbench: error: no store (log: " in message
    assert "\n" not in message
    assert run.record().job_id in message  # kept, for whoever looks


def test_a_command_that_does_not_exist_is_named(run: Run) -> None:
    with pytest.raises(LaunchError, match=r"no-such-command: cannot be started \(No such file"):
        launch(["no-such-command"], run.folder, "local")


def test_a_failed_job_is_submitted_anew(run: Run) -> None:
    with pytest.raises(LaunchError):
        launch(["false"], run.folder, "local")
    assert launch(run.command(total=2), run.folder, "local") == 0


def test_kill_9_of_the_waiter_then_the_same_command_attaches(run: Run) -> None:
    run.hold()
    waiter = run.launch("local", run.command(total=40))
    run.wait_for_starts(1)
    waiter.process.kill()
    waiter.end()
    record = run.record()

    again = run.launch("local", run.command(total=40))
    again.wait_to_hear("is running; waiting for it")
    run.release()
    code, said = again.end()
    assert code == 0
    assert f"job {record.job_id} of {record.submitted} is running; waiting for it" in said
    assert run.record() == record
    assert run.starts() == [0]


def test_two_starts_at_once_submit_one_job(run: Run) -> None:
    starters = [run.launch("local", run.command(total=20)) for _ in range(3)]
    ends = [starter.end() for starter in starters]
    assert [code for code, _ in ends] == [0, 0, 0]
    assert sum("submitted as job" in said for _, said in ends) == 1
    assert run.starts() == [0]


def test_ctrl_c_leaves_the_job_alone_and_says_so(run: Run) -> None:
    run.hold()
    waiter = run.launch("local", run.command(total=60))
    run.wait_for_starts(1)
    os.killpg(waiter.process.pid, signal.SIGINT)
    code, said = waiter.end()
    assert code == 130
    assert f"job {run.record().job_id} goes on without us" in said
    run.release()
    assert launch(run.command(total=60), run.folder, "local") == 0
    assert run.starts() == [0]


def test_the_way_to_stop_a_job_that_the_message_names(run: Run) -> None:
    waiter = run.launch("local", run.command(total=2000))
    run.wait_for_starts(1)
    os.kill(run.record().pid, signal.SIGINT)  # `kill -INT <pid>`
    code, said = waiter.end()
    assert code == LaunchError.exit_code
    assert "msgbench: error: " in said
    wait_until(lambda: (run.folder / "signals.txt").exists(), "the training to save and stop")


def test_an_inline_start_waits_for_a_living_job(run: Run) -> None:
    waiter = run.launch("local", run.command(total=40))
    run.wait_for_starts(1)
    assert launch(run.command(total=40), run.folder, "inline") == 0
    assert waiter.end()[0] == 0
    assert run.starts() == [0]
    assert run.never_two()


def test_a_job_that_was_killed_is_named_and_replaced(run: Run) -> None:
    run.hold()
    waiter = run.launch("local", run.command(total=40))
    run.wait_for_starts(1)
    record = run.record()
    victims = [psutil.Process(record.pid), *psutil.Process(record.pid).children(recursive=True)]
    for victim in victims:
        victim.kill()
    code, said = waiter.end()
    assert code == LaunchError.exit_code
    assert f"job {record.job_id} ended without a result, it was probably killed" in said
    run.release()
    assert launch(run.command(total=40), run.folder, "local") == 0
    assert run.record().job_id != record.job_id


def test_a_process_number_that_came_again_is_no_living_job(run: Run) -> None:
    launch(run.command(total=2), run.folder, "local")
    (run.folder / "train.json").unlink()
    # A living process with that number, born at another time: us.
    replace(run.record(), pid=os.getpid(), start_ticks=1, folder=str(run.folder / "old")).write(
        run.folder
    )
    assert launch(run.command(total=2), run.folder, "local") == 0


def test_a_job_of_another_machine_is_not_guessed_about(run: Run) -> None:
    record = JobRecord(
        task="train",
        launcher="local",
        job_id="17",
        folder=str(run.folder / "old"),
        argv=("x",),
        host="elsewhere",
        submitted="2026-01-01T00:00:00Z",
        pid=17,
        start_ticks=1,
    )
    record.write(run.folder)
    with pytest.raises(LaunchError, match="job 17 was started on elsewhere and cannot be seen"):
        launch(run.command(), run.folder, "local")
    assert run.starts() == []


def record_with(**changed: object) -> str:
    record = JobRecord("train", "local", "17", "/x", ("a",), "h", "2026-01-01T00:00:00Z", pid=17)
    return json.dumps({"schema": "msgbench.job/2", **asdict(record), **changed})


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "{", '{"schema": "msgbench.job/9"}', record_with(folder=None),
     record_with(submitted="yesterday"), record_with(end="x"), record_with(end={"state": "X"}),
     record_with(argv="ab"), record_with(pid="1"), record_with(resources=[]), record_with(more="")],
)  # fmt: skip
def test_a_broken_record_is_named(run: Run, content: str) -> None:
    (run.folder / "jobs").mkdir()
    (run.folder / "jobs/train.json").write_text(content)
    with pytest.raises(LaunchError) as caught:
        launch(run.command(), run.folder, "local")
    assert str(caught.value) == (
        f"{run.folder}/jobs/train.json: is not a job record; remove it when no job of this run is running"
    )


def test_a_record_that_cannot_be_read_is_named(run: Run) -> None:
    (run.folder / "jobs/train.json").mkdir(parents=True)
    with pytest.raises(LaunchError, match=r"jobs/train\.json: cannot be read \(Is a directory\)"):
        launch(run.command(), run.folder, "local")
    (run.folder / "jobs/train.json").rmdir()
    (run.folder / "jobs").rmdir()
    (run.folder / "jobs").touch()
    with pytest.raises(LaunchError, match=r"jobs/train\.json: cannot be read \(Not a directory\)"):
        launch(run.command(), run.folder, "local")


@pytest.mark.parametrize(
    ("folder", "words"),
    [("/dev/null/x", "cannot be used as a folder (Not a directory)"),
     ("/etc/hostname", "is a file; a folder is needed here")],
)  # fmt: skip
def test_a_folder_that_cannot_be_is_one_sentence(folder: str, words: str) -> None:
    with pytest.raises(LaunchError) as caught:
        launch(["true"], Path(folder), "inline")
    assert str(caught.value).startswith(f"{folder}: {words}")


def test_a_path_that_submitit_would_rewrite_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "100%jobs"
    folder.mkdir()
    with pytest.raises(LaunchError, match="has %j in its path"):
        launch(["true"], folder, "local")


@pytest.mark.parametrize("devices", ["1", None])
def test_a_job_sees_the_gpus_of_its_submitter(
    run: Run, devices: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """submitit's LocalExecutor sets CUDA_VISIBLE_DEVICES to nothing for jobs that ask for no GPU."""
    if devices is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    launch(run.command(total=1), run.folder, "local")
    assert (run.folder / "starts.txt").read_text().split()[2] == str(devices)


def test_requeues_go_on_from_the_saved_state_and_keep_the_job(run: Run) -> None:
    """The real loop: SIGUSR2 to job and command as a scheduler sends it, save, requeue, go on; thrice."""
    run.hold()
    waiter = run.launch("local", run.command(total=50))
    for count in (1, 2, 3):
        run.wait_for_starts(count)
        training = run.training_pid()
        os.kill(training, signal.SIGUSR2)  # srun's reaches the command directly, too
        task_of(run.record().pid).send_signal(signal.SIGUSR2)
        wait_until(lambda pid=training: not psutil.pid_exists(pid), "the command to save and end")
    run.release()
    code, said = waiter.end()
    assert code == 0, said
    starts = run.starts()
    assert len(starts) == 4
    assert starts == sorted(set(starts))  # each went on behind the one before
    assert run.result() == {"done": run.counted()}
    assert run.counted() >= 50
    assert run.never_two()


def test_timeouts_of_the_executor_itself_requeue(run: Run) -> None:
    """submitit's own clock asks for the job back 4 s after each start."""
    run.hold()
    executor = submitit.LocalExecutor(folder=run.folder / "jobs", max_num_timeout=5)
    executor.update_parameters(timeout_min=8 / 60, signal_delay_s=4)
    job = executor.submit(
        CommandJob(tuple(run.command(total=50)), str(run.folder), str(run.folder))
    )
    wait_until(lambda: len(run.starts()) > 1, "a second start")
    run.release()
    assert job.result() == 0
    assert len(run.starts()) >= 2
    assert run.starts() == sorted(set(run.starts()))
    assert run.result() == {"done": run.counted()}
    assert run.counted() >= 50


def test_a_command_that_goes_on_after_saving_is_ended_before_the_requeue(run: Run) -> None:
    waiter = run.launch("local", run.command(total=300, mode="save-and-continue"))
    run.wait_for_starts(1)
    task_of(run.record().pid).send_signal(signal.SIGUSR2)
    run.wait_for_starts(2)
    assert run.starts()[1] > 0
    assert run.never_two()
    os.kill(run.record().pid, signal.SIGINT)
    assert waiter.end()[0] == LaunchError.exit_code


def test_a_command_that_never_saves_does_not_hold_up_the_requeue(run: Run) -> None:
    run.hold()
    executor = submitit.LocalExecutor(folder=run.folder / "jobs")
    executor.update_parameters(timeout_min=10)
    command = tuple(run.command(total=60, mode="deaf"))
    job = executor.submit(CommandJob(command, str(run.folder), str(run.folder), save_seconds=0.5))
    run.wait_for_starts(1)
    began = time.monotonic()
    task_of(int(job.job_id)).send_signal(signal.SIGUSR2)
    wait_until(lambda: len(run.starts()) == 2, "a second start")
    # 0.5 s bound, a new Python with submitit; far below the 60 s of the default bound.
    assert 0.4 < time.monotonic() - began < 40
    run.release()
    assert job.result() == 0
    assert run.starts() == [0, 0]

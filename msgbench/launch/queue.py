"""What Slurm says about our jobs: one query of a user in 30 s, shared by all who wait.

Only the standard library, and little of it: the waiting process imports nothing else of the package. The
query is `squeue`, which works without accounting and knows ended jobs for some minutes (MinJobAge). Whoever
finds the last answer too old asks, holding a lock; the answer lies in a file of the user that all read.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

POLL_VARIABLE = "MSGBENCH_SLURM_POLL_SECONDS"
DEFAULT_POLL_SECONDS = 30.0
# A controller that does not answer makes squeue hang, too.
_QUERY_SECONDS = 60.0
# Jobs of ours; the others of the user are not kept.
NAME_PREFIX = "msgbench-"

# States that Slurm does not leave by itself. All others (PENDING, CONFIGURING, SUSPENDED, REQUEUED, COMPLETING,
# RESIZING, SIGNALING, STAGE_OUT, STOPPED, ...) are not the end.
FINAL_STATES = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
# A clock may differ between machines by this; job numbers that start again differ by more.
_CLOCK_SECONDS = 600.0


class JobState(NamedTuple):
    """What Slurm says about one job.

    `state` is Slurm's word (RUNNING), `node` its list of nodes ("" while pending), `reason` why it waits,
    `submitted` and `started` are seconds since 1970 (0 = not known).
    """

    state: str
    node: str
    reason: str
    name: str
    submitted: float
    started: float

    @property
    def is_final(self) -> bool:
        """Whether the job has ended, as far as this one answer goes.

        Slurm shows NODE_FAIL and PREEMPTED for a moment before it requeues a job: look twice.
        """
        return self.state in FINAL_STATES

    def is_of(self, name: str, submitted: float) -> bool:
        """Whether this is the job called `name` that was submitted at `submitted`.

        Job numbers start again at 1 when a cluster's state is lost.
        """
        return self.name == name and (
            not self.submitted or self.submitted >= submitted - _CLOCK_SECONDS
        )


class Answer(NamedTuple):
    """Slurm's last answer: when it came, and all jobs of the user that are ours."""

    time: float
    jobs: Mapping[str, JobState]


class QueueSilent(Exception):
    """Slurm did not answer; the message is what its command said, in one line."""


def poll_seconds() -> float:
    """Seconds between two queries of a user; MSGBENCH_SLURM_POLL_SECONDS changes it (for tests)."""
    try:
        return max(float(os.environ.get(POLL_VARIABLE, "")), 0.1)
    except ValueError:
        return DEFAULT_POLL_SECONDS


def shared_answer() -> Answer:
    """The answer that all waiters of this user share, asked for anew when it is older than `poll_seconds()`.

    While another process is asking, and after a query failed, the older answer is given up to two intervals
    long; after that QueueSilent is raised.
    """
    interval = poll_seconds()
    path = _cache_file()
    if path is None:
        return ask_queue()
    cache = _read(path)
    if _is_due(cache, interval):
        cache = _refresh(path, interval, patient="time" not in cache)
    age = time.time() - cache.get("time", 0.0)
    if age > 2 * interval + _QUERY_SECONDS or "time" not in cache:
        raise QueueSilent(cache.get("problem") or "another process is asking Slurm")
    if cache.get("problem") and age > 2 * interval:
        raise QueueSilent(cache["problem"])
    return Answer(cache["time"], cache["jobs"])


def _is_due(cache: Mapping[str, Any], interval: float) -> bool:
    """Whether the last query, successful or not, is older than the interval (or of a clock gone back)."""
    return not 0 <= time.time() - cache.get("asked", 0.0) < interval


def _refresh(path: str, interval: float, patient: bool) -> dict[str, Any]:
    """Ask, unless somebody else is doing it: then what there is (`patient`: then wait for it)."""
    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
        except BlockingIOError:
            return _read(path)
        except OSError:
            pass  # a file system without locks: some queries more, nothing worse
        cache = _read(path)
        if not _is_due(cache, interval):
            return cache
        asked = time.time()
        try:
            answer = ask_queue()
            cache = {"asked": asked, "time": answer.time, "jobs": answer.jobs, "problem": None}
        except QueueSilent as silent:
            cache = {**cache, "asked": time.time(), "problem": str(silent)}
        _write(path, cache)
        return cache
    finally:
        os.close(lock)


def ask_queue(name: str | None = None) -> Answer:
    """Ask `squeue` now for all jobs of this user, or those called `name`; raises QueueSilent."""
    asked = time.time()
    words = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}"]
    words += [f"--name={name}"] if name is not None else []
    code, out, problem = run([*words, "--format=%i|%T|%N|%r|%V|%S|%j"])
    if code != 0:
        raise QueueSilent(_one_line(problem) or f"squeue ended with exit code {code}")
    jobs: dict[str, JobState] = {}
    for line in out.splitlines():
        fields = line.split("|", 6)
        if len(fields) == 7 and fields[6].startswith(NAME_PREFIX):
            job_id, state, node, reason, submitted, started, called = fields
            jobs[job_id] = JobState(
                state, node, reason, called.strip(), _seconds(submitted), _seconds(started)
            )
    return Answer(asked, jobs)


def ask_accounting(job_id: str) -> JobState | None:
    """What `sacct` says about a job that squeue forgot; None when it does not know it or does not exist."""
    words = ["sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job_id}"]
    try:
        code, out, _ = run([*words, "--format=State,NodeList,Submit,Start,JobName%200"])
    except QueueSilent:
        return None
    lines = [line for line in out.splitlines() if line.count("|") >= 4]
    if code != 0 or not lines:
        return None
    state, node, submitted, started, name = lines[-1].split("|", 4)
    # "CANCELLED by 1000"
    return JobState(state.split()[0], node, "", name, _seconds(submitted), _seconds(started))


def run(argv: Sequence[str], seconds: float = _QUERY_SECONDS) -> tuple[int, str, str]:
    """Run a command of Slurm: exit code, stdout, stderr. Raises QueueSilent when it hangs or is not there.

    Without `subprocess`, which costs a waiting process 1.5 MB.
    """
    out_in, out_to = os.pipe()
    error_in, error_to = os.pipe()
    try:
        child = os.posix_spawnp(
            argv[0],
            list(argv),
            {**without_slurm(os.environ), "SLURM_TIME_FORMAT": "%s", "LC_ALL": "C"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out_to, 1),
                (os.POSIX_SPAWN_DUP2, error_to, 2),
            ],
            setpgroup=0,  # a Ctrl-C is for us
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
        )
    except OSError as error:
        for end in (out_in, error_in):
            os.close(end)
        raise QueueSilent(f"{argv[0]}: {error.strerror}") from None
    finally:
        os.close(out_to)
        os.close(error_to)
    try:
        out, problem = _read_both(out_in, error_in, time.monotonic() + seconds)
        _, status = os.waitpid(child, 0)
    except BaseException as error:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if isinstance(error, TimeoutError):
            raise QueueSilent(f"{argv[0]} did not answer in {seconds:g} s") from None
        raise
    finally:
        os.close(out_in)
        os.close(error_in)
    return os.waitstatus_to_exitcode(status), out, problem


def _read_both(first: int, second: int, deadline: float) -> tuple[str, str]:
    """Read two pipes to their ends; TimeoutError at `deadline` (monotonic)."""
    import select

    content = {first: b"", second: b""}
    unfinished = [first, second]
    while unfinished:
        ready, _, _ = select.select(unfinished, [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            raise TimeoutError
        for end in ready:
            part = os.read(end, 1 << 16)
            content[end] += part
            if not part:
                unfinished.remove(end)
    return content[first].decode(errors="replace"), content[second].decode(errors="replace")


def without_slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what an allocation, a job or a user's habits put into it.

    Started in an allocation, sbatch and the srun of the job would take its numbers for theirs. Of SLURM_*, SBATCH_*,
    SQUEUE_*, SACCT_*, SRUN_*, PMI_*, PMIX_* and SUBMITIT_* only SLURM_CONF stays.
    """
    prefixes = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SRUN_", "PMI_", "PMIX_", "SUBMITIT_")
    return {
        name: value
        for name, value in environment.items()
        if name == "SLURM_CONF" or not name.startswith(prefixes)
    }


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # "N/A", "Unknown"


def _one_line(text: str) -> str:
    return " | ".join(line.strip() for line in text.splitlines() if line.strip())


def _cache_file() -> str | None:
    """The user's file for this cluster, None where none can be kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for folder in (os.path.join(base, "msgbench"), f"/tmp/msgbench-{os.getuid()}"):
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            if os.stat(folder).st_uid == os.getuid() and os.access(folder, os.W_OK):
                return os.path.join(folder, f"queue-{_cluster()}.json")
        except OSError:
            continue
    return None


def _cluster() -> str:
    """A short name for the Slurm that this environment reaches."""
    import zlib

    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    squeue = next((f for f in folders if os.access(os.path.join(f, "squeue"), os.X_OK)), "")
    places = os.environ.get("SLURM_CONF", ""), os.path.realpath(squeue)
    return f"{zlib.crc32(repr(places).encode()):08x}"


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content: dict[str, Any] = json.load(file)
        jobs = {job_id: JobState(*fields) for job_id, fields in content.get("jobs", {}).items()}
        return {**content, "jobs": jobs}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(path: str, content: Mapping[str, Any]) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(temporary, path)
    except OSError:
        pass  # a full disk: the others ask themselves

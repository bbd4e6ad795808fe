"""The end of a job that is no success, as one sentence."""

from __future__ import annotations

import math
import re
import signal
from pathlib import Path

from msgbench.launch.ends import FRUITLESS, End
from msgbench.launch.queue import QueueSilent, run
from msgbench.launch.record import JobRecord
from msgbench.launch.tail import end_of, last_lines
from msgbench.layout import SPEC_JSON, job_file

# Slurm says OUT_OF_MEMORY only with cgroups; the words in the log are there in any case.
_NODE_MEMORY = re.compile(
    r"oom[-_ ]kill|exceeded (?:job |step )?memory limit|Out Of Memory|"
    r"DefaultCPUAllocator: can't allocate memory|^MemoryError|Cannot allocate memory",
    re.MULTILINE,
)
_GPU_MEMORY = re.compile(
    r"CUDA out of memory|CUDA error: out of memory|torch\.OutOfMemoryError|CU(?:BLAS|DNN)_STATUS_ALLOC_FAILED"
)
# "StepId=5.0 exceeded memory limit (1078542336 > 1073741824), being killed"
_LIMIT_PASSED = re.compile(r"exceeded memory limit \((\d+) > (\d+)\)")
_GPU_CAPACITY = re.compile(r"total capacity of ([\d.]+) GiB")
_MORE = 1.25
_STEP_MB = 256
# The rule that measures a dataset, not a run.
_REAL = "evaluate_real"


def sentence(record: JobRecord, run_dir: Path, end: End) -> str:
    """What happened to the job of `record`, what to do where that is known, and where to look."""
    job = f"{run_dir}: job {record.job_id}"
    where = f"(log: {record.log}; record: {run_dir / job_file(record.task)})"
    if end.state == "CANCELLED":
        return f"{job} was cancelled; the same command submits it anew {where}"
    if ran_out_of_memory(record) or end.state == "OUT_OF_MEMORY":
        return f"{job} ran out of memory: {_memory_advice(record, run_dir)} {where}"
    return f"{job} {_what(end)}; its last lines: {last_lines(record.log, 3)} {where}"


def ran_out_of_memory(record: JobRecord) -> bool:
    """Whether the job's log says that memory, the node's or the GPU's, did not suffice."""
    text = end_of(record.log)
    return bool(_NODE_MEMORY.search(text) or _GPU_MEMORY.search(text))


def _memory_advice(record: JobRecord, run_dir: Path) -> str:
    text = end_of(record.log)
    if _GPU_MEMORY.search(text) and not _NODE_MEMORY.search(text):
        capacity = _GPU_CAPACITY.search(text)
        if capacity is None:
            return "its GPU has too little; ask for a larger one"
        needed = math.ceil(float(capacity.group(1)) * _MORE)
        return f"its GPU has {capacity.group(1)} GiB; ask for one with {needed} GiB or more"
    asked = record.resources.get("mem_mb")
    peak = peak_mb(record, text)
    known = max(filter(None, (peak, asked)), default=None)
    if known is None:
        return f"ask for more by cluster.{record.task}.mem_mb"
    fitting = math.ceil(known * _MORE / _STEP_MB) * _STEP_MB
    used = f"it used {peak:,} MB" if peak else f"it had {asked:,} MB"
    of = f" of {asked:,} MB" if peak and asked else ""
    rule = record.task if (run_dir / SPEC_JSON).exists() or record.task != "evaluate" else _REAL
    return (
        f"{used}{of}; cluster.{record.task}.mem_mb: {fitting} or --set-resources {rule}:mem_mb={fitting} "
        "would fit (peak + 25 %)"
    )


def peak_mb(record: JobRecord, text: str) -> int | None:
    """The most memory that a Slurm job was seen to use in MB: by its log, and by accounting if there is one."""
    bytes_used = [int(found.group(1)) for found in _LIMIT_PASSED.finditer(text)]
    if record.launcher == "slurm":
        words = ["sacct", "--noheader", "--parsable2", f"--jobs={record.job_id}"]
        try:
            _, out, _ = run([*words, "--format=MaxRSS"])
        except QueueSilent:
            out = ""
        bytes_used += [_bytes(line) for line in out.splitlines()]
    most = max(bytes_used, default=0)
    return math.ceil(most / 1024**2) if most else None


def _bytes(text: str) -> int:
    """Of Slurm's "1234K"."""
    found = re.fullmatch(r"([\d.]+)([KMGT]?)", text.strip())
    if found is None:
        return 0
    return int(float(found.group(1)) * 1024 ** " KMGT".index(found.group(2) or " "))


def _what(end: End) -> str:
    if end.state == "BROKEN":
        why = (end.trace.strip().splitlines() or ["no word why"])[-1]
        why = why.removeprefix("msgbench.errors.LaunchError: ")
        return why if why.startswith(FRUITLESS) else f"could not run its command ({why})"
    if end.code is None and end.state == "GONE":
        return "ended without a result, it was probably killed"
    if end.code is None:
        return f"ended without a result, Slurm says {end.state}"
    if end.code > 128:
        return f"was ended by {_signal_name(end.code - 128)} (exit code {end.code})"
    return f"failed with exit code {end.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

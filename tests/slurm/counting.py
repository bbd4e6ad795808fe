"""A training that is none: it counts, saves its count as a training does, and notices a second one beside it.

    python counting.py RUN_DIR TOTAL [--state-every N] [--gate FILE]

Ten counts a second, to TOTAL and, with a gate, as long as there is no such file. SIGTERM, SIGUSR2 and
MSGBENCH_ON_TERM mean what they mean to `msgbench train`. `starts.jsonl` gets a line for each start,
`train.json` is written at the end. The file `two-at-once` means that two of them have counted for the same
run at the same time.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("total", type=int)
    parser.add_argument("--gate", type=Path)
    parser.add_argument("--state-every", type=int, default=5)
    asked = parser.parse_args()
    on_term = os.environ.get("MSGBENCH_ON_TERM", "stop")
    signals: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        signals.append(signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(signum, note)
    states = asked.run_dir / "states"
    states.mkdir(parents=True, exist_ok=True)
    alone(asked.run_dir)
    saved = sorted(states.glob("*.json"))
    count = json.loads(saved[-1].read_text())["count"] if saved else 0
    with (asked.run_dir / "starts.jsonl").open("a") as file:
        variables = {
            "job": "SLURM_JOB_ID",
            "node": "SLURMD_NODENAME",
            "gpus": "CUDA_VISIBLE_DEVICES",
        }
        told = {key: os.environ.get(name) for key, name in variables.items()}
        print(json.dumps({"count": count, "pid": os.getpid(), **told}), file=file)
    print("counting from", count, file=sys.stderr, flush=True)

    def save() -> None:
        path = states / f"training-state-{count:010d}.json"
        path.with_suffix(".tmp").write_text(json.dumps({"count": count, "signals": signals}))
        path.with_suffix(".tmp").rename(path)

    while count < asked.total or (asked.gate is not None and not asked.gate.exists()):
        if signals:
            save()
            ending = [n for n in signals if n != signal.SIGTERM or on_term == "stop"]
            if ending:
                return 128 + ending[-1]
            signals.clear()
        time.sleep(0.1)
        count += 1
        if count % asked.state_every == 0:
            save()
    (asked.run_dir / "train.tmp").write_text(json.dumps({"count": count}))
    (asked.run_dir / "train.tmp").rename(asked.run_dir / "train.json")
    return 0


def alone(run_dir: Path) -> None:
    """Own the run, and leave a mark when somebody else does already."""
    handle = os.open(run_dir / ".counting", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        (run_dir / "two-at-once").touch()
        fcntl.flock(handle, fcntl.LOCK_EX)


if __name__ == "__main__":
    sys.exit(main())

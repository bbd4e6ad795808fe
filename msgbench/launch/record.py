"""job.json: which job works for a run directory. Written right after submission and kept.

It is what a second start finds: a living job is waited for, a finished one gives its result, and only
after a failed one a new job is submitted.
"""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from msgbench.errors import LaunchError
from msgbench.layout import JOB_JSON
from msgbench.locks import process_start_ticks
from msgbench.records import now, read_json, write_json

JOB_SCHEMA = "msgbench.job/1"


@dataclass(frozen=True)
class JobRecord:
    """A submitted job of the executor `launcher`; `folder` is submitit's, exactly as it was given."""

    launcher: str
    job_id: str
    folder: str
    argv: tuple[str, ...]
    host: str
    pid: int
    start_ticks: int | None
    submitted: str

    @classmethod
    def of_process(
        cls, launcher: str, job_id: str, folder: Path, argv: tuple[str, ...], pid: int
    ) -> JobRecord:
        """The record of a job that the process `pid` of this machine stands for."""
        return cls(
            launcher=launcher,
            job_id=job_id,
            folder=str(folder),
            argv=argv,
            host=socket.gethostname(),
            pid=pid,
            start_ticks=process_start_ticks(pid),
            submitted=now(),
        )

    @classmethod
    def read(cls, run_dir: Path) -> JobRecord | None:
        """job.json of `run_dir`, None without one; raises LaunchError when it is not readable."""
        path = run_dir / JOB_JSON
        try:
            content = read_json(path)
            if content.pop("schema") != JOB_SCHEMA:
                raise ValueError("another schema")
            return cls(**{**content, "argv": tuple(content["argv"])})
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise LaunchError(
                f"{path}: is not a job record; remove it when no job of this run is running"
            ) from None

    def write(self, run_dir: Path) -> None:
        """Write job.json atomically."""
        write_json(run_dir / JOB_JSON, {"schema": JOB_SCHEMA, **asdict(self)})

    def process_lives(self) -> bool:
        """Whether the job's process is alive; raises LaunchError for a job of another machine."""
        if self.host != socket.gethostname():
            raise LaunchError(
                f"{self.folder}: job {self.job_id} was started on {self.host} and cannot be seen from "
                f"{socket.gethostname()}; start msgbench there, or remove {JOB_JSON} when it is gone"
            )
        ticks = process_start_ticks(self.pid)
        return ticks is not None and ticks == self.start_ticks

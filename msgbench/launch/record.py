"""jobs/<task>.json: which job works for a folder. Written right after submission and kept.

It is what a second start finds: a living job is waited for, a finished one gives its result, and only
after a failed one a new job is submitted.
"""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from msgbench.errors import LaunchError
from msgbench.launch.order import Order
from msgbench.layout import JOB_OUTPUT, job_file
from msgbench.locks import process_start_ticks
from msgbench.records import now, read_json, write_json

JOB_SCHEMA = "msgbench.job/2"


class BrokenRecord(LaunchError):
    """A file in the place of a job record that is none."""


@dataclass(frozen=True)
class JobRecord:
    """A submitted job of the executor `launcher`; `folder` is submitit's, exactly as it was given.

    `pid` and `start_ticks` are those of the process that stands for a local job, `name` and the time of
    submission tell a Slurm job from another one with the same number. `resources` is what was asked
    for. `resubmitted` counts the jobs before this one that Slurm took away for good and that made no progress;
    `progress` is what the folder held when this one was submitted. `end` says how the job ended, once somebody
    looked: {"state", "sentence", "written"}.
    """

    task: str
    launcher: str
    job_id: str
    folder: str
    argv: tuple[str, ...]
    host: str
    submitted: str
    pid: int | None = None
    start_ticks: int | None = None
    name: str = ""
    cluster: str = ""
    resources: dict[str, Any] = field(default_factory=dict)
    resubmitted: int = 0
    progress: str = ""
    end: dict[str, str] | None = None

    @classmethod
    def of_process(cls, order: Order, job_id: str, folder: Path, pid: int) -> JobRecord:
        """The record of a job that the process `pid` of this machine stands for."""
        return cls(**_common(order, job_id, folder), pid=pid, start_ticks=process_start_ticks(pid))

    @classmethod
    def of_name(
        cls,
        order: Order,
        job_id: str,
        folder: Path,
        name: str,
        cluster: str,
        submitted: str | None = None,
    ) -> JobRecord:
        """The record of a Slurm job called `name`, submitted just now or at `submitted`."""
        common = _common(order, job_id, folder)
        return cls(
            **{**common, "submitted": submitted or common["submitted"]},
            name=name,
            cluster=cluster,
            resources=order.resources,
            resubmitted=order.resubmitted,
            progress=order.progress,
        )

    @classmethod
    def read(cls, folder: Path, task: str) -> JobRecord | None:
        """The record of `task` in `folder`, None without one.

        Raises BrokenRecord when the file is not a job record, LaunchError when it cannot be read.
        """
        path = folder / job_file(task)
        try:
            content = read_json(path)
            if content.pop("schema") != JOB_SCHEMA:
                raise ValueError("another schema")
            _require_types(content)
            return cls(**{**content, "argv": tuple(content["argv"])})
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LaunchError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise BrokenRecord(
                f"{path}: is not a job record; remove it when no job of this run is running"
            ) from None

    def write(self, folder: Path) -> None:
        """Write the record of a job that works for `folder` atomically."""
        write_json(folder / job_file(self.task), {"schema": JOB_SCHEMA, **asdict(self)})

    def ended(self, state: str, sentence: str) -> JobRecord:
        """This record with the end of its job."""
        return replace(self, end={"state": state, "sentence": sentence, "written": now()})

    @property
    def submit_time(self) -> float:
        """When it was submitted, in seconds since 1970."""
        return datetime.fromisoformat(self.submitted).timestamp()

    @property
    def log(self) -> Path:
        """What the command says in the job (submitit's name)."""
        return Path(self.folder) / f"{self.job_id}_0_log.err"

    @property
    def result_pickle(self) -> Path:
        """Exists when the command ended by itself (submitit's name)."""
        return Path(self.folder) / f"{self.job_id}_0_result.pkl"

    @property
    def kept_output(self) -> Path:
        """A copy of what the command made, kept by the job for when the original is deleted."""
        return Path(self.folder) / JOB_OUTPUT

    def process_lives(self) -> bool:
        """Whether a local job's process is alive; raises LaunchError for a job of another machine."""
        if self.host != socket.gethostname():
            raise LaunchError(
                f"{self.folder}: job {self.job_id} was started on {self.host} and cannot be seen from "
                f"{socket.gethostname()}; start msgbench there, or remove {job_file(self.task)} when it is gone"
            )
        ticks = process_start_ticks(self.pid) if self.pid is not None else None
        return ticks is not None and ticks == self.start_ticks


_OPTIONAL_NUMBERS = ("pid", "start_ticks")


def _require_types(content: dict[str, Any]) -> None:
    """Raise TypeError or ValueError unless every value of a record's file is what JobRecord says."""
    for name, value in content.items():
        if name in _OPTIONAL_NUMBERS:
            right = value is None or isinstance(value, int)
        elif name == "resubmitted":
            right = isinstance(value, int)
        elif name == "argv":
            right = isinstance(value, list) and all(isinstance(word, str) for word in value)
        elif name == "resources":
            right = isinstance(value, dict)
        elif name == "end":
            right = value is None or (
                value.keys() == {"state", "sentence", "written"}
                and all(isinstance(text, str) for text in value.values())
            )
        else:
            right = isinstance(value, str)
        if not right:
            raise TypeError(name)
    datetime.fromisoformat(content["submitted"]).timestamp()


def _common(order: Order, job_id: str, folder: Path) -> dict[str, Any]:
    return {
        "task": order.task,
        "launcher": order.launcher,
        "job_id": job_id,
        "folder": str(folder),
        "argv": order.argv,
        "host": socket.gethostname(),
        "submitted": now(),
    }

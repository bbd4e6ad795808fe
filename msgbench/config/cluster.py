"""What a Slurm job asks for, per task: the `cluster:` section of config.yaml, and what rules add to it.

The names are those of Snakemake's Slurm plugin. Resources say where and how long something may run, never
what comes out: they are part of no fingerprint. How they become options of sbatch stands in launch/.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from msgbench.config.base import Spec
from msgbench.config.sentences import sentence
from msgbench.errors import ConfigError

Task = Literal["train", "prepare", "evaluate"]
TASKS: tuple[Task, ...] = get_args(Task)

# Resources that Snakemake has of its own, and those by which the workflow decides what runs where.
_NOT_ASKED = frozenset(
    {"_cores", "_nodes", "tmpdir", "shell_exec", "mem", "mem_mib", "disk", "disk_mb", "disk_mib"}
    | {"launcher", "local_slots"}
)

# Two names for one thing: a layer that sets one of them replaces the other of the layer below.
ALTERNATIVES = (("gpu", "gres"), ("mem_mb", "mem_mb_per_cpu"))

# Resources that are texts, of which Snakemake makes numbers where it can.
_TEXTS = frozenset({"slurm_partition", "slurm_account", "gres", "constraint", "qos", "slurm_extra"})

# Options of sbatch (long and short) that have a key of their own.
_OPTION_KEYS = {
    **dict.fromkeys(("partition", "p"), "slurm_partition"),
    **dict.fromkeys(("account", "A"), "slurm_account"),
    **dict.fromkeys(("time", "t"), "runtime"),
    **dict.fromkeys(("mem", "mem-per-gpu"), "mem_mb"),
    "mem-per-cpu": "mem_mb_per_cpu",
    **dict.fromkeys(("gpus", "G", "gpus-per-node", "gpus-per-task", "gpus-per-socket"), "gpu"),
    "gres": "gres",
    **dict.fromkeys(("nodes", "N"), "nodes"),
    **dict.fromkeys(("ntasks", "n", "ntasks-per-node"), "tasks_per_node"),
    **dict.fromkeys(("cpus-per-task", "c", "cpus-per-gpu"), "cpus_per_task"),
    **dict.fromkeys(("constraint", "C"), "constraint"),
    **dict.fromkeys(("qos", "q"), "qos"),
}
# Options by which msgbench submits, finds and resumes its jobs.
_OWN_OPTIONS = frozenset(
    {
        "job-name",
        "output",
        "error",
        "input",
        "open-mode",
        "signal",
        "requeue",
        "no-requeue",
        "array",
    }
    | {
        "chdir",
        "wrap",
        "export",
        "export-file",
        "wait",
        "parsable",
        "test-only",
        "hold",
        "clusters",
    }
    | set("JoeiaDWHM")
)

_RUNTIME = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?")
_GRES_GPUS = re.compile(r"(?:^|,)gpu(?::[A-Za-z][\w.-]*)?(?::(\d+))?(?:\(|,|$)")
_GPU = re.compile(r"[A-Za-z][\w.-]*:\d+")


def _minutes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _RUNTIME.fullmatch(f"{value}m" if value.isdigit() else value)
    if not value or found is None:
        raise ValueError(
            f"{value!r} is not allowed; allowed: minutes, or a text like 90m, 2h, 1d, 1d12h"
        )
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + minutes


def _gpus(value: Any) -> Any:
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    is_model = isinstance(value, str) and _GPU.fullmatch(value)
    if not (value is None or is_count or is_model):
        raise ValueError(
            f"{value!r} is not allowed; allowed: a number, or model and number like a100:1"
        )
    return value


Minutes = Annotated[
    int,
    Field(ge=1),
    BeforeValidator(_minutes),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9dhm]+$"}]}
    ),
]
Gpus = Annotated[int | str, BeforeValidator(_gpus)]


class JobResources(Spec):
    """What one job asks Slurm for; whatever is not set here is left to the cluster's defaults."""

    slurm_partition: str | None = Field(default=None, min_length=1, description="partition")
    slurm_account: str | None = Field(default=None, min_length=1, description="account to charge")
    runtime: Minutes | None = Field(
        default=None,
        description="time limit of one attempt: minutes, or a text like 90m, 2h, 1d, 1d12h; a training "
        "that reaches it saves, is queued again and goes on",
    )
    mem_mb: int | None = Field(
        default=None, ge=0, description="memory of the job in MB; 0 = all of the node's"
    )
    mem_mb_per_cpu: int | None = Field(
        default=None, ge=1, description="memory in MB for each CPU, instead of `mem_mb`"
    )
    gpu: Gpus | None = Field(
        default=None, description="number of GPUs, or model and number like a100:1; 0 = none"
    )
    gres: str | None = Field(
        default=None,
        min_length=1,
        description="generic resources like gpu:a100:1, instead of `gpu`",
    )
    nodes: int | None = Field(
        default=None, ge=1, description="nodes; more than 1 for a training alone, which they share"
    )
    tasks_per_node: int | None = Field(
        default=None,
        ge=1,
        description="processes on each node; more than 1 for a training alone, which has one for each GPU by itself",
    )
    cpus_per_task: int | None = Field(default=None, ge=1, description="CPU cores of each process")
    constraint: str | None = Field(
        default=None, min_length=1, description="features that the node must have, like a100|h100"
    )
    qos: str | None = Field(default=None, min_length=1, description="quality of service")
    slurm_extra: str | None = Field(
        default=None,
        description="more options of sbatch in one text, like `--exclude=n3 --mail-type=END`",
    )

    @field_validator("slurm_extra")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        _options(value or "")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        for one, other in ALTERNATIVES:
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"give only one of {one} and {other}, they ask for the same")
        tasks, gpus = self.tasks_per_node, self.gpus_per_node
        if tasks is not None and gpus > 0 and tasks not in (1, gpus):
            raise ValueError(
                f"tasks_per_node {tasks} is not allowed with {gpus} GPUs on each node; allowed: {gpus}, or leave it "
                "empty"
            )
        return self

    @property
    def gpus_per_node(self) -> int:
        """GPUs that each node of the job has, by `gpu` or `gres`."""
        if self.gpu is not None:
            return int(str(self.gpu).rpartition(":")[2])
        found = _GRES_GPUS.search(self.gres or "")
        return 0 if found is None else int(found.group(1) or 1)

    def tasks_of(self, task: Task) -> int:
        """Processes on each node of a job of `task`: a training has one for each GPU, all else is one process."""
        if task != "train":
            return 1
        return self.tasks_per_node or max(1, self.gpus_per_node)

    def processes(self, task: Task) -> int:
        """Processes of a job of `task`."""
        return (self.nodes or 1) * self.tasks_of(task)

    def check_task(self, task: Task) -> None:
        """Raise ValueError for what a job of `task` cannot use."""
        for key in ("nodes", "tasks_per_node"):
            if task != "train" and getattr(self, key) not in (None, 1):
                raise ValueError(
                    f"{key} {getattr(self, key)} is not allowed; allowed: 1 (only a training is shared by processes)"
                )

    def merged(self, other: JobResources) -> JobResources:
        """These resources with those that `other` sets laid over them."""
        above = other.stated()
        below = self.stated()
        for pair in ALTERNATIVES:
            if any(key in above for key in pair):
                below = {key: value for key, value in below.items() if key not in pair}
        return JobResources.model_validate({**below, **above})

    def stated(self) -> dict[str, Any]:
        """The resources that are set, under their names; what `--resources` of `msgbench launch` takes."""
        return self.model_dump(exclude_none=True)

    def extra_options(self) -> dict[str, str | bool]:
        """`slurm_extra` as options of sbatch: name without dashes -> value, True for a flag."""
        return _options(self.slurm_extra or "")


class ClusterSpec(Spec):
    """What the jobs of each task ask Slurm for; used by the launcher `slurm` alone."""

    defaults: JobResources = Field(
        default_factory=JobResources, description="of every job, unless its task says otherwise"
    )
    train: JobResources = Field(default_factory=JobResources, description="of a training")
    prepare: JobResources = Field(
        default_factory=JobResources, description="of the packing of a dataset"
    )
    evaluate: JobResources = Field(
        default_factory=JobResources, description="of the measuring of a run, or of real images"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for task in TASKS:
            try:
                self.of(task).check_task(task)
            except ValueError as error:
                raise ValueError(f"{task}: {error}") from None
        return self

    def of(self, task: Task) -> JobResources:
        """What a job of `task` asks for: the defaults, then what its task says."""
        own: JobResources = getattr(self, task)
        return self.defaults.merged(own)

    def of_rule(self, task: Task, rule: str, resources: Mapping[str, Any]) -> JobResources:
        """What the job of `rule` asks for: what its task says, then the rule's own Snakemake `resources`.

        Raises ConfigError for a resource that is not known, wrong, or contradicts another one.
        """
        own = {key: value for key, value in resources.items() if key not in _NOT_ASKED}
        for key in sorted(_TEXTS & set(own)):
            # It may have been another text: 815 was 0815, 10000 was 10e3.
            if isinstance(own[key], int | float):
                raise ConfigError(
                    f"resources.{rule}.{key}: is the number {own[key]!r} for Snakemake; give the text as it is meant "
                    f"quotes of its own: {key}=\"'{own[key]!r}'\""
                )
        wanted = self.of(task).merged(job_resources(own, "resources", rule))
        require_task(wanted, task, f"resources.{rule}")
        return wanted

    def merged(self, other: ClusterSpec) -> ClusterSpec:
        """This section with `other` (a tier's) laid over it, task by task."""
        return ClusterSpec(
            defaults=self.defaults.merged(other.defaults),
            **{task: getattr(self, task).merged(getattr(other, task)) for task in TASKS},
        )


def job_resources(raw: Mapping[str, Any], *path: str) -> JobResources:
    """The resources in the mapping `raw`, which stands at the key path `path`.

    Raises ConfigError with one sentence: the key, the value, what is allowed.
    """
    try:
        return JobResources.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(sentence(error, JobResources, path)) from None


def require_task(resources: JobResources, task: Task, where: str) -> None:
    """Raise ConfigError, naming `where` they stand, for `resources` that a job of `task` cannot use."""
    try:
        resources.check_task(task)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def _options(text: str) -> dict[str, str | bool]:
    """The options of sbatch in `text`; ValueError for one that has a key of its own or is msgbench's."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} cannot be read ({error})") from None
    found: dict[str, str | bool] = {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        taken = _taken(name)
        if taken in _OPTION_KEYS:
            raise ValueError(f"{word} is not allowed here; set the key {_OPTION_KEYS[taken]}")
        if taken is not None:
            raise ValueError(f"{word} is not allowed; msgbench's jobs need --{taken} as it is")
        if not word.startswith("--") or not name:
            raise ValueError(
                f"{word!r} is not allowed; allowed: options of sbatch in their long form with `=`, "
                "like --exclude=n3"
            )
        if name in found:
            raise ValueError(f"--{name} stands twice")
        found[name] = value if equals else True
    return found


def _taken(name: str) -> str | None:
    """The option that sbatch would read `name` as, when it is not free for slurm_extra."""
    known = [*_OPTION_KEYS, *sorted(_OWN_OPTIONS)]
    if name in known:
        return name
    if name.startswith("-"):  # -p, -pgpu
        return name[1:2] if name[1:2] in known else None
    # sbatch takes every unambiguous beginning of a long option for it.
    return next((option for option in known if len(name) > 1 and option.startswith(name)), None)

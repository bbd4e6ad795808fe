"""Configuration: config.yaml in, typed and fingerprinted specs out. Never imports torch."""

from msgbench.config.assignments import parse_override
from msgbench.config.base import fingerprint_of
from msgbench.config.benchmark import Benchmark
from msgbench.config.cluster import (
    TASKS,
    ClusterSpec,
    JobResources,
    Task,
    job_resources,
    require_task,
)
from msgbench.config.document import (
    LAYER_TABLES,
    OWN_TABLES,
    Document,
    FigureSpec,
    Launcher,
    TableRow,
    TableSpec,
    WeightsSpec,
)
from msgbench.config.faces import FacesSpec
from msgbench.config.growing import PUBLISHED_WITH, RECIPES, GrowingSpec
from msgbench.config.load import load_benchmark, load_dataset, resolve
from msgbench.config.model import ModelSpec
from msgbench.config.objective import (
    GRADIENT_PENALTIES,
    RELATIVISTIC,
    EmaSpec,
    LossSpec,
    OptimizerSpec,
)
from msgbench.config.patches import merge
from msgbench.config.schedule import Phase, Schedule
from msgbench.config.specs import (
    TIERS,
    DatasetSpec,
    EvaluationSpec,
    ExperimentSpec,
    RunSpec,
    Tier,
    TrainingSpec,
)
from msgbench.config.yaml_text import read_yaml

__all__ = [
    "GRADIENT_PENALTIES",
    "LAYER_TABLES",
    "OWN_TABLES",
    "PUBLISHED_WITH",
    "RECIPES",
    "RELATIVISTIC",
    "TASKS",
    "TIERS",
    "Benchmark",
    "ClusterSpec",
    "DatasetSpec",
    "Document",
    "EmaSpec",
    "EvaluationSpec",
    "ExperimentSpec",
    "FacesSpec",
    "FigureSpec",
    "GrowingSpec",
    "JobResources",
    "Launcher",
    "LossSpec",
    "ModelSpec",
    "OptimizerSpec",
    "Phase",
    "RunSpec",
    "Schedule",
    "TableRow",
    "TableSpec",
    "Task",
    "Tier",
    "TrainingSpec",
    "WeightsSpec",
    "fingerprint_of",
    "job_resources",
    "load_benchmark",
    "load_dataset",
    "merge",
    "parse_override",
    "read_yaml",
    "require_task",
    "resolve",
]

"""Configuration: config.yaml in, typed and fingerprinted specs out. Never imports torch."""

from msgbench.config.benchmark import Benchmark, load_benchmark, parse_override, read_yaml, resolve
from msgbench.config.document import Document, TableRow, TableSpec, WeightsSpec
from msgbench.config.patches import merge
from msgbench.config.specs import (
    TIERS,
    DatasetSpec,
    EmaSpec,
    EvaluationSpec,
    ExperimentSpec,
    LossSpec,
    ModelSpec,
    OptimizerSpec,
    RunSpec,
    Tier,
    TrainingSpec,
    fingerprint_of,
)

__all__ = [
    "TIERS",
    "Benchmark",
    "DatasetSpec",
    "Document",
    "EmaSpec",
    "EvaluationSpec",
    "ExperimentSpec",
    "LossSpec",
    "ModelSpec",
    "OptimizerSpec",
    "RunSpec",
    "TableRow",
    "TableSpec",
    "Tier",
    "TrainingSpec",
    "WeightsSpec",
    "fingerprint_of",
    "load_benchmark",
    "merge",
    "parse_override",
    "read_yaml",
    "resolve",
]

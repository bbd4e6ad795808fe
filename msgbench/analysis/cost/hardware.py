"""What trainings run on: peak arithmetic and power of GPUs as data (msgbench/reference/hardware.csv).

Hours follow from a stated fraction of a named GPU's peak; they are an estimate to decide by, never a
result. Where a training was measured, its throughput is used instead (measured.py).
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgbench.reference
from msgbench.config.sentences import nearest
from msgbench.errors import ConfigError

_FILE = Path(msgbench.reference.__file__).parent / "hardware.csv"

CPU = "CPU"


@dataclass(frozen=True)
class Gpu:
    """A GPU (or one thread of a CPU) and how much of it a training is assumed to use."""

    name: str
    device: str
    """Stands in the device name of records made on it."""
    peak_flop_per_second: float
    """Dense float32 peak of the data sheet, without TF32; for a CPU the measured rate of one thread."""
    sustained: float
    """Fraction of the peak that a training is assumed to sustain."""
    faster: Mapping[str, tuple[float, float]]
    """By precision (tf32, bfloat16) the dense peak of the data sheet and the fraction of it that a training is assumed
    to sustain; what is not there is counted as float32."""
    least_step_seconds: float
    """What a training step takes at least, however small its networks: some thousand kernels have to be launched."""
    watts: float | None
    """Power at full load (TDP); None where no data sheet states it."""
    source: str

    @property
    def is_cpu(self) -> bool:
        return self.name == CPU

    def flop_per_hour(self, precision: str = "float32") -> float:
        """Arithmetic done in one hour by networks that compute in `precision`; measuring is always float32."""
        peak, sustained, _ = self._pace(precision)
        return peak * sustained * 3600

    def assumption(self, precision: str = "float32") -> str:
        """The estimate's assumption as a phrase."""
        peak, sustained, counted = self._pace(precision)
        if self.is_cpu:
            return f"one CPU thread at {peak / 1e9:g} GFLOP/s"
        return f"one {self.name} at {sustained:.0%} of its {peak / 1e12:g} TFLOP/s peak ({counted})"

    def _pace(self, precision: str) -> tuple[float, float, str]:
        """Peak, sustained fraction, and which precision they are of."""
        if precision in self.faster:
            return *self.faster[precision], precision
        return self.peak_flop_per_second, self.sustained, "float32"


@functools.cache
def hardware() -> dict[str, Gpu]:
    """All known hardware by name."""
    with _FILE.open(encoding="utf-8", newline="") as file:
        return {
            line["name"]: Gpu(
                name=line["name"],
                device=line["device"],
                peak_flop_per_second=float(line["peak_tflops"]) * 1e12,
                sustained=float(line["sustained"]),
                faster={
                    precision: (
                        float(line[f"{column}_tflops"]) * 1e12,
                        float(line[f"{column}_sustained"]),
                    )
                    for precision, column in (("tf32", "tf32"), ("bfloat16", "bf16"))
                    if line[f"{column}_tflops"]
                },
                least_step_seconds=float(line["least_step_seconds"] or 0),
                watts=float(line["watts"]) if line["watts"] else None,
                source=line["source"],
            )
            for line in csv.DictReader(file)
        }


def get_gpu(name: str) -> Gpu:
    """The hardware called `name`, in any case; raises ConfigError with the nearest name."""
    known = {known.lower(): gpu for known, gpu in hardware().items()}
    if name.lower() not in known:
        raise ConfigError(f"--gpu: {name!r} is not known{nearest(name, hardware())}")
    return known[name.lower()]


def of_device(device: str) -> Gpu | None:
    """The hardware that a record's device name means; None when it is not in the list."""
    if is_cpu(device):
        return hardware()[CPU]
    return next((g for g in hardware().values() if not g.is_cpu and g.device in device), None)


def is_cpu(device: str) -> bool:
    """Whether a record's device name is that of a CPU."""
    return device == "cpu"

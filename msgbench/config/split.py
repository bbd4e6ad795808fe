"""Into how many processes and micro-batches the steps of an experiment can be split. Not how it is done (training/).

The batch belongs to the experiment. What may be split is the work on it: MinibatchStdDev looks at groups of samples,
fixed by their index in the batch, and a group stays whole. Splitting changes rounding and nothing else, so none of
this is part of a fingerprint.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgbench.config.specs import ExperimentSpec
from msgbench.errors import ConfigError


def group_size(spec: ExperimentSpec, batch_size: int) -> int:
    """Samples of a batch that cannot be told apart: a group of MinibatchStdDev, 1 without that layer."""
    if spec.model.mbstd == "off":
        return 1
    group = spec.model.mbstd_group_size
    return batch_size if group is None else min(group, batch_size)


def most_processes(spec: ExperimentSpec) -> int:
    """The largest number of processes (GPUs) that can share every step; its divisors can, too."""
    counts = [batch // group_size(spec, batch) for batch in spec.schedule.batch_sizes]
    return math.gcd(*counts)


def legal_processes(spec: ExperimentSpec) -> tuple[int, ...]:
    """Numbers of processes that can share every step of the experiment, smallest first; 1 always can."""
    most = most_processes(spec)
    return tuple(n for n in range(1, most + 1) if most % n == 0)


def check_processes(spec: ExperimentSpec, processes: int, where: str) -> None:
    """Raise ConfigError, naming the legal numbers, unless so many `processes` can share every step.

    `where` is the key or place that the number is from.
    """
    if most_processes(spec) % processes == 0:
        return
    if spec.model.mbstd != "off" and spec.model.mbstd_group_size is None:
        raise ConfigError(
            f"{where}: {processes} processes are not allowed; MinibatchStdDev looks at the whole batch "
            "(model.mbstd_group_size is empty), which cannot be split; allowed: 1"
        )
    batches = ", ".join(str(batch) for batch in spec.schedule.batch_sizes)
    grouped = spec.model.mbstd != "off" and (spec.model.mbstd_group_size or 1) > 1
    of = f" in whole groups of {spec.model.mbstd_group_size}" if grouped else ""
    allowed = ", ".join(str(count) for count in legal_processes(spec))
    raise ConfigError(
        f"{where}: {processes} processes are not allowed; batches of {batches} images{of} "
        f"can be shared by {allowed}"
    )


def require_use(specs: Iterable[ExperimentSpec], processes: int, where: str) -> None:
    """Raise ConfigError, naming the legal numbers, when none of `specs` can be shared by so many `processes`."""
    legal = {count for spec in specs for count in legal_processes(spec)}
    if processes > 1 and legal and processes not in legal:
        allowed = ", ".join(str(count) for count in sorted(legal))
        raise ConfigError(
            f"{where}: {processes} processes are not allowed, no experiment can be shared by them; allowed, "
            f"each by some: {allowed}"
        )

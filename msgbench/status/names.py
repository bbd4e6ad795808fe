"""Which run a person means: an experiment, an experiment and a seed, a run directory or a fingerprint's start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from msgbench.config import Benchmark
from msgbench.config.sentences import nearest
from msgbench.errors import ConfigError
from msgbench.layout import Layout
from msgbench.status.overview import plans
from msgbench.status.runs import Planned

_FEWEST_CHARS = 4


def find_run(benchmark: Benchmark, layout: Layout, name: str) -> Planned:
    """The one run that `name` means, of the config or found in the results folder.

    A run of the present config goes before folders of former specs. Raises ConfigError with the candidates
    when there are several, and with the nearest name when there is none.
    """
    known = plans(benchmark, layout)
    meant = _meant(known, name)
    meant = [plan for plan in meant if plan.current] or meant
    if len(meant) == 1:
        return meant[0]
    if not meant:
        names = {plan.experiment for plan in known}
        head = name.strip("/").rpartition("/")[0]
        seeds = [plan.seed for plan in known if plan.current and plan.experiment == head]
        if seeds:
            allowed = ", ".join(f"{head}/seed{seed}" for seed in seeds)
            raise ConfigError(f"{name}: is no run of tier {benchmark.tier}; allowed: {allowed}")
        raise ConfigError(
            f"{name or repr(name)}: is no run of tier {benchmark.tier}{nearest(name, names)}"
        )
    raise ConfigError(
        f"{name}: is not one run; it may be {', '.join(plan.run_id for plan in meant)}"
    )


def _meant(known: Sequence[Planned], name: str) -> list[Planned]:
    folder = Path(name)
    if folder.is_dir():
        here = folder.resolve()
        found = [plan for plan in known if plan.folder.resolve() == here]
        if found:
            return found
    name = name.strip("/")
    experiments = [plan for plan in known if plan.experiment == name]
    if experiments:
        return experiments
    head, slash, tail = name.rpartition("/")
    seed = tail.removeprefix("seed")
    if slash and seed.isdigit():
        return [
            plan
            for plan in known
            if plan.seed == int(seed)
            and head in (plan.experiment, f"{plan.experiment}/{plan.fingerprint}", plan.fingerprint)
        ]
    if re.fullmatch(rf"[0-9a-f]{{{_FEWEST_CHARS},}}", name):
        return [
            plan
            for plan in known
            if plan.fingerprint.startswith(name) or name.startswith(plan.fingerprint)
        ]
    return []

"""Statements that the specs alone decide: numbers of parameters, and settings that are the same or not."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from msgbench.analysis.claims.outcome import Evidence, Outcome, number
from msgbench.analysis.parameter_table import parameter_frame
from msgbench.config import ExperimentSpec, ModelSpec
from msgbench.models.arithmetic import discriminator_parameters, generator_parameters

# A sum that grows exponentially is multiplied by the same factor at each step: of the first factor, what the last has.
SAME_FACTOR = 0.9
# How much more than the first scales a further one may add, in parts of that, to be no more than linear.
STRAIGHT = 0.05


def settings_of(experiment: ExperimentSpec) -> dict[str, Any]:
    """What the paper calls hyperparameters."""
    parts = {"optimizer": experiment.optimizer, "loss": experiment.loss, "ema": experiment.ema}
    return {
        f"{name}.{key}": value
        for name, part in parts.items()
        for key, value in part.model_dump().items()
    }


def same_settings(groups: list[Mapping[str, ExperimentSpec]]) -> Outcome:
    """Whether optimizer, losses and average are the same in each group."""
    differing: list[str] = []
    for specs in groups:
        settings = {name: settings_of(spec) for name, spec in specs.items()}
        first_name, first = next(iter(settings.items()))
        for name, ours in settings.items():
            differing += [
                f"{key} is {ours[key]!r} in {name}, {first[key]!r} in {first_name}"
                for key in first
                if ours[key] != first[key]
            ]
    if differing:
        return Outcome("fails", "; ".join(differing))
    listed = "; ".join(", ".join(group) for group in groups)
    return Outcome("holds", f"optimizer, losses and average are the same in: {listed}")


def linear(model: ModelSpec) -> Outcome:
    """Whether the parameters that scales add to one discriminator grow no faster than linearly."""
    frame = parameter_frame(model)
    sides, values = frame["resolution"].tolist(), [float(added) for added in frame["added"]]
    evidence = tuple(
        Evidence(f"parameters that scales add to D at {side} px", added, "parameters", None)
        for side, added in zip(sides, values, strict=True)
    )
    steps = [later - earlier for earlier, later in itertools.pairwise(values)]
    said = f"from {number(values[0])} at {sides[0]} px to {number(values[-1])} at {sides[-1]} px"
    if any(step > steps[0] * (1 + STRAIGHT) for step in steps):
        return Outcome("fails", f"a further scale adds more than the ones before: {said}", evidence)
    return Outcome("holds", f"no further scale adds more than the first ones did: {said}", evidence)


def exponential(model: ModelSpec) -> Outcome:
    """Whether one discriminator a resolution multiplies the parameters by the same factor with each resolution."""
    frame = parameter_frame(model)
    sides = frame["resolution"].tolist()
    totals = [float(total) for total in frame["one_discriminator_a_scale"]]
    evidence = tuple(
        Evidence(f"parameters of one D a resolution up to {side} px", total, "parameters", None)
        for side, total in zip(sides, totals, strict=True)
    )
    factors = [later / earlier for earlier, later in itertools.pairwise(totals)]
    said = (
        f"{len(totals) + 1} discriminators have {number(totals[-1])} parameters; a further resolution multiplies them "
        f"by {factors[0]:.3g} at first and by {factors[-1]:.3g} at last, an exponential by the same factor"
    )
    return Outcome("holds" if factors[-1] >= SAME_FACTOR * factors[0] else "fails", said, evidence)


def equal_parameters(specs: Mapping[str, ExperimentSpec]) -> Outcome:
    """Whether the networks of all experiments have as many parameters as each other."""
    counts: dict[str, dict[str, int]] = {"G": {}, "D": {}}
    for name, experiment in specs.items():
        counts["G"][name] = generator_parameters(experiment.model)
        counts["D"][name] = discriminator_parameters(experiment.model)
    evidence = tuple(
        Evidence(f"parameters of {net} of {name}", float(count), "parameters", None)
        for net, of in counts.items()
        for name, count in of.items()
    )
    parts = []
    for net, of in counts.items():
        same = len(set(of.values())) == 1
        listed = " and ".join(f"{count:,}" for count in of.values())
        parts.append(
            (same, f"{net} has {'the same' if same else 'other'} number of parameters ({listed})")
        )
    state = "holds" if all(same for same, _ in parts) else "fails"
    return Outcome(
        "holds" if state == "holds" else "fails", "; ".join(text for _, text in parts), evidence
    )

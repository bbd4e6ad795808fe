"""What the steps report: numbers that stay on the device until somebody reads them, many steps at a time.

Reading a number makes the host wait for the device, so no step does it. Before anything is written (a line of
statistics, a snapshot, a training state) the numbers of all steps since the last reading are read and checked: a
training whose loss is not finite ends before it has saved that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from msgbench.config import RunSpec
from msgbench.errors import TrainingError
from msgbench.losses.discriminator import DiscriminatorLoss
from msgbench.training.world import ALONE, World
from msgbench.units import nimg_to_kimg

# Steps that may wait for being read, so that a training that is lost ends soon.
MOST_UNREAD = 128

StepStats = dict[str, float]


@dataclass(frozen=True)
class StepReport:
    """Numbers of one update, by name, and of the generated images of every scale whether they are finite.

    All on the device: `values` [K] float32, `finite` [S] of 1 and 0; `scales` are the resolutions of these images.
    """

    network: str
    names: tuple[str, ...]
    values: Tensor
    finite: Tensor
    scales: tuple[int, ...]

    @classmethod
    def of_discriminator(cls, loss: DiscriminatorLoss, fakes: Sequence[Tensor]) -> StepReport:
        """Total, terms, mean scores, mean gradient norm of every penalised scale."""
        norms = tuple(f"gradient_norm_{resolution}px" for resolution in loss.penalised)
        values = [
            loss.total,
            *loss.terms.values(),
            loss.real_scores.mean(),
            loss.fake_scores.mean(),
        ]
        numbers = torch.cat(
            [torch.stack([value.detach() for value in values]), loss.gradient_norms.mean(dim=0)]
        )
        names = ("loss_d", *loss.terms, "score_real", "score_fake", *norms)
        return cls("discriminator", names, numbers, _finite(fakes), _scales(fakes))

    @classmethod
    def of_generator(cls, loss: Tensor, fakes: Sequence[Tensor]) -> StepReport:
        """The loss."""
        return cls(
            "generator", ("loss_g",), loss.detach().reshape(1), _finite(fakes), _scales(fakes)
        )

    def plus(self, before: StepReport | None, weight: float) -> StepReport:
        """`weight` times this one, added to what was summed up `before`."""
        values, finite = self.values * weight, self.finite * weight
        if before is not None:
            values, finite = before.values + values, before.finite + finite
        return StepReport(self.network, self.names, values, finite, self.scales)

    def require_finite(self, run: RunSpec, cur_nimg: int) -> None:
        """Raise TrainingError, naming term, scale and kimg, when a number is not finite. Reads the numbers."""
        _check(self, self.values.tolist(), self.finite.tolist(), run, cur_nimg)


class Unread:
    """Reports of steps that nobody has read yet, each with the number of images at which its step began."""

    def __init__(self, run: RunSpec, world: World = ALONE) -> None:
        self._run, self._world = run, world
        self._reports: list[tuple[int, tuple[StepReport, ...]]] = []

    def add(self, cur_nimg: int, reports: tuple[StepReport, ...]) -> None:
        """Keep the `reports` of the step that began at `cur_nimg`."""
        self._reports.append((cur_nimg, reports))

    @property
    def is_full(self) -> bool:
        """Whether so many steps wait that they should be read."""
        return len(self._reports) >= MOST_UNREAD

    def read(self) -> list[StepStats]:
        """The numbers of each step in order, of all processes together; nothing is unread afterwards.

        Raises TrainingError as `StepReport.require_finite` does.
        """
        waiting, self._reports = self._reports, []
        every = [report for _, reports in waiting for report in reports]
        if not every:
            return []
        flat = torch.cat([part for report in every for part in (report.values, report.finite)])
        self._world.sum_([flat])
        numbers = iter(flat.tolist())
        found = []
        for cur_nimg, reports in waiting:
            stats: StepStats = {}
            for report in reports:
                values = [next(numbers) for _ in report.names]
                finite = [next(numbers) for _ in report.scales]
                _check(report, values, finite, self._run, cur_nimg)
                stats |= dict(zip(report.names, values, strict=True))
            found.append(stats)
        return found


def _scales(images: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(image.shape[-1] for image in images)


def _finite(images: Sequence[Tensor]) -> Tensor:
    return torch.stack([torch.isfinite(image.detach()).all() for image in images]).float()


def _check(
    report: StepReport,
    values: Sequence[float],
    finite: Sequence[float],
    run: RunSpec,
    cur_nimg: int,
) -> None:
    if all(math.isfinite(value) for value in values):
        return
    scale = None
    for resolution, share in zip(report.scales, finite, strict=True):
        # Over micro-batches and processes the shares add up to 1, but for rounding.
        if scale is None and share < 0.999:
            scale = f"the generated images at scale {resolution}"
    kimg = f"{nimg_to_kimg(cur_nimg):g} kimg"
    if report.network == "generator":
        raise TrainingError(
            f"{run.run_id}: the generator loss is {values[0]} at {kimg} (first not finite in "
            f"{scale or 'the scores'}); lower optimizer.lr or look at the last grids"
        )
    bad = [
        name for name, value in zip(report.names, values, strict=True) if not math.isfinite(value)
    ]
    terms = [name for name in bad if name in ("adversarial", "gradient_penalty", "r1", "drift")]
    norms = [name for name in bad if name.startswith("gradient_norm_")]
    if scale is None and norms:
        scale = (
            f"the gradient at scale {norms[0].removeprefix('gradient_norm_').removesuffix('px')}"
        )
    raise TrainingError(
        f"{run.run_id}: the discriminator loss is not finite at {kimg} "
        f"(term {', '.join(terms) or 'total'}, first in {scale or 'the scores'}); "
        "lower optimizer.lr or look at the last grids"
    )

"""The costly functions of a step, compiled: the generator's pass, D with its penalty, and G through a frozen D.

What is compiled is written with torch.func (losses/functional.py): the derivative of a penalty's gradient cannot be
compiled in autograd's form. Shapes are static: a growing training compiles anew for each resolution, once while it
fades and once when it is stable; the share of a fade is a number on the device. Adversarial terms, sums and updates
stay as they are: they are small, or one kernel already.

Compiled arithmetic rounds in another order, so `training.compile` is part of an experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from msgbench.config import RunSpec
from msgbench.losses.discriminator import (
    AdversarialTerm,
    DiscriminatorLoss,
    Outputs,
    discriminator_outputs,
    penalised_scales,
    summed_up,
)
from msgbench.losses.functional import functional_score_gradients
from msgbench.models.growing import fade_as_number
from msgbench.models.stylegan import StyleMixing
from msgbench.training.draws import GeneratorInputs

# Of one function: every resolution of a growing network, fading and stable, with and without gradients or mixed styles.
_MOST_VERSIONS = 128


class Compiled:
    """The compiled functions of a training's G and D; `backend` is torch.compile's."""

    def __init__(self, G: nn.Module, D: nn.Module, run: RunSpec, backend: str = "inductor") -> None:
        torch._dynamo.config.recompile_limit = _MOST_VERSIONS
        torch._dynamo.config.accumulated_recompile_limit = 4 * _MOST_VERSIONS
        for network in (G, D):
            fade_as_number(network)
        self._G, self._D, self._spec = G, D, run.spec.loss
        self._total = self._spec.penalty == "r1" and self._spec.r1_gradient == "total"
        options: dict[str, Any] = {"backend": backend, "dynamic": False, "fullgraph": True}
        self._generate = torch.compile(self._images, **options)
        self._fool = torch.compile(self._images_and_scores, **options)
        self._judge = torch.compile(self._outputs, **options)
        self._score = torch.compile(self._scores, **options)

    def generate(self, inputs: GeneratorInputs) -> list[Tensor]:
        """Images of all scales."""
        return self._generate(*_loose(inputs))

    def fool(self, inputs: GeneratorInputs) -> tuple[list[Tensor], Tensor]:
        """Images of all scales and their scores, with gradients for G."""
        return self._fool(*_loose(inputs))

    def score(self, images: Sequence[Tensor]) -> Tensor:
        """Scores [N] of D."""
        return self._score(list(images))

    def discriminator_loss(
        self,
        reals: Sequence[Tensor],
        fakes: Sequence[Tensor],
        u: Tensor | None,
        connected: tuple[int, ...] | None,
        adversarial: AdversarialTerm | None,
        enlarged: int,
    ) -> DiscriminatorLoss:
        """As losses/discriminator.py has it; the reals are plain images."""
        outputs = Outputs(
            *self._judge([x.detach() for x in reals], list(fakes), u, connected, enlarged)
        )
        return summed_up(
            outputs, self._spec, penalised_scales(reals, self._spec, connected), adversarial
        )

    def _images(
        self, z: Tensor, noise: tuple[Tensor, ...], other: Tensor | None, cutoff: Tensor | None
    ) -> list[Tensor]:
        if other is None or cutoff is None:
            images: list[Tensor] = self._G(z, noise)
        else:
            images = self._G(z, noise, StyleMixing(other, cutoff))
        return images

    def _images_and_scores(
        self, z: Tensor, noise: tuple[Tensor, ...], other: Tensor | None, cutoff: Tensor | None
    ) -> tuple[list[Tensor], Tensor]:
        images = self._images(z, noise, other, cutoff)
        return images, self._D(images)

    def _scores(self, images: list[Tensor]) -> Tensor:
        scores: Tensor = self._D(images)
        return scores

    def _outputs(
        self,
        reals: list[Tensor],
        fakes: list[Tensor],
        u: Tensor | None,
        connected: tuple[int, ...] | None,
        enlarged: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        found = discriminator_outputs(
            self._D, reals, fakes, u, self._spec, connected, enlarged, self._score_gradients
        )
        return found.real_scores, found.fake_scores, found.norms, found.penalty

    def _score_gradients(
        self, D: Any, images: Sequence[Tensor], connected: Any
    ) -> tuple[Tensor, list[Tensor]]:
        return functional_score_gradients(D, images, connected, total=self._total)


def why_not(device: torch.device) -> str:
    """Why nothing can be compiled for `device` here, in the compiler's words; "" when it can."""
    try:
        # Tried, because what is missing differs: a C++ compiler, Triton, a writable cache.
        torch.compile(torch.sin, dynamic=False)(torch.zeros(4, device=device))
    except (RuntimeError, OSError, ImportError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return next((line for line in lines if "ompiler" in line), lines[0] if lines else "no word")
    return ""


def _loose(
    inputs: GeneratorInputs,
) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None, Tensor | None]:
    """`inputs` as tensors, so that another number of mixed layers is not another function."""
    if inputs.mixing is None:
        return inputs.z, inputs.noise, None, None
    cutoff = torch.tensor(inputs.mixing.cutoff, device=inputs.z.device)
    return inputs.z, inputs.noise, inputs.mixing.z, cutoff

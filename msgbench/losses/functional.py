"""Gradients by D's inputs as torch.func computes them: the form that one compiled function can hold.

The same numbers as `penalties.input_gradients` (autograd, the reference): feed them to `norms_of` or
`r1_penalty`. torch.func knows inputs only as independent ones, so total derivatives through a pyramid are
built from partial ones by the chain rule of average pooling.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msgbench.losses.penalties import connected_inputs


def functional_input_gradients(
    D: nn.Module,
    images: Sequence[Tensor],
    connected: Collection[int] | None = None,
    *,
    total: bool = False,
) -> list[Tensor]:
    """`functional_score_gradients` without the scores."""
    return functional_score_gradients(D, images, connected, total=total)[1]


def functional_score_gradients(
    D: nn.Module,
    images: Sequence[Tensor],
    connected: Collection[int] | None = None,
    *,
    total: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """Scores [N], and d(sum of D(images)) / d image for every connected scale, differentiable by D's parameters.

    `images`: all scales, each [N, 3, R, R], lowest resolution first. `total`: as if the images were one pyramid,
    each pooled from the next higher.
    """
    state = {**dict(D.named_parameters()), **dict(D.named_buffers())}

    def summed_scores(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        scores: Tensor = torch.func.functional_call(D, state, (list(inputs),))
        return scores.sum(), scores

    every = tuple(range(len(images)))
    found = torch.func.grad(summed_scores, every, has_aux=True)(*(x.detach() for x in images))
    gradients, scores = list(found[0]), found[1]
    chosen = connected_inputs(total_gradients(gradients) if total else gradients, connected)
    return scores, chosen


def total_gradients(partial: Sequence[Tensor]) -> list[Tensor]:
    """Total derivatives along a pyramid from the partial ones of all its scales, lowest resolution first.

    g_4 = p_4 and g_R = p_R + upsampled(g_{R/2}) / 4: a pixel of the lower image is the mean of four of the higher.
    """
    totals = [partial[0]]
    for own in partial[1:]:
        totals.append(own + F.interpolate(totals[-1], scale_factor=2, mode="nearest") / 4)
    return totals

"""One discriminator step and one generator step over all scales, with the losses of the run's spec.

A step is worked off in parts of its batch (share.py): forward and backward for each micro-batch, then one exchange of
gradients between the processes, then the update. With one process and one part that is the plain step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from msgbench.config import RunSpec
from msgbench.data.pyramid import real_pyramid
from msgbench.losses.adversarial import d_loss, g_loss
from msgbench.losses.discriminator import AdversarialTerm, DiscriminatorLoss, discriminator_loss
from msgbench.training.draws import GeneratorInputs, generator_inputs, mixing
from msgbench.training.networks import Networks
from msgbench.training.reports import StepReport
from msgbench.training.share import Part, Share
from msgbench.training.whole_batch import BufferMean, Scores, WholeBatchTerm


def discriminator_step(
    nets: Networks,
    reals: Sequence[Tensor],
    run: RunSpec,
    cur_nimg: int,
    share: Share | None = None,
) -> StepReport:
    """Update D on `reals` (list of [N, 3, R, R] in [-1, 1], lowest R first) and as many fresh fakes.

    `share`: what this process does of the step; `reals` are then its own, in the share's order.
    """
    share = share or Share(run)
    parts = share.parts(len(reals[0]) * share.world.size)
    batch, device = parts[0].batch, reals[0].device
    inputs = generator_inputs(nets.G, run, batch, cur_nimg, "d")
    u = mixing(run, batch, len(reals), cur_nimg, device)
    own = [share.micro(list(reals), index, parts) for index in range(len(parts))]
    whole = None
    if run.spec.loss.relativistic and not parts[0].is_whole:
        whole = WholeBatchTerm(
            share.world,
            lambda real, fake: d_loss(run.spec.loss.adversarial, real, fake),
            _scores_first(nets, parts, own, inputs) if len(parts) > 1 else None,
        )
    nets.opt_D.zero_grad(set_to_none=True)
    buffers = BufferMean(nets.G, share.world, parts)
    report = None
    for index, part in enumerate(parts):
        with torch.no_grad(), buffers.part(index):
            fakes = generate(nets, inputs.of(part))
        term = None if whole is None else whole.of(index)
        loss = _loss(nets, own[index], fakes, None if u is None else part.of(u), run, term)
        _weighted(loss.total, part).backward()
        report = _joined(report, StepReport.of_discriminator(loss, fakes), part)
    buffers.finish()
    share.world.sum_(gradients(nets.D))
    nets.opt_D.step()
    assert report is not None
    return report


def generator_step(
    nets: Networks,
    run: RunSpec,
    batch: int,
    cur_nimg: int,
    reals: Sequence[Tensor] | None = None,
    share: Share | None = None,
) -> StepReport:
    """Update G as `generator_gradients` says, with the same arguments."""
    report = generator_gradients(nets, run, batch, cur_nimg, reals, share)
    nets.opt_G.step()
    return report


def generator_gradients(
    nets: Networks,
    run: RunSpec,
    batch: int,
    cur_nimg: int,
    reals: Sequence[Tensor] | None = None,
    share: Share | None = None,
) -> StepReport:
    """Gradients of G through a frozen D, on fresh latents or on those of the discriminator step, as the spec says.

    `batch`: images of the step in this process. `reals` (list of [N, 3, R, R] in [-1, 1], lowest R first) are needed by
    the relativistic losses alone, and like `share` as in `discriminator_step`.
    """
    spec, share = run.spec.loss, share or Share(run)
    parts = share.parts(batch * share.world.size)
    latents = "g" if spec.generator_batch == "fresh" else "d"
    inputs = generator_inputs(nets.G, run, parts[0].batch, cur_nimg, "g", latents)
    own: list[list[Tensor]] = [[] for _ in parts]
    if spec.relativistic:
        assert reals is not None, f"{spec.adversarial} needs reals in the generator step"
        own = [share.micro(list(reals), index, parts) for index in range(len(parts))]
    whole = None
    with frozen(nets.D):
        if spec.relativistic and not parts[0].is_whole:
            whole = WholeBatchTerm(
                share.world,
                lambda real, fake: g_loss(spec.adversarial, fake, real),
                _scores_first(nets, parts, own, inputs) if len(parts) > 1 else None,
            )
        nets.opt_G.zero_grad(set_to_none=True)
        buffers = BufferMean(nets.G, share.world, parts)
        report = None
        for index, part in enumerate(parts):
            with buffers.part(index):
                fakes, fake_scores = _fooled(nets, inputs.of(part))
            real_scores = score(nets, own[index]) if spec.relativistic else None
            if whole is None:
                loss = g_loss(spec.adversarial, fake_scores, real_scores)
            else:
                assert real_scores is not None
                loss = whole.of(index)(real_scores, fake_scores)
            _weighted(loss, part).backward()
            report = _joined(report, StepReport.of_generator(loss, fakes), part)
    buffers.finish()
    share.world.sum_(gradients(nets.G))
    assert report is not None
    return report


def both_steps(
    nets: Networks,
    reals: Sequence[Tensor],
    run: RunSpec,
    cur_nimg: int,
    beside: Sequence[Tensor] | None = None,
    share: Share | None = None,
) -> tuple[StepReport, StepReport]:
    """One step of each network: the discriminator on `reals`, then the generator, with reals `beside` its fakes.

    Where the spec says `joint`, the generator's gradients go through the discriminator as it was before the step.
    """
    batch = len(reals[0])
    if run.spec.loss.generator_batch != "joint":
        of_discriminator = discriminator_step(nets, reals, run, cur_nimg, share)
        return of_discriminator, generator_step(nets, run, batch, cur_nimg, beside, share)
    of_generator = generator_gradients(nets, run, batch, cur_nimg, beside, share)
    of_discriminator = discriminator_step(nets, reals, run, cur_nimg, share)
    nets.opt_G.step()
    return of_discriminator, of_generator


def enlarged(reals: Sequence[Tensor], run: RunSpec) -> int:
    """How many times the penalty's pixels are as many in a row as those of `reals`: 1 but in a growing training."""
    growing = run.spec.growing
    if growing is None or growing.penalty_pixels == "shown":
        return 1
    return run.spec.model.resolution // reals[-1].shape[-1]


def connected_scales(D: nn.Module) -> tuple[int, ...] | None:
    """Resolutions whose images D uses, lowest first; None = all."""
    return getattr(D, "connected", None)


def penalty_inputs(reals: Sequence[Tensor], run: RunSpec) -> Sequence[Tensor]:
    """`reals` as the penalty needs them: for R1 with total derivatives one chain from a top that has gradients."""
    spec = run.spec.loss
    if spec.penalty == "r1" and spec.r1_gradient == "total":
        top = reals[-1].detach().requires_grad_()
        return [top] if run.spec.growing else real_pyramid(top)
    return reals


def gradients(network: nn.Module) -> list[Tensor]:
    """The gradients that the parameters of `network` have, in the order of the parameters."""
    return [p.grad for p in network.parameters() if p.grad is not None]


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for the parameters of `network`: the generator step pays only for its own."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


@torch.no_grad()
def _scores_first(
    nets: Networks, parts: Sequence[Part], reals: Sequence[list[Tensor]], inputs: GeneratorInputs
) -> list[Scores]:
    """Scores of all micro-batches, for a loss that compares each with the mean of all; nothing is kept of the way."""
    found = []
    buffers = [buffer.clone() for buffer in nets.G.buffers()]
    for index, part in enumerate(parts):
        fakes = generate(nets, inputs.of(part))
        found.append(Scores(score(nets, reals[index]), score(nets, fakes)))
    for buffer, before in zip(nets.G.buffers(), buffers, strict=True):
        buffer.copy_(before)
    return found


def generate(nets: Networks, inputs: GeneratorInputs) -> list[Tensor]:
    """Images of the training generator, lowest resolution first."""
    return inputs.generate(nets.G) if nets.compiled is None else nets.compiled.generate(inputs)


def score(nets: Networks, images: Sequence[Tensor]) -> Tensor:
    """Scores [N] of `images`."""
    scores: Tensor = nets.D(images) if nets.compiled is None else nets.compiled.score(images)
    return scores


def _fooled(nets: Networks, inputs: GeneratorInputs) -> tuple[list[Tensor], Tensor]:
    """Images of the training generator, and their scores."""
    if nets.compiled is not None:
        return nets.compiled.fool(inputs)
    fakes = inputs.generate(nets.G)
    return fakes, nets.D(fakes)


def _loss(
    nets: Networks,
    reals: Sequence[Tensor],
    fakes: Sequence[Tensor],
    u: Tensor | None,
    run: RunSpec,
    term: AdversarialTerm | None,
) -> DiscriminatorLoss:
    connected = connected_scales(nets.D)
    if nets.compiled is not None:
        return nets.compiled.discriminator_loss(
            reals, fakes, u, connected, term, enlarged(reals, run)
        )
    shown = penalty_inputs(reals, run)
    return discriminator_loss(
        nets.D, shown, fakes, u, run.spec.loss, connected, term, enlarged(shown, run)
    )


def _weighted(loss: Tensor, part: Part) -> Tensor:
    return loss if part.is_whole else loss * part.weight


def _joined(before: StepReport | None, report: StepReport, part: Part) -> StepReport:
    return report if part.is_whole else report.plus(before, part.weight)

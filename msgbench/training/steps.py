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
from msgbench.training.memory import in_parts
from msgbench.training.networks import Networks
from msgbench.training.reports import StepReport
from msgbench.training.share import Part, Share
from msgbench.training.whole_batch import BufferMean, WholeBatchTerm


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
    batch, device = len(reals[0]) * share.world.size, reals[0].device
    inputs = generator_inputs(nets.G, run, batch, cur_nimg, "d")
    u = mixing(run, batch, len(reals), cur_nimg, device)
    adversarial = run.spec.loss.adversarial
    whole = WholeBatchTerm(share.world, lambda real, fake: d_loss(adversarial, real, fake))

    def gradients_of(parts: list[Part]) -> StepReport:
        compares = run.spec.loss.relativistic and not parts[0].is_whole
        if compares and len(parts) > 1 and not whole.is_known:
            whole.learn(*_scores(nets, share, parts, reals, inputs))
        nets.opt_D.zero_grad(set_to_none=True)
        buffers = BufferMean(nets.G, parts)
        report = None
        for part in parts:
            with torch.no_grad(), buffers.part(part):
                fakes = generate(nets, inputs.of(part))
            place = share.place(part)
            own = [place.of(image) for image in reals]
            term = whole.of(place) if compares else None
            loss = _loss(nets, own, fakes, None if u is None else part.of(u), run, term)
            _weighted(loss.total, part).backward()
            report = _joined(report, StepReport.of_discriminator(loss, fakes), part)
        assert report is not None
        buffers.leave()
        return report

    report = in_parts(nets.G, share, batch, gradients_of)
    share.world.sum_([*gradients(nets.D), *nets.G.buffers()])
    nets.opt_D.step()
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
    batch *= share.world.size
    latents = "g" if spec.generator_batch == "fresh" else "d"
    inputs = generator_inputs(nets.G, run, batch, cur_nimg, "g", latents)
    beside: Sequence[Tensor] = ()
    if spec.relativistic:
        assert reals is not None, f"{spec.adversarial} needs reals in the generator step"
        beside = reals
    whole = WholeBatchTerm(share.world, lambda real, fake: g_loss(spec.adversarial, fake, real))

    def gradients_of(parts: list[Part]) -> StepReport:
        compares = spec.relativistic and not parts[0].is_whole
        if compares and len(parts) > 1 and not whole.is_known:
            whole.learn(*_scores(nets, share, parts, beside, inputs))
        nets.opt_G.zero_grad(set_to_none=True)
        buffers = BufferMean(nets.G, parts)
        report = None
        for part in parts:
            place = share.place(part)
            with buffers.part(part):
                fakes, fake_scores = _fooled(nets, inputs.of(part))
            own = [place.of(image) for image in beside]
            real_scores = score(nets, own) if spec.relativistic else None
            if compares:
                assert real_scores is not None
                loss = whole.of(place)(real_scores, fake_scores)
            else:
                loss = g_loss(spec.adversarial, fake_scores, real_scores)
            _weighted(loss, part).backward()
            report = _joined(report, StepReport.of_generator(loss, fakes), part)
        assert report is not None
        buffers.leave()
        return report

    with frozen(nets.D):
        report = in_parts(nets.G, share, batch, gradients_of)
    share.world.sum_([*gradients(nets.G), *nets.G.buffers()])
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
def _scores(
    nets: Networks,
    share: Share,
    parts: Sequence[Part],
    reals: Sequence[Tensor],
    inputs: GeneratorInputs,
) -> tuple[Tensor, Tensor]:
    """Scores of this process's reals and fakes, in its order; nothing is kept of the way, and no buffer moves."""
    buffers = [(buffer, buffer.clone()) for buffer in nets.G.buffers()]
    own = share.own(parts[0].batch)
    order = torch.arange(own.size, device=reals[0].device)
    found = []
    for part in parts:
        place = share.place(part)
        fakes = generate(nets, inputs.of(part))
        pair = score(nets, [place.of(image) for image in reals]), score(nets, fakes)
        found.append((place.of(order), torch.stack(pair)))
    for buffer, before in buffers:
        buffer.copy_(before)
    back = torch.cat([at for at, _ in found]).argsort()
    real, fake = torch.cat([pair for _, pair in found], dim=1)[:, back]
    return real, fake


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

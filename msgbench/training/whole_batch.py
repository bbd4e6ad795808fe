"""What a step needs of its whole batch although it is worked off in parts: relativistic means, averages of buffers.

A relativistic loss compares every score with the mean of the others' (first version, equations 10 to 12), so it is a
function of all scores of the batch. Its derivative by each score is computed from all of them, gathered without
gradients; a part then goes back through its own scores with these derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from msgbench.losses.discriminator import AdversarialTerm
from msgbench.training.share import Part
from msgbench.training.world import World


@dataclass(frozen=True)
class Scores:
    """Scores [n] of the reals and of the fakes of one part."""

    real: Tensor
    fake: Tensor


class WholeBatchTerm:
    """`term` of the scores of the whole batch, for the parts that this process works on.

    `scores`: those of all its parts, known beforehand; None: of its only part, whose scores it gets to see.
    """

    def __init__(
        self, world: World, term: AdversarialTerm, scores: Sequence[Scores] | None
    ) -> None:
        self._world, self._term = world, term
        self._known = None if scores is None else self._derived(scores)

    def of(self, index: int) -> AdversarialTerm:
        """The term for the scores of part number `index`: its value is the whole batch's.

        Its derivative by these scores is that of the whole batch's term, times the number of parts: a step weights what
        each part adds by its share.
        """

        def term(real: Tensor, fake: Tensor) -> Tensor:
            known = self._known or self._derived([Scores(real, fake)])
            value, derivatives, number = known
            by = derivatives[index]
            slope = (real * by.real).sum() + (fake * by.fake).sum()
            return value + number * (slope - slope.detach())

        return term

    def _derived(self, scores: Sequence[Scores]) -> tuple[Tensor, list[Scores], int]:
        """The term's value, its derivatives by the scores of each part, and the number of parts of all processes."""
        sizes = [len(part.real) for part in scores]
        own = torch.stack(
            [torch.cat([part.real for part in scores]), torch.cat([part.fake for part in scores])]
        )
        with torch.enable_grad():
            gathered = self._world.gather(own.detach().T.contiguous())
            real, fake = (column.clone().requires_grad_() for column in gathered.unbind(1))
            value = self._term(real, fake)
            by_real, by_fake = torch.autograd.grad(value, (real, fake))
        start = self._world.rank * sum(sizes)
        mine = slice(start, start + sum(sizes))
        pairs = zip(by_real[mine].split(sizes), by_fake[mine].split(sizes), strict=True)
        derivatives = [Scores(*pair) for pair in pairs]
        return value.detach(), derivatives, len(scores) * self._world.size


class BufferMean:
    """Buffers of a network that each pass moves towards a mean over its samples (StyleGAN's average of w).

    With several parts every one starts from the same buffers, and the step ends with the mean of what they made of
    them: that is what one pass of the whole batch does, because the move is linear in the samples' mean.
    """

    def __init__(self, network: nn.Module, world: World, parts: Sequence[Part]) -> None:
        self._world, self._parts = world, parts
        whole = parts[0].is_whole
        self._buffers = [] if whole else list(network.buffers())
        self._before = [buffer.clone() for buffer in self._buffers]
        self._sums = [torch.zeros_like(buffer) for buffer in self._buffers]

    @contextmanager
    def part(self, index: int) -> Iterator[None]:
        """Around the pass of part number `index`."""
        yield
        with torch.no_grad():
            for buffer, before, total in zip(self._buffers, self._before, self._sums, strict=True):
                total.add_(buffer, alpha=self._parts[index].weight)
                buffer.copy_(before)

    @torch.no_grad()
    def finish(self) -> None:
        """Leave the mean in the network; once, after all parts."""
        self._world.sum_(self._sums)
        for buffer, total in zip(self._buffers, self._sums, strict=True):
            buffer.copy_(total)

"""What a step needs of its whole batch although it is worked off in parts: relativistic means, averages of buffers.

A relativistic loss compares every score with the mean of the others' (first version, equations 10 to 12), so it is a
function of all scores of the batch. Its derivative by each score is computed from all of them, gathered without
gradients; a part then goes back through its own scores with these derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from msgbench.losses.discriminator import AdversarialTerm
from msgbench.training.share import Part
from msgbench.training.world import World


class WholeBatchTerm:
    """`term` of the scores of the whole batch, for the parts of it that this process works on.

    It has to know all scores of this process before it can be used for a part of them (`learn`); where there is but one
    part it learns them from that. The others' scores are asked for once, also when a step is made again.
    """

    def __init__(self, world: World, term: AdversarialTerm) -> None:
        self._world, self._term = world, term
        # The value, and its derivatives by this process's scores of reals and of fakes.
        self._known: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def is_known(self) -> bool:
        """Whether all scores are known."""
        return self._known is not None

    def of(self, place: Part) -> AdversarialTerm:
        """The term for scores at `place` among this process's: its value is the whole batch's.

        Its derivative by these scores is that of the whole batch's term, divided by their share of the batch: a step
        weights what each part adds by that.
        """

        def term(real: Tensor, fake: Tensor) -> Tensor:
            if self._known is None:
                assert place.is_whole, "parts are scored first"
                self.learn(real, fake)
            assert self._known is not None
            value, by_real, by_fake = self._known
            slope = (real * place.of(by_real)).sum() + (fake * place.of(by_fake)).sum()
            return value + (slope - slope.detach()) / (place.weight / self._world.size)

        return term

    def learn(self, real: Tensor, fake: Tensor) -> None:
        """All scores [n] of this process's reals and fakes, in its order."""
        own = torch.stack([real.detach(), fake.detach()], dim=1)
        with torch.enable_grad():
            gathered = self._world.gather(own)
            every_real, every_fake = (x.clone().requires_grad_() for x in gathered.unbind(1))
            value = self._term(every_real, every_fake)
            by_real, by_fake = torch.autograd.grad(value, (every_real, every_fake))
        mine = slice(self._world.rank * len(real), (self._world.rank + 1) * len(real))
        self._known = (value.detach(), by_real[mine], by_fake[mine])


class BufferMean:
    """Buffers of a network that each pass moves towards a mean over its samples (StyleGAN's average of w).

    With several parts every one starts from the same buffers, and a step ends with the mean of what they made of
    them: that is what one pass of the whole batch does, because the move is linear in the samples' mean.
    """

    def __init__(self, network: nn.Module, parts: Sequence[Part]) -> None:
        whole = parts[0].is_whole
        self._buffers = [] if whole else list(network.buffers())
        self._before = [buffer.clone() for buffer in self._buffers]
        self._sums = [torch.zeros_like(buffer) for buffer in self._buffers]

    @contextmanager
    def part(self, part: Part) -> Iterator[None]:
        """Around the pass of `part`."""
        yield
        with torch.no_grad():
            for buffer, before, total in zip(self._buffers, self._before, self._sums, strict=True):
                total.add_(buffer, alpha=part.weight)
                buffer.copy_(before)

    @torch.no_grad()
    def leave(self) -> None:
        """Leave in the network what this process's parts add to the mean; the sum over all processes is the mean."""
        for buffer, total in zip(self._buffers, self._sums, strict=True):
            buffer.copy_(total)

"""Which samples of a step a process works on, and in which micro-batches.

The batch of a step is cut along the groups of MinibatchStdDev, which are fixed by the index in the batch: with N
samples in M groups, group m is {m, m + M, m + 2M, ...} (models/layers.py). A part is a run of neighbouring groups,
in an order in which the layer finds the same groups again. What is not split is not touched, so that one process
with one part computes the bits that it always did.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from torch import Tensor

from msgbench.config import RunSpec
from msgbench.config.split import group_size
from msgbench.training.world import ALONE, World

# A micro-batch of all of a process's part, as a number.
ALL = 1 << 62

Samples = TypeVar("Samples", Tensor, np.ndarray)


@dataclass(frozen=True)
class Part:
    """The groups `first` to `first + count - 1` of the `groups` groups in a batch of `batch` samples."""

    batch: int
    groups: int
    first: int
    count: int

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole batch."""
        return self.count == self.groups

    @property
    def weight(self) -> float:
        """Its share of the batch: what a mean over it counts in the mean over the batch."""
        return self.count / self.groups

    @property
    def size(self) -> int:
        """Its samples."""
        return self.batch // self.groups * self.count

    def of(self, samples: Samples) -> Samples:
        """Its samples of those of the whole batch [N, ...], group by group of MinibatchStdDev's stride."""
        if self.is_whole:
            return samples
        assert len(samples) == self.batch, f"{len(samples)} samples of a batch of {self.batch}"
        own = samples.reshape(self.batch // self.groups, self.groups, *samples.shape[1:])
        own = own[:, self.first : self.first + self.count]
        return own.reshape(self.size, *samples.shape[1:])


@dataclass
class Share:
    """What one process of `world` does of each step: its part of the batch, in micro-batches of whole groups.

    `micro_batch`: samples that it works on at a time, at most; None: all of its part.
    """

    run: RunSpec
    world: World = field(default=ALONE)
    micro_batch: int | None = None
    halvings: int = 0
    """How often it was halved because memory did not suffice."""

    def own(self, batch: int) -> Part:
        """This process's part of a batch of `batch` samples."""
        groups = batch // group_size(self.run.spec, batch)
        assert groups % self.world.size == 0, "config refuses what cannot be shared"
        count = groups // self.world.size
        return Part(batch, groups, self.world.rank * count, count)

    def parts(self, batch: int) -> list[Part]:
        """`own` as micro-batches of one size, in the order in which they are worked on."""
        whole = self.own(batch)
        count = self._groups_at_once(batch, whole)
        return [
            Part(batch, whole.groups, first, count)
            for first in range(whole.first, whole.first + whole.count, count)
        ]

    def _groups_at_once(self, batch: int, whole: Part) -> int:
        if self.micro_batch is None:
            return whole.count
        most = max(1, self.micro_batch // group_size(self.run.spec, batch))
        return max(n for n in range(1, min(most, whole.count) + 1) if whole.count % n == 0)

    def halve(self, batch: int) -> bool:
        """Half as many samples at a time from now on; False when a micro-batch is one group already."""
        whole = self.own(batch)
        groups = self._groups_at_once(batch, whole)
        if groups == 1:
            return False
        smaller = max(n for n in range(1, groups // 2 + 1) if whole.count % n == 0)
        self.micro_batch = smaller * group_size(self.run.spec, batch)
        self.halvings += 1
        return True

    def agree(self) -> None:
        """Have all processes work on as few samples at a time as the one with the least memory does."""
        at_once = ALL if self.micro_batch is None else self.micro_batch
        least, halvings = self.world.most([-at_once, self.halvings])
        self.micro_batch, self.halvings = (None if -least == ALL else -least), halvings

    def place(self, part: Part) -> Part:
        """Where the samples of `part` are among those of this process."""
        own = self.own(part.batch)
        return Part(own.size, own.count, part.first - own.first, part.count)

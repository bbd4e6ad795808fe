"""The largest steps of a training, tried before it begins: what does not fit is known in the first minute.

A growing training meets its largest images after days; a step that does not fit is made in smaller micro-batches
(memory.py).
"""

from __future__ import annotations

import torch

from msgbench.config import RunSpec
from msgbench.data.pyramid import growing_reals, real_pyramid
from msgbench.models.growing import set_lod
from msgbench.training.networks import Networks
from msgbench.training.share import Share
from msgbench.training.steps import both_steps


def largest_phase(run: RunSpec) -> tuple[int, int]:
    """(resolution, batch) of the steps that take most: the most pixels in a batch."""
    stretches = run.spec.schedule.stretches
    largest = max(stretches, key=lambda stretch: stretch.batch_size * stretch.resolution**2)
    return largest.resolution, largest.batch_size


def try_largest(run: RunSpec, device: torch.device, share: Share) -> None:
    """Make two steps of the largest phase with networks that are thrown away; `share` is smaller afterwards if need be.

    The second has the optimizers' moments in memory. Raises TrainingError when one group at a time is too much.
    """
    resolution, batch = largest_phase(run)
    nets = Networks.build(run, device)
    own = share.own(batch).size
    full = run.spec.model.resolution
    x = torch.zeros(own, 3, full, full, device=device)
    if run.spec.growing is None:
        reals = real_pyramid(x)
    else:
        missing = (full // resolution).bit_length() - 1
        # While a resolution fades in, both take part.
        lod = missing + (0.5 if resolution > run.spec.growing.start_resolution else 0.0)
        for network in (nets.G, nets.D):
            set_lod(network, lod)
        reals = [growing_reals(x, resolution, 0.5)]
    for _ in range(2):
        both_steps(nets, reals, run, 0, reals, share)
    del nets, reals, x
    if device.type == "cuda":
        torch.cuda.synchronize(device)

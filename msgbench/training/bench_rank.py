"""One process of the timing of shared steps (`msgbench bench processes`); started by bench/processes.py.

`python -m msgbench.training.bench_rank SPEC STEPS`: bound to the core of its number, it makes steps of the run in the
file SPEC and prints seconds of the clock and of its own work for each step after the first.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch

from msgbench.config import RunSpec
from msgbench.data.pyramid import real_pyramid
from msgbench.device import make_reproducible
from msgbench.training.networks import Networks, seeded, update_ema
from msgbench.training.share import Share
from msgbench.training.steps import both_steps
from msgbench.training.world import World


def main(spec: str, steps: int) -> None:
    """Print [[seconds, CPU seconds], ...], as JSON."""
    world, device = World.of_environment(), torch.device("cpu")
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[world.local_rank % len(cores)]})
    make_reproducible(1)
    with world.joined(device):
        run = RunSpec.model_validate_json(Path(spec).read_bytes())
        share, batch = Share(run, world), run.spec.training.batch_size
        nets, side = Networks.build(run, device), run.spec.model.resolution
        x = torch.rand(batch, 3, side, side, generator=seeded(0, 0, "bench")) * 2 - 1
        own = share.own(batch).of(x)
        reals = [own] if run.spec.growing else real_pyramid(own)
        taken = []
        for step in range(steps + 1):
            world.wait_for_all()
            began, worked = time.perf_counter(), time.process_time()
            both_steps(nets, reals, run, step * batch, reals, share)
            update_ema(nets.G_ema, nets.G, run.spec.ema.beta_for(batch))
            world.wait_for_all()
            taken.append([time.perf_counter() - began, time.process_time() - worked])
        print(json.dumps(taken[1:]), flush=True)
        world.wait_for_all()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

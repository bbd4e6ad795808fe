"""Steps of every method in float64, by one process or by one of several: what test_sharing.py compares.

As a program (`python -m training.ranks OUT`, with RANK and the like in the environment) it writes what rank 0 has.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from msgbench.config import RunSpec
from msgbench.data.pyramid import growing_reals, real_pyramid
from msgbench.device import make_reproducible
from msgbench.training.networks import Networks, update_ema
from msgbench.training.reports import Unread
from msgbench.training.share import Share
from msgbench.training.steps import both_steps
from msgbench.training.world import ALONE, World

from .test_growing import METHODS as GROWING_METHODS
from .test_methods import METHODS as MSG_METHODS
from .test_methods import NO_GP, run_of

BATCH, STEPS = 8, 2
# What all have in common is tested with some; what looks at the whole batch cannot be shared.
_CHOSEN = (
    "msg-stylegan",
    "phi_lin_cat",
    "r1 partial",
    "a u for each scale, one norm",
    "first version's, batch reused",
    "ra_lsgan",
    "rmsprop_tf",
    "without techniques",
)
METHODS: dict[str, dict[str, Any]] = {
    "msg-progan": {},
    **{name: MSG_METHODS[name] for name in _CHOSEN},
    "first version's": {
        "model": {"variant": "bmsg", "combine": "phi_lin_cat", "mbstd_group_size": 2},
        "loss": {"adversarial": "ra_hinge", **NO_GP},
    },
    "ra_lsgan with a gradient penalty": {"loss": {"adversarial": "ra_lsgan"}},
    **{f"growing {name}": GROWING_METHODS[name] for name in ("progan", "stylegan")},
}
# Those that two processes also do in micro-batches.
IN_MICRO_BATCHES = ("first version's",)


def spec_of(name: str) -> RunSpec:
    """The tiny run of a method, with batches of eight images."""
    method = METHODS[name]
    changes: dict[str, Any] = {"training": {**method.get("training", {}), "batch_size": BATCH}}
    if "growing" in method:
        changes["growing"] = {**method["growing"], "batch_sizes": {4: BATCH, 8: BATCH}}
    return run_of({**method, **changes})


def steps_of(name: str, world: World = ALONE, micro_batch: int | None = None) -> dict[str, Any]:
    """Everything that a few steps of the method leave: networks, moments, averages, and what they reported."""
    run = spec_of(name)
    nets = Networks.build(run, torch.device("cpu"))
    for network in (nets.G, nets.D, nets.G_ema):
        network.double()
    share = Share(run, world, micro_batch)
    unread = Unread(run, world)
    # A growing network in the middle of a fade.
    lod = 0.25 if run.spec.growing else None
    if lod is not None:
        nets.grow_to(lod)
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        whole = torch.rand(BATCH, 3, 8, 8, generator=generator) * 2 - 1
        own = share.own(BATCH).of(whole)
        reals = real_pyramid(own) if lod is None else [growing_reals(own, 8, lod)]
        beside = [image.flip(-1) for image in reals] if run.spec.loss.relativistic else None
        at = step * BATCH
        unread.add(at, both_steps(nets, reals, run, at, beside, share))
        update_ema(nets.G_ema, nets.G, 0.9)
    nets.require_equal(world)
    return {"networks": nets.state_dict(), "reports": unread.read()}


def main(out: str) -> None:
    """All methods in this process of several."""
    make_reproducible(1)
    torch.set_default_dtype(torch.float64)
    world = World.of_environment()
    with world.joined(torch.device("cpu")):
        found = {name: steps_of(name, world) for name in METHODS}
        for name in IN_MICRO_BATCHES:
            found[f"{name} in micro-batches"] = steps_of(name, world, micro_batch=2)
        if world.is_first:
            torch.save(found, out)
        world.wait_for_all()


if __name__ == "__main__":
    main(sys.argv[1])

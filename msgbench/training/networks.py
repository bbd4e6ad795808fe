"""The networks and optimizers of one training, and their moving average."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from msgbench.config import RunSpec
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.growing import set_lod
from msgbench.models.precision import fuse_upsampling, set_precision, use_channels_last
from msgbench.seeding import derive_seed
from msgbench.training.optimizers import make_optimizer


@dataclass
class Networks:
    """G, D, the moving average of G, and one optimizer for each of the two."""

    G: nn.Module
    D: nn.Module
    G_ema: nn.Module
    opt_G: torch.optim.Optimizer
    opt_D: torch.optim.Optimizer

    @classmethod
    def build(cls, run: RunSpec, device: torch.device, plain: bool = False) -> Networks:
        """Freshly drawn networks of `run`; the draw depends on the run's seed alone.

        Parameters are drawn on the CPU and moved, so that all devices start from the same bits. `plain`
        leaves out what is only there for speed (memory format, fused upsampling); for comparison.
        """
        spec = run.spec
        G = build_generator(spec.model, seeded(run.seed, 0, "init-g")).to(device)
        D = build_discriminator(spec.model, seeded(run.seed, 0, "init-d")).to(device)
        G_ema = copy.deepcopy(G).eval().requires_grad_(False)
        # The average is kept, sampled and measured in float32 whatever the training computes in.
        for network in (G, D):
            set_precision(network, spec.training.precision)
            fuse_upsampling(network, not plain)
            if not plain:
                use_channels_last(network)
        opt_G = make_optimizer(G, spec.optimizer, "G", plain)
        opt_D = make_optimizer(D, spec.optimizer, "D", plain)
        return cls(G, D, G_ema, opt_G, opt_D)

    def grow_to(self, lod: float) -> None:
        """Have G, D and G_ema work at `lod` from now on (models/growing.py)."""
        for network in (self.G, self.D, self.G_ema):
            set_lod(network, lod)

    def set_learning_rate(self, lr: float) -> None:
        """The learning rate of both optimizers from now on."""
        for optimizer in (self.opt_G, self.opt_D):
            for group in optimizer.param_groups:
                group["lr"] = lr

    def reset_optimizers(self) -> None:
        """Forget the moments of both optimizers, as if they were new."""
        for optimizer in (self.opt_G, self.opt_D):
            optimizer.state.clear()

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs, on the networks' device."""
        return {name: getattr(self, name).state_dict() for name in _PARTS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state; raises KeyError or RuntimeError when it does not fit."""
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])


_PARTS = ("G", "D", "G_ema", "opt_G", "opt_D")


def seeded(seed: int, cur_nimg: int, purpose: str) -> torch.Generator:
    """A CPU generator for one use at one moment: a function of its arguments alone."""
    return torch.Generator().manual_seed(derive_seed(seed, cur_nimg, purpose))


@torch.no_grad()
def update_ema(G_ema: nn.Module, G: nn.Module, beta: float) -> None:
    """G_ema <- beta * G_ema + (1 - beta) * G for parameters; buffers are copied, not averaged."""
    averaged: list[torch.Tensor] = list(G_ema.parameters())
    current: list[torch.Tensor] = list(G.parameters())
    torch._foreach_lerp_(averaged, current, 1 - beta)
    for kept, buffer in zip(G_ema.buffers(), G.buffers(), strict=True):
        kept.copy_(buffer)

"""The networks and optimizers of one training, and their moving average."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from msgbench.config import RunSpec
from msgbench.errors import TrainingError
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.growing import set_lod
from msgbench.models.precision import (
    fuse_upsampling,
    set_precision,
    use_channels_last,
    use_direct_second_derivatives,
)
from msgbench.seeding import derive_seed
from msgbench.training.optimizers import make_optimizer
from msgbench.training.world import World
from msgbench.units import nimg_to_kimg

if TYPE_CHECKING:
    from msgbench.training.compiled import Compiled


@dataclass
class Networks:
    """G, D, the moving average of G, and one optimizer for each of the two."""

    G: nn.Module
    D: nn.Module
    G_ema: nn.Module
    opt_G: torch.optim.Optimizer
    opt_D: torch.optim.Optimizer
    compiled: Compiled | None = None
    """What steps run in place of the networks themselves, where the spec says `compile` and a compiler is there."""

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
        if spec.training.second_derivatives == "direct" and not plain:
            use_direct_second_derivatives(D)
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

    def require_equal(self, world: World) -> None:
        """Raise TrainingError, naming what and where, unless all processes of `world` hold the same bits."""
        if world.is_alone:
            return
        named = list(self._tensors())
        digests = torch.stack([_digest(tensor).cpu() for _, tensor in named])
        everyone = world.gather(digests).view(world.size, -1)
        differ = (everyone != everyone[0]).nonzero()
        if len(differ):
            rank, index = (int(number) for number in differ[0])
            raise TrainingError(
                f"{named[index][0]} of process {rank} is not what process 0 has; the processes of a training must hold "
                "the same parameters, so nothing is saved; start it again from its last training state"
            )

    def require_finite(self, run_id: str, cur_nimg: int) -> None:
        """Raise TrainingError, naming what and when, unless every parameter, average and moment is finite.

        A step whose losses are finite may leave what is not: its gradients overflow, and only the next loss tells.
        """
        for name, tensor in self._tensors():
            if not torch.isfinite(tensor).all():
                raise TrainingError(
                    f"{run_id}: {name} is not finite at {nimg_to_kimg(cur_nimg):g} kimg, after a step whose losses "
                    "were; nothing of that is saved; lower optimizer.lr or look at the last grids"
                )

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        for part in ("G", "D", "G_ema"):
            for name, tensor in getattr(self, part).state_dict().items():
                yield f"{part}.{name}", tensor
        for part in ("opt_G", "opt_D"):
            for index, moments in getattr(self, part).state_dict()["state"].items():
                for name, tensor in moments.items():
                    yield f"{part}.{index}.{name}", tensor

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs, on the networks' device."""
        return {name: getattr(self, name).state_dict() for name in _PARTS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state; raises KeyError or RuntimeError when it does not fit."""
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])


def _digest(tensor: torch.Tensor) -> torch.Tensor:
    """A whole number [] that another bit or another order of `tensor` changes, on its device."""
    bits = tensor.detach().reshape(-1).contiguous().view(torch.int32).to(torch.int64)
    odd = torch.arange(1, 2 * len(bits), 2, device=bits.device)
    return (bits * odd).sum()


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

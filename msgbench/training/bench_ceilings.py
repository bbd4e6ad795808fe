"""What a device could do at best, and what one step asks of it: from both, which of three things bounds the step.

A step of eager torch is a sequence of kernels. Convolutions and products are bounded by arithmetic, all others by the
memory that they read and write, and each of them by the time it takes to start one. All three rates are measured on the
device in the same run, because a processor's data sheet says little of what it gives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from msgbench.device import use_tf32
from msgbench.training.rounded import FACTORS

# What these write in place they do not read before.
_OVERWRITING = frozenset({"copy_", "fill_", "zero_"})
# Convolutions of the networks' middle: (channels, pixels of a side). The fastest one counts.
_CONVOLUTIONS = ((512, 16), (512, 32), (256, 64))
_COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}
_STARTS = 2_000
_ROUNDS = 3


@dataclass(frozen=True)
class Ceilings:
    """Rates of one device in one precision."""

    flop_per_second: float
    """Of the fastest of a few 3x3 convolutions of the networks, forward."""
    bytes_per_second: float
    """Of a copy: what is read and what is written."""
    seconds_per_kernel: float
    """Of an operation on one number."""


@dataclass(frozen=True)
class Demand:
    """What one step asks for when torch runs it operation by operation."""

    kernels: int
    traffic_bytes: int
    """Read and written by everything but convolutions and products."""


def measure_ceilings(device: torch.device, precision: str, batch: int) -> Ceilings:
    """Time convolutions of `batch` images, a copy and empty operations on `device`; the best of a few rounds each.

    `precision`: float32, tf32 or bfloat16.
    """
    use_tf32(precision == "tf32")
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    rates = []
    for width, side in _CONVOLUTIONS:
        x = torch.randn(batch, width, side, side, device=device, dtype=dtype)
        w = torch.randn(width, width, 3, 3, device=device, dtype=dtype)
        x, w = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (x, w))
        flop = 2 * 9 * width**2 * side**2 * batch
        rates.append(flop / _best(partial(F.conv2d, x, w, padding=1), device))
    source = torch.zeros(_COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = _best(lambda: target.copy_(source), device)
    one = torch.zeros(1, device=device)

    def start_many() -> None:
        for _ in range(_STARTS):
            one.add_(1)

    started = _best(start_many, device) / _STARTS
    return Ceilings(max(rates), 2 * source.numel() / copied, started)


def measure_demand(step: Callable[[], object]) -> Demand:
    """Run `step` once, eagerly, and count its kernels and what they read and write."""
    with _Counter() as counter:
        step()
    return Demand(counter.kernels, counter.traffic_bytes)


class _Counter(TorchDispatchMode):
    """Counts operations below autograd, those of backward and of penalties included; views cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.traffic_bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if _is_view(func):
            return out
        self.kernels += 1
        if func.overloadpacket.__name__ not in FACTORS:  # products count as arithmetic
            self.traffic_bytes += _traffic(func, args, kwargs or {}, out)
        return out


def _is_view(func: Any) -> bool:
    returned = [each.alias_info for each in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in returned)


def _traffic(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    """Bytes of the arguments, of those that are written in place again, and of new results."""
    schema = func._schema
    given = {argument.name: value for argument, value in zip(schema.arguments, args, strict=False)}
    given |= kwargs
    written = [
        given[argument.name]
        for argument in schema.arguments
        if argument.alias_info is not None
        and argument.alias_info.is_write
        and argument.name in given
    ]
    new = [] if any(each.alias_info is not None for each in schema.returns) else out
    read = [] if func.overloadpacket.__name__ in _OVERWRITING else written
    others = [value for value in given.values() if all(value is not each for each in written)]
    return sum(map(_bytes, tree_leaves((read, others, written, new))))


def _bytes(value: object) -> int:
    """Of a tensor, what lies in memory: an expanded one is smaller than its shape."""
    if not isinstance(value, torch.Tensor):
        return 0
    return min(value.numel() * value.element_size(), value.untyped_storage().nbytes())


def _best(work: Callable[[], object], device: torch.device) -> float:
    taken = []
    for _ in range(_ROUNDS + 1):
        synchronise(device)
        began = time.perf_counter()
        work()
        synchronise(device)
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def synchronise(device: torch.device) -> None:
    """Wait until `device` has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""Less at a time where memory does not suffice: a micro-batch is halved, down to one group of MinibatchStdDev.

That changes rounding alone, so a training goes on with it; it is said, counted in train.json, and part of the
training state, so that a resumed training is the uninterrupted one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import nn

from msgbench.config import RunSpec
from msgbench.console import say
from msgbench.errors import TrainingError
from msgbench.training.share import Part, Share

_WORDS = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)

ResultT = TypeVar("ResultT")


def in_parts(
    G: nn.Module, share: Share, batch: int, work: Callable[[list[Part]], ResultT]
) -> ResultT:
    """What `work` makes of this process's parts of a batch; again, with smaller ones, where memory does not suffice.

    `work` may be left anywhere: it sets all gradients anew, and the buffers of `G`, which its passes move, are put
    back here. Raises TrainingError when one group at a time is too much.
    """
    before = [buffer.clone() for buffer in G.buffers()]
    while True:
        parts = share.parts(batch)
        try:
            return work(parts)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            why = str(error).splitlines()[0]
        # Here the error and the tensors that its traceback holds are gone.
        size = parts[0].size
        if not share.halve(batch):
            raise TrainingError(
                f"{share.run.run_id}: {size} images at a time are too many for the memory, and fewer cannot be: they "
                f"are one group of MinibatchStdDev ({why}); take a device with more memory, or more of them"
            )
        for buffer, kept in zip(G.buffers(), before, strict=True):
            buffer.detach().copy_(kept)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        say(
            f"{share.run.run_id}: {size} images at a time are too many for the memory; goes on with "
            f"{share.parts(batch)[0].size} at a time, which changes rounding alone"
        )


@contextlib.contextmanager
def memory_sentence(run: RunSpec) -> Iterator[None]:
    """Raise TrainingError for too little memory in the block: where it is not a micro-batch that takes it."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"{run.run_id}: there is too little memory, and not for the images of a step "
            f"({str(error).splitlines()[0]}); take a device with more memory"
        ) from None


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the device, or the host where it computes, had too little memory.

    Libraries of a GPU allocate beside torch, and say it in their own words.
    """
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in _WORDS)

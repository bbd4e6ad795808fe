"""The hardware a command computes on: choosing it, naming it, making it reproducible."""

from __future__ import annotations

import os
import platform
import re
import resource

import torch

from msgbench.console import say
from msgbench.errors import ConfigError


def choose_device(name: str, local_rank: int | None = None) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; raises ConfigError when `cuda` is asked for in vain.

    `local_rank`: which of the machine's processes this is, where several share a training: each has a GPU of its own.
    A GPU that a scheduler gave and torch cannot use is said: computing goes on, and takes very long.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return _cuda(local_rank)
        given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if re.fullmatch(r"\d+(,\d+)*|(GPU|MIG)-.+", given):
            say(
                f"there is a GPU for this command (CUDA_VISIBLE_DEVICES={given}), but torch {torch.__version__} "
                "cannot use it: computing on the CPU"
            )
        return torch.device("cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: this machine has no usable CUDA device; allowed: auto, cpu"
        )
    return _cuda(local_rank) if name == "cuda" else torch.device(name)


def _cuda(local_rank: int | None) -> torch.device:
    if local_rank is None:
        return torch.device("cuda")
    seen = torch.cuda.device_count()
    # A job may show each of its processes only that one's GPU.
    index = local_rank if seen > 1 else 0
    if index >= seen:
        raise ConfigError(
            f"LOCAL_RANK {local_rank}: this machine has {seen} GPUs for its processes; allowed: as many processes as "
            "GPUs"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def device_name(device: torch.device) -> str:
    """The hardware's name for records: `cpu` or the GPU's product name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`tensor` of the host on `device`; to a GPU from pinned memory, so that nobody waits for it."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def make_reproducible(num_threads: int, tf32: bool = False) -> None:
    """Same bits for the same work on the same device: fixed threads, deterministic kernels, TF32 only if asked for.

    `tf32`: products of float32 numbers round to 10 bits where the GPU has that; for training alone, never measuring.
    """
    # cuBLAS is deterministic only with a fixed workspace; read when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(num_threads)
    # The same as use_deterministic_algorithms(True) without the compiler's settings, whose import takes a second.
    torch.set_deterministic_debug_mode("error")
    # Filling fresh memory only shows reads of unwritten memory; no result depends on it, and it costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    use_tf32(tf32)


def use_tf32(on: bool) -> None:
    """Whether products of float32 numbers round to 10 bits from now on, where the GPU has that."""
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


def without_instructions(precision: str, device: torch.device) -> str:
    """What happens where `device` has no instructions for `precision` (tf32 or bfloat16); "" where it has them."""
    if precision == "tf32" and not _multiplies_tf32(device):
        return f"{_named(device)} does not multiply in tf32: this is float32"
    if precision == "bfloat16" and not _multiplies_bfloat16(device):
        return f"{_named(device)} has no bfloat16 instructions: torch emulates them, slower than float32"
    return ""


def _named(device: torch.device) -> str:
    return "this processor" if device.type == "cpu" else device_name(device)


def _multiplies_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # torch knows these of x86 alone; nothing is claimed of others.
    with_instructions = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return with_instructions or platform.machine() not in ("x86_64", "AMD64")


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory so far in MB: of the GPU's allocator, or of the process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

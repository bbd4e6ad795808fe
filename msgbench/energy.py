"""What a GPU takes: the energy counter that it keeps itself (NVML, from Volta on), read at the start and at the end.

Exact for the whole card and without sampling. What else runs on the same card is in it, and what the machine around it
takes is not. A CPU has no such counter that a program may read.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from msgbench.console import say

Counter = Callable[[], float]
"""Joule since the driver was loaded."""


class EnergyMeter:
    """Joule that a device has taken since the meter was made; knows nothing of a CPU, or without a counter."""

    def __init__(self, device: torch.device) -> None:
        self._counter = counter_of(device)
        self._began = self._counter() if self._counter is not None else 0.0

    def joule(self) -> float | None:
        """Since the meter was made; None where nothing counts."""
        return None if self._counter is None else round(self._counter() - self._began, 3)


def counter_of(device: torch.device) -> Counter | None:
    """The counter of a GPU; None for a CPU, and, said in a sentence, for a GPU or driver that has none."""
    if device.type != "cuda":
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        # torch counts the visible devices, NVML all of them: the same card by its own name.
        uuid = torch.cuda.get_device_properties(device).uuid
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError as error:
        say(f"energy is not measured: {error}")
        return None

    def read() -> float:
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000  # counted in mJ

    return read

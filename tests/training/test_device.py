"""Choosing the hardware: what is said where a GPU was given and cannot be used."""

from __future__ import annotations

import pytest
import torch

from msgbench.device import choose_device
from msgbench.errors import ConfigError


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a usable GPU")
@pytest.mark.parametrize(
    ("given", "is_said"),
    [("0", True), ("2,3", True), ("GPU-5c1b", True), (None, False), ("", False), ("-1", False)],
)
def test_a_gpu_that_torch_cannot_use_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: str | None,
    is_said: bool,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert choose_device("auto").type == "cpu"
    said = capsys.readouterr().err
    assert (f"CUDA_VISIBLE_DEVICES={given}" in said and "computing on the CPU" in said) == is_said
    assert bool(said) == is_said
    with pytest.raises(ConfigError, match="this machine has no usable CUDA device"):
        choose_device("cuda")

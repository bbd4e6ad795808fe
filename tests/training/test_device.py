"""Choosing the hardware and its arithmetic: what is said where a GPU cannot be used, and when TF32 is on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.device import choose_device, make_reproducible
from msgbench.errors import ConfigError
from msgbench.training import loop
from msgbench.training.loop import train

from .conftest import MakeRun


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


@pytest.mark.parametrize("precision", ["tf32", "float32"])
def test_a_training_multiplies_in_tf32_only_where_its_spec_says_so(
    precision: str, make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flags are those of this process; on a CPU they change nothing."""
    flags = []
    original = loop.both_steps

    def watch(*arguments: Any) -> Any:
        flags.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
        return original(*arguments)

    monkeypatch.setattr(loop, "both_steps", watch)
    train(make_run("a", precision=precision), store_dir, "cpu")
    assert set(flags) == {(precision == "tf32",) * 2}
    make_reproducible(1)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.gpu
def test_tf32_rounds_the_products_of_a_gpu_that_has_it() -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(512, 512, generator=generator).cuda()
    errors = {}
    for tf32 in (False, True):
        make_reproducible(1, tf32=tf32)
        errors[tf32] = float(((a @ a).double() - a.double() @ a.double()).abs().max())
    make_reproducible(1)
    assert errors[True] > 20 * errors[False]

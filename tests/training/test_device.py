"""Choosing the hardware and its arithmetic: what is said where a GPU cannot be used, and when TF32 is on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.device import choose_device, make_reproducible, without_instructions
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


@pytest.mark.parametrize(
    ("machine", "avx512_bf16", "amx", "is_said"),
    [
        ("x86_64", False, False, True),
        ("x86_64", True, False, False),
        ("x86_64", False, True, False),
        ("aarch64", False, False, False),
    ],
)
def test_emulated_bfloat16_is_said(
    monkeypatch: pytest.MonkeyPatch, machine: str, avx512_bf16: bool, amx: bool, is_said: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    said = without_instructions("bfloat16", torch.device("cpu"))
    assert said == is_said * (
        "this processor has no bfloat16 instructions: torch emulates them, slower than float32"
    )
    assert without_instructions("float32", torch.device("cpu")) == ""


@pytest.mark.parametrize(
    ("capability", "tf32", "bfloat16"),
    [
        ((7, 5), "Some GPU does not multiply in tf32", "Some GPU has no bfloat16 instructions"),
        ((8, 0), "", ""),
        ((9, 0), "", ""),
    ],
)
def test_what_an_older_gpu_does_instead_is_said(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], tf32: str, bfloat16: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    cuda = torch.device("cuda")
    assert without_instructions("tf32", cuda).partition(":")[0] == tf32
    assert without_instructions("bfloat16", cuda).partition(":")[0] == bfloat16


def test_a_training_says_that_a_cpu_does_not_multiply_in_tf32(
    make_run: MakeRun, store_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(make_run("a", precision="tf32"), store_dir, "cpu")
    sentence = "training.precision tf32: this processor does not multiply in tf32: this is float32"
    assert capsys.readouterr().err.count(sentence) == 1

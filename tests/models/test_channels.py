"""Channel counts per resolution."""

from __future__ import annotations

import subprocess
import sys

import pytest

from msgbench.models.channels import channels


@pytest.mark.parametrize(
    ("resolution", "published"),
    [
        (4, 512),
        (8, 512),
        (16, 512),
        (32, 512),
        (64, 256),
        (128, 128),
        (256, 64),
        (512, 32),
        (1024, 16),
    ],
)
def test_full_width_is_the_papers(model_spec, resolution, published):
    assert channels(resolution, model_spec(1024)) == published


@pytest.mark.parametrize(
    ("resolution", "multiplier", "expected"),
    [
        (32, 0.5, 256),
        (256, 0.25, 16),
        (1024, 0.25, 4),
        (1024, 0.1, 4),  # 1.6 channels: the floor of 4 holds
        (32, 0.01, 5),  # 5.12
        (128, 0.0586, 8),  # 7.5008: rounded, not truncated
        (32, 0.29, 148),  # 148.48
        (64, 0.099609375, 26),  # 25.5 exactly: half goes up
    ],
)
def test_width_multiplier_rounds_half_up_and_keeps_four(
    model_spec, resolution, multiplier, expected
):
    assert channels(resolution, model_spec(1024, multiplier)) == expected


def test_fmap_base_and_max_are_used(model_spec):
    # ProGAN's CIFAR-10 configuration: 4096 / 128.
    spec = model_spec(32).model_copy(update={"fmap_base": 4096, "fmap_max": 128})
    assert [channels(r, spec) for r in (4, 8, 16, 32, 64)] == [128, 128, 128, 128, 128]
    assert [channels(r, spec) for r in (128, 256)] == [64, 32]


def test_channels_need_no_torch():
    code = "import sys, msgbench.models.channels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

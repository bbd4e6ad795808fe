"""The analytic cost model against the published counts and a count by hand."""

from __future__ import annotations

import pytest

from msgbench.analysis.cost import (
    A100,
    H200,
    V100,
    Gpu,
    discriminator_macs,
    estimate_benchmark,
    estimate_run,
    evaluation_flops,
    generator_macs,
    measured_snapshots,
    plan_lines,
    require_accepted,
    training_flops,
)
from msgbench.config import LossSpec, ModelSpec
from msgbench.errors import ConfigError

WGAN_GP = LossSpec(adversarial="wgan")


@pytest.mark.parametrize(
    ("resolution", "G_gmac", "D_gmac", "gflop"),
    # Counted with a profiler for the networks of the paper's Tables 6 and 7; 1 % leaves room for its
    # counting of norms and activations, which the analytic count leaves out.
    [(32, 6.39, 6.40, 230.2), (256, 28.15, 28.32, 1018), (1024, 42.72, 43.42, 1557)],
)
def test_published_networks(resolution, G_gmac, D_gmac, gflop):
    model = ModelSpec(family="progan", resolution=resolution)
    assert generator_macs(model) / 1e9 == pytest.approx(G_gmac, rel=0.01)
    assert discriminator_macs(model) / 1e9 == pytest.approx(D_gmac, rel=0.01)
    assert training_flops(model, WGAN_GP) / 1e9 == pytest.approx(gflop, rel=0.01)


def test_a_tiny_network_by_hand():
    model = ModelSpec(family="progan", resolution=8, fmap_base=64, fmap_max=4, latent_size=2)
    # 4x4: dense 2 -> 4x16, conv 4 -> 4, toRGB; 8x8: two convs 4 -> 4, toRGB.
    assert generator_macs(model) == (2 * 4 * 16 + 16 * 9 * 16 + 16 * 12) + (64 * 9 * 32 + 64 * 12)
    # 8x8: fromRGB, convs 5 -> 4 and 4 -> 4; 4x4: conv 8 -> 4 (4 + RGB + MinBatchStd), conv4x4, dense.
    assert discriminator_macs(model) == (64 * 12 + 64 * 9 * (20 + 16)) + (16 * 9 * 32 + 16 * 16 + 4)


def test_structure_of_a_step():
    model = ModelSpec(family="progan", resolution=32)
    G, D = generator_macs(model), discriminator_macs(model)
    assert training_flops(model, WGAN_GP) == 2 * (4 * G + 14 * D)
    assert training_flops(model, LossSpec(adversarial="wgan", gp_weight=0)) == 2 * (4 * G + 8 * D)


def test_paper_tier_of_table3(make_tree):
    """Four runs of 12M images: about 390 V100-hours a seed, the figure that the paper's own cost implies."""
    benchmark = make_tree("paper").benchmark
    cost = estimate_benchmark(benchmark)
    assert cost.num_runs == 12
    training = sum(run.training_gpu_hours * seeds for run, seeds in cost.runs.values()) / 3
    assert training == pytest.approx(391, rel=0.01)
    assert cost.gpu_hours > 3 * training
    assert (
        estimate_benchmark(benchmark, H200).gpu_hours
        < estimate_benchmark(benchmark, A100).gpu_hours
    )


def test_evaluation_counts_one_sample_set_for_all_protocols(make_tree):
    spec = make_tree("paper").benchmark.experiment("cifar10-msg-progan-lr0.003")
    assert measured_snapshots(spec) == 13  # 0, 1M, ..., 12M
    per_image = 2 * generator_macs(spec.model) + 11.4e9
    assert evaluation_flops(spec) == pytest.approx(13 * 50_000 * per_image, rel=1e-12)


def test_a_fraction_of_the_peak_is_what_hours_follow_from(make_tree):
    spec = make_tree("paper").benchmark.experiment("cifar10-msg-progan-lr0.003")
    slow = Gpu("slow", "float32", V100.peak_flop_per_second, V100.sustained / 2)
    assert estimate_run(spec, slow).gpu_hours == pytest.approx(2 * estimate_run(spec).gpu_hours)
    assert V100.assumption == "one V100 at 50% of its 15.7 TFLOP/s peak (float32)"


def test_the_paper_tier_needs_acceptance(make_tree):
    with pytest.raises(ConfigError) as caught:
        require_accepted(make_tree("paper").benchmark)
    assert str(caught.value) == (
        "accept_gpu_hours: 0 does not cover the estimate of the paper tier, 1,180 GPU-hours for 12 runs "
        "(one V100 at 50% of its 15.7 TFLOP/s peak (float32)); allowed: 1180 or more"
    )
    with pytest.raises(ConfigError):
        require_accepted(make_tree("paper", {"accept_gpu_hours": 1179}).benchmark)
    require_accepted(make_tree("paper", {"accept_gpu_hours": 1180}).benchmark)
    require_accepted(make_tree("smoke").benchmark)
    require_accepted(make_tree("mini").benchmark)


def test_plan_lines_state_the_total_and_its_assumption(make_tree):
    lines = plan_lines(make_tree("paper").benchmark)
    assert lines[0] == "tier paper: 4 experiments, 12 runs"
    assert lines[2].split()[0] == "cifar10-msg-progan-lr0.003"
    assert lines[2].split()[2:] == ["3", "12,000,000", "230", "98"]
    (total,) = [line for line in lines if line.startswith("estimate for all runs")]
    assert "1,180 GPU-hours (one V100" in total


def test_plan_lines_name_every_experiment(make_tree):
    benchmark = make_tree("smoke").benchmark
    text = "\n".join(plan_lines(benchmark))
    assert all(name in text for name in benchmark.experiments)

"""The cost model: arithmetic against the published counts, hours from records and from data sheets, the bill."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from msgbench.analysis.cost import (
    CostModel,
    Measured,
    Rates,
    Workload,
    announcement,
    bill_lines,
    estimate_benchmark,
    evaluation_flops,
    measured_snapshots,
    plan_lines,
    require_accepted,
    to_csv,
)
from msgbench.analysis.cost.disk import run_disk, shared_disk, snapshot_bytes, state_bytes
from msgbench.analysis.cost.estimate import makespan, training_hours
from msgbench.analysis.cost.hardware import get_gpu, hardware, of_device
from msgbench.config import LossSpec, ModelSpec, load_benchmark
from msgbench.errors import ConfigError
from msgbench.layout import EVALUATE_JSON, SPEC_JSON, STATES, TRAIN_JSON, Layout, state_file
from msgbench.models.arithmetic import (
    discriminator_macs,
    discriminator_parameters,
    flop_per_image,
    generator_macs,
    generator_parameters,
    images_left,
    run_flops,
    training_flops,
)

WGAN_GP = LossSpec(adversarial="wgan")
FIRST = "cifar10-msg-progan-lr0.003"
SECOND = "cifar10-msg-progan-lr0.001"
H100 = "NVIDIA H100 80GB HBM3"
ROOT = Path(__file__).resolve().parents[2]


# -- arithmetic


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


def test_evaluation_counts_one_sample_set_for_all_protocols(make_tree):
    spec = make_tree("paper").benchmark.experiment(FIRST)
    assert measured_snapshots(spec) == 13  # 0, 1M, ..., 12M
    per_image = 2 * generator_macs(spec.model) + 11.4e9
    assert evaluation_flops(spec) == pytest.approx(13 * 50_000 * per_image, rel=1e-12)


# -- hours


def test_paper_tier_of_table3(make_tree):
    """Four runs of 12M images: about 390 V100-hours a seed, the figure that the paper's own cost implies."""
    benchmark = make_tree("paper").benchmark
    cost = estimate_benchmark(benchmark)
    assert cost.num_runs == 12
    training = sum(line.run.training_hours * len(line.left) for line in cost.lines) / 3
    assert training == pytest.approx(391, rel=0.01)
    assert cost.hours > 3 * training
    assert cost.bases == ("estimated: one V100 at 50% of its 15.7 TFLOP/s peak (float32)",)


def test_hours_follow_from_the_peak(make_tree):
    benchmark = make_tree("paper").benchmark
    runs = {
        name: CostModel.of("paper", name).run(benchmark.experiment(FIRST))
        for name in ("V100", "A100", "h200")
    }
    training = {name: run.training_hours for name, run in runs.items()}
    # Half of the float32 peak where there is no TF32, a fifth of that peak where there is.
    assert training["V100"] * 15.7 * 0.5 == pytest.approx(training["A100"] * 156 * 0.2)
    assert training["V100"] * 15.7 * 0.5 == pytest.approx(training["h200"] * 494 * 0.2)
    # Measuring is float32 everywhere.
    measuring = {name: run.evaluation_hours for name, run in runs.items()}
    assert measuring["V100"] * 15.7 == pytest.approx(measuring["A100"] * 19.5)
    assert measuring["V100"] * 15.7 == pytest.approx(measuring["h200"] * 67)


def test_an_unknown_gpu_is_one_sentence():
    with pytest.raises(ConfigError) as caught:
        CostModel.of("paper", "H1000")
    assert str(caught.value) == "--gpu: 'H1000' is not known; did you mean 'H100'?"


def test_every_card_has_a_source_and_every_gpu_a_power():
    for gpu in hardware().values():
        assert gpu.source
        assert (gpu.watts is None) == gpu.is_cpu
    assert of_device(H100) is get_gpu("H100")
    assert of_device("cpu") is get_gpu("CPU")
    assert of_device("Some Card 9000") is None


def test_records_of_the_same_network_come_first(make_tree):
    """The second experiment differs in its learning rate alone, which moves no step."""
    tree = make_tree("paper")
    tree.train(FIRST, 0, device=H100, seconds=12_000_000 / 500)
    tree.train(FIRST, 1, device=H100, seconds=12_000_000 / 700)
    tree.train(FIRST, 2, device="cpu", seconds=1e7)  # a GPU tier: what a CPU took is no guide
    cost = estimate_benchmark(tree.benchmark, tree.layout)
    for line in cost.lines:
        assert line.run.device == H100
        assert line.run.training_basis == "measured"
        assert line.run.measured_runs == 2
        # Images over seconds, not the mean of the rates.
        assert line.run.images_per_second == pytest.approx(24 / (12 / 500 + 12 / 700))
        assert line.run.evaluation_basis == "estimated"
        assert line.run.basis == f"measured: 2 runs on {H100}; measuring estimated"


def test_records_of_another_network_or_gpu_do_not_count(make_tree):
    tree = make_tree("paper")
    tree.train(FIRST, 0, device=H100)
    spec = tree.benchmark.experiment(FIRST)
    measured = Measured.read(tree.layout.results)
    assert CostModel.of("paper", "H100", measured).run(spec).training_basis == "measured"
    assert CostModel.of("paper", "A100", measured).run(spec).training_basis == "estimated"
    for part in ({"model": {"fmap_max": 256}}, {"training": {"precision": "bfloat16"}}):
        other = make_tree("paper", {"defaults": part}).benchmark.experiment(FIRST)
        if "model" in part:
            other = other.model_copy(
                update={"model": other.model.model_copy(update={"fmap_max": 256})}
            )
        assert CostModel.of("paper", None, measured).run(other).training_basis == "estimated"


def test_records_of_another_tier_count(make_tree):
    """A shortened training shows how fast the long one will be."""
    mini = make_tree("mini", {"tiers": {"mini": {"defaults": {"model": {"width_multiplier": 1.0},
                                                 "training": {"precision": "tf32"}}}}})  # fmt: skip
    mini.train(FIRST, 0, device=H100, seconds=3_000_000 / 500)
    paper = make_tree("paper")
    cost = estimate_benchmark(paper.benchmark, Layout(mini.layout.results, "paper"))
    assert cost.lines[0].run.training_hours == pytest.approx(12_000_000 / 500 / 3600, rel=1e-4)


def test_measuring_takes_what_its_records_say(make_tree):
    tree = make_tree("smoke")
    tree.train(FIRST, seconds=60.0)
    tree.evaluate(FIRST)  # 12.5 s a record; four protocols share one sample set of each snapshot
    spec = tree.benchmark.experiment(FIRST)
    run = CostModel.of("smoke", None, Measured.read(tree.layout.results)).run(spec)
    assert run.evaluation_basis == "measured"
    assert run.evaluation_hours * 3600 == pytest.approx(12.5 * measured_snapshots(spec))
    assert run.training_hours * 3600 == pytest.approx(60)


def test_an_attempt_counts_for_its_own_device(make_tree):
    tree = make_tree("paper")
    path = tree.train(FIRST, device=H100) / TRAIN_JSON
    train = json.loads(path.read_text())
    slow = {"start_nimg": 0, "end_nimg": 2_000_000, "seconds": 20_000.0, "device": "Tesla V100-SXM2-32GB"}  # fmt: skip
    fast = {"start_nimg": 2_000_000, "end_nimg": 12_000_000, "seconds": 20_000.0, "device": H100}
    path.write_text(json.dumps({**train, "attempts": [slow, fast]}))
    measured = Measured.read(tree.layout.results)
    spec = tree.benchmark.experiment(FIRST)
    rates = {
        name: CostModel.of("paper", name, measured).run(spec).images_per_second
        for name in ("V100", "H100")
    }
    assert rates == {"V100": pytest.approx(100), "H100": pytest.approx(500)}


def test_gpus_that_shared_a_training_count_each(make_tree):
    """Otherwise a run on four would make every later estimate of GPU-hours a quarter of what it costs."""
    tree = make_tree("paper")
    path = tree.train(FIRST, device=H100) / TRAIN_JSON
    train = json.loads(path.read_text())
    attempt = {"start_nimg": 0, "end_nimg": 12_000_000, "seconds": 10_000.0, "device": H100}
    path.write_text(json.dumps({**train, "attempts": [attempt | {"gpus": 4, "processes": 4}]}))
    measured = Measured.read(tree.layout.results)
    run = CostModel.of("paper", "H100", measured).run(tree.benchmark.experiment(FIRST))
    assert run.images_per_second == pytest.approx(300)


def test_the_bill_says_what_several_gpus_a_training_change(make_tree):
    cost = estimate_benchmark(make_tree("paper").benchmark)
    assert not any("share" in line for line in bill_lines(cost, Rates()))
    (said,) = (line for line in bill_lines(cost, Rates(), 4) if "share" in line)
    assert said == (
        "4 GPUs share each training (cluster.train): its GPU-hours stay about the same and it ends about 4 times "
        "as soon; the wall time above is that of one GPU a run"
    )


def test_a_broken_record_is_named_and_not_counted(make_tree):
    tree = make_tree("smoke")
    path = tree.train(FIRST) / TRAIN_JSON
    path.write_text("{}")
    measured = Measured.read(tree.layout.results)
    assert measured.unreadable == [path]
    assert measured.training == {}


def test_a_record_from_before_a_field_was_added_counts(make_tree):
    tree = make_tree("smoke")
    path = tree.train(FIRST, seconds=60) / SPEC_JSON
    content = json.loads(path.read_text())
    del content["spec"]["model"]["combine"]  # has a default
    path.write_text(json.dumps(content))
    measured = Measured.read(tree.layout.results)
    run = CostModel.of("smoke", None, measured).run(tree.benchmark.experiment(FIRST))
    assert (run.training_basis, run.images_per_second) == ("measured", pytest.approx(100))


def test_the_published_run_stands_for_its_experiment(make_tree, root):
    """The records that lie with the sources: no run of this machine is needed."""
    benchmark = make_tree("smoke").benchmark
    model = CostModel.of("smoke", None, Measured.read(root / "results"))
    run = model.run(benchmark.experiment("cifar10-first-training"))
    assert (run.training_basis, run.device) == ("measured", "cpu")


def test_what_is_left_to_do(make_tree):
    tree = make_tree("smoke", {"tiers": {"smoke": {"defaults": {"seeds": [0, 1, 2, 3]}}}})
    tree.train(FIRST, 0)
    (tree.folder(FIRST, 0) / EVALUATE_JSON).write_text("{}")
    tree.train(FIRST, 1)
    half = tree.plan(FIRST, 2) / state_file(3000)
    (half.parent).mkdir()
    half.with_suffix(".json").write_text("{}")
    cost = estimate_benchmark(tree.benchmark, tree.layout, experiments=[FIRST])
    (line,) = cost.lines
    assert [(one.training, one.evaluation) for one in line.left] == [(0, 0), (0, 1), (0.5, 1), (1, 1)]  # fmt: skip
    assert (cost.num_runs, cost.runs_left) == (4, 3)
    training, evaluation = line.run.training_hours, line.run.evaluation_hours
    assert cost.hours_left == pytest.approx(1.5 * training + 3 * evaluation)
    assert cost.hours == pytest.approx(4 * (training + evaluation))
    assert STATES in str(half)


@pytest.mark.parametrize(
    ("workers", "hours"), [(1, 12), (2, 6), (3, 5), (4, 5), (9, 5)]
)  # fmt: skip
def test_wall_time_of_runs_side_by_side(workers, hours):
    assert makespan([1, 5, 2, 4], workers) == hours


# -- disk


@pytest.mark.parametrize("tier", ["smoke", "paper"])
def test_parameters_and_files_are_those_of_the_real_networks(make_tree, tmp_path, tier):
    import torch

    from msgbench.snapshots import SnapshotMeta, save_snapshot
    from msgbench.training.networks import Networks

    run = make_tree(tier).benchmark.run(FIRST, 0)
    nets = Networks.build(run, torch.device("cpu"))
    for network, count in (
        (nets.G, generator_parameters(run.spec.model)),
        (nets.D, discriminator_parameters(run.spec.model)),
    ):
        assert sum(p.numel() for p in network.parameters()) == count
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
    nets.opt_G.step(), nets.opt_D.step()
    state = tmp_path / "state.pt"
    torch.save(nets.state_dict(), state)
    # Names and shapes in the file: below 1 % of the narrow networks, nothing beside the wide ones.
    assert state_bytes(run.spec) == pytest.approx(state.stat().st_size, rel=0.01)
    meta = SnapshotMeta(
        model=run.spec.model, run=run.run_id, experiment=FIRST, seed=0, cur_nimg=0,
        run_fingerprint=run.fingerprint, dataset_fingerprint="a" * 64, ema=run.spec.ema,
    )  # fmt: skip
    save_snapshot(tmp_path / "snapshot", nets.G_ema, meta)
    assert snapshot_bytes(run.spec) == pytest.approx(
        (tmp_path / "snapshot").stat().st_size, rel=0.01
    )


def test_disk_at_the_end_is_what_is_kept(make_tree):
    def disk(keep):
        changes = {"defaults": {"evaluation": {"keep": keep}}}
        spec = make_tree("paper", changes).benchmark.experiment(FIRST)
        return run_disk(spec), snapshot_bytes(spec), state_bytes(spec)

    everything, snapshot, state = disk("all")
    assert everything.peak - everything.final == state  # the third state, while it is written
    final, *_ = disk(["final"])
    assert final.peak == everything.peak
    assert everything.final - final.final == 12 * snapshot
    best, *_ = disk(["best", "final"])
    assert (
        best.final - final.final == 4 * snapshot
    )  # another best by each of four protocols, at most


def test_shared_disk_counts_a_dataset_once(make_tree):
    tree = make_tree("paper")
    one = shared_disk(tree.benchmark, tree.layout, [FIRST])
    assert shared_disk(tree.benchmark, tree.layout, [FIRST, SECOND]) == one
    # 50,000 images and labels, Inception features, and for FID mean, covariance and its root in float64.
    assert one.final == 50_000 * 3073 + 50_000 * 2048 * 4 + 8 * (2 * 2048**2 + 2048)


@pytest.mark.parametrize(
    ("name", "layer", "images"),
    [
        ("flowers", {}, 8_189),
        ("indian-celebs", {}, 3_000),
        ("bedrooms", {}, 3_033_042),
        ("flowers", {"num_images": 100}, 100),
        ("flowers", {"source": "folder", "path": "/mine"}, 0),  # nobody has counted them
    ],
)
def test_disk_of_a_store_that_is_not_prepared(tmp_path, name, layer, images):
    benchmark = load_benchmark(
        ROOT / "config.yaml", {"tier": "paper", "datasets": {name: {"resolution": 64, **layer}}}
    )
    experiment = f"{name}-msg-progan"
    spec = benchmark.experiment(experiment)
    bare = spec.model_copy(
        update={"evaluation": spec.evaluation.model_copy(update={"protocols": ("is50k",)})}
    )
    benchmark = replace(benchmark, experiments={experiment: bare})
    disk = shared_disk(benchmark, Layout(tmp_path, "paper"), [experiment])
    assert disk.final == images * (64 * 64 * 3 + 1)


# -- the bill


def test_the_bill_adds_up(make_tree):
    tree = make_tree("paper")
    tree.train(FIRST, 0, device=H100, seconds=36_000)
    model = CostModel.of("paper", "H100", Measured.read(tree.layout.results))
    cost = estimate_benchmark(tree.benchmark, tree.layout, model)
    rates = Rates(parallel=4, price_per_hour=2.0, price_per_kwh=0.5, co2_grams_per_kwh=400)
    rows = list(csv.DictReader(io.StringIO(to_csv(cost, rates))))
    assert [row["experiment"] for row in rows[4:]] == ["datasets and their statistics", "total"]
    total = rows[-1]
    hours = sum(float(row["hours"]) for row in rows[:4])
    assert float(total["hours"]) == pytest.approx(hours)
    assert float(total["energy_kwh"]) == pytest.approx(0.7 * hours)
    assert float(total["money"]) == pytest.approx(2.0 * hours + 0.5 * 0.7 * hours)
    assert float(total["co2_kg"]) == pytest.approx(0.4 * 0.7 * hours)
    assert float(total["wall_hours"]) == pytest.approx(hours / 4)  # 12 equal runs
    assert float(total["hours_left"]) < hours
    assert float(total["peak_disk_gb"]) == pytest.approx(
        sum(float(row["peak_disk_gb"]) for row in rows[:5])
    )
    assert {row["training_basis"] for row in rows[:4]} == {"measured"}
    lines = bill_lines(cost, rates)
    assert any("power of H100: 700 W (NVIDIA H100 data sheet (2023)" in line for line in lines)


def test_own_watts_win_and_unknown_ones_are_asked_for(make_tree):
    tree = make_tree("smoke")
    cost = estimate_benchmark(tree.benchmark, tree.layout)
    assert any("power of CPU: not known; give --watts" in line for line in bill_lines(cost, Rates()))  # fmt: skip
    (total,) = [row for row in csv.DictReader(io.StringIO(to_csv(cost, Rates(price_per_kwh=1))))
                if row["experiment"] == "total"]  # fmt: skip
    assert total["energy_kwh"] == total["money"] == ""
    rates = Rates(watts=100, price_per_kwh=1)
    (total,) = [row for row in csv.DictReader(io.StringIO(to_csv(cost, rates)))
                if row["experiment"] == "total"]  # fmt: skip
    assert float(total["money"]) == pytest.approx(0.1 * cost.hours)


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [
        ({"parallel": 0}, "--gpus: 0 is not allowed; allowed: a whole number from 1"),
        ({"watts": -1.0}, "--watts: -1 is not allowed; allowed: a number of at least 0"),
        (
            {"price_per_hour": float("nan")},
            "--price-per-gpu-hour: nan is not allowed; allowed: a number of at least 0",
        ),
    ],
)
def test_wrong_rates_are_one_sentence(rates, sentence):
    with pytest.raises(ConfigError) as caught:
        Rates(**rates)
    assert str(caught.value) == sentence


def test_the_command_writes_what_it_prints(make_tree, root, tmp_path):
    results = make_tree("smoke").layout.results
    command = [
        sys.executable,
        "-m",
        "msgbench.cli",
        "cost",
        "--config",
        root / "config.yaml",
        f"--set=results={results}",
    ]
    out = tmp_path / "deep" / "cost.csv"
    done = subprocess.run(
        [*command, FIRST, "--out", out, "--watts", "50"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("tier smoke: 1 experiment, 1 run, 1 to do\n")
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["experiment"] for row in rows] == [FIRST, "datasets and their statistics", "total"]
    for words, sentence in (
        (
            ["cifar10-msg-progan-lr0.03"],
            "experiments.cifar10-msg-progan-lr0.03: no such experiment; did you mean",
        ),
        (["--gpus", "0"], "--gpus: 0 is not allowed; allowed: a whole number from 1"),
    ):
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"msgbench: error: {sentence}")


# -- acceptance and announcement


def everything(tree, seeds=(0, 1, 2)):
    runs = [(name, seed) for name in tree.benchmark.table_experiments() for seed in seeds]
    return Workload(tree.benchmark, tree.layout, runs, runs, runs)


def test_the_paper_tier_needs_acceptance(make_tree):
    with pytest.raises(ConfigError) as caught:
        require_accepted(everything(make_tree("paper")))
    assert str(caught.value) == (
        "accept_gpu_hours: 0 does not cover the estimate of the paper tier, 1,180 GPU-hours for the 12 runs "
        "that would be started now (estimated: one V100 at 50% of its 15.7 TFLOP/s peak (float32)); "
        "allowed: 1180 or more"
    )
    with pytest.raises(ConfigError):
        require_accepted(everything(make_tree("paper", {"accept_gpu_hours": 1179})))
    require_accepted(everything(make_tree("paper", {"accept_gpu_hours": 1180})))
    require_accepted(everything(make_tree("smoke"), (0,)))
    require_accepted(everything(make_tree("mini")))


def test_only_what_is_started_needs_acceptance(make_tree):
    tree = make_tree("paper", {"accept_gpu_hours": 99})
    runs = [(FIRST, 0), (FIRST, 1)]
    with pytest.raises(ConfigError, match="197 GPU-hours for the 2 runs that would be started now"):
        require_accepted(Workload(tree.benchmark, tree.layout, runs, runs, runs))
    require_accepted(Workload(tree.benchmark, tree.layout, runs, runs[:1], runs[:1]))
    require_accepted(Workload(tree.benchmark, tree.layout, runs, [], []))


def test_the_announcement_counts_what_will_be_done(make_tree):
    tree = make_tree("paper")
    runs = [(FIRST, seed) for seed in (0, 1, 2)]
    tree.train(FIRST, 0, device=H100, seconds=36_000)
    line = announcement(Workload(tree.benchmark, tree.layout, runs, runs[1:], runs))
    assert line == (
        "tier paper: 3 of 3 runs to do (2 to train, 3 to measure), about 20 GPU-hours "
        f"(measured: 1 run on {H100}; measuring estimated)"
    )
    line = announcement(Workload(tree.benchmark, tree.layout, runs, [], []))
    assert line == "tier paper: 0 of 3 runs to do"


def test_a_smoke_run_is_announced_in_cpu_minutes(make_tree):
    tree = make_tree("smoke")
    runs = [(FIRST, 0), (SECOND, 0)]
    line = announcement(Workload(tree.benchmark, tree.layout, runs, runs[:1], runs[:1]))
    assert "1 of 2 runs to do (1 to train, 1 to measure), about" in line
    assert "CPU-minutes (estimated: one CPU thread at 20 GFLOP/s)" in line
    assert line.endswith("CPU-minutes for all 2")
    tree.train(SECOND, 0, seconds=90)
    line = announcement(Workload(tree.benchmark, tree.layout, runs, runs[:1], []))
    assert "about 1.5 CPU-minutes (measured: 1 run on cpu" in line


# -- the plan


def test_plan_lines_state_the_total_and_its_assumption(make_tree):
    lines = plan_lines(make_tree("paper").benchmark)
    assert lines[0] == "tier paper: 4 experiments, 12 runs"
    assert lines[2].split()[0] == FIRST
    assert lines[2].split()[2:] == ["3", "12,000,000", "230", "98"]
    (total,) = [line for line in lines if line.startswith("estimate for all runs")]
    assert "1,180 GPU-hours (estimated: one V100" in total


def test_plan_lines_name_every_experiment(make_tree):
    benchmark = make_tree("smoke").benchmark
    text = "\n".join(plan_lines(benchmark))
    assert all(name in text for name in benchmark.experiments)


# -- growing


def test_small_images_of_a_growing_training_cost_little(make_tree):
    spec = make_tree("paper", tables=("table1",)).benchmark.experiment("flowers-progan")
    full = training_flops(spec.model, spec.loss)
    ratios = {r: training_flops(spec.model, spec.loss, r) / full for r in (4, 32, 128, 256)}
    assert ratios[256] == 1
    assert ratios[4] < 0.02 < 0.2 < ratios[32] < 0.3 < ratios[128] < 0.8
    # 4.8 of 12 million images at full resolution, the rest at 4 to 128 px on the way there.
    assert 0.4 < flop_per_image(spec) / full < 0.65
    assert run_flops(spec, 600_064) == pytest.approx(600_064 * ratios[4] * full)
    assert run_flops(spec, spec.schedule.total_nimg) == run_flops(spec)


def test_what_is_left_of_a_growing_training_counts_in_arithmetic(make_tree):
    tree = make_tree("paper", tables=("table1",))
    name = "flowers-progan"
    spec = tree.benchmark.experiment(name)
    folder = tree.plan(name)
    path = folder / state_file(6_000_000)
    path.parent.mkdir()
    path.with_suffix(".json").write_text("{}")
    (cost,) = estimate_benchmark(tree.benchmark, tree.layout, experiments=[name]).lines
    half = next(left for left in cost.left if left.seed == 0)
    assert half.training == pytest.approx(1 - run_flops(spec, 6_000_000) / run_flops(spec))
    assert half.training > 0.8  # of the images it would be a half
    assert images_left(spec, 11_000_000) == pytest.approx(1_000_000)
    assert images_left(spec, 0) > 20 * spec.schedule.total_nimg


def test_records_of_a_growing_training_count_for_the_same_schedule_alone(make_tree):
    tree = make_tree("paper", tables=("table1",))
    spec = tree.benchmark.experiment("flowers-progan")
    longer = spec.model_copy(
        update={"training": spec.training.model_copy(update={"total_kimg": 13_000})}
    )
    tree.train("flowers-progan", device=H100, seconds=36_000)
    model = CostModel.of("paper", None, Measured.read(tree.layout.results))
    assert model.run(spec).training_hours == pytest.approx(10)
    assert model.run(spec).training_basis == "measured"
    assert model.run(longer).training_basis == "estimated"


def test_tf32_and_bfloat16_have_a_peak_of_their_own_where_the_data_sheet_has_one():
    h200, v100 = get_gpu("H200"), get_gpu("V100")
    assert h200.flop_per_hour("bfloat16") == 989e12 * 0.15 * 3600
    assert h200.flop_per_hour() == h200.flop_per_hour("float32") == 67e12 * 0.5 * 3600
    assert h200.flop_per_hour("tf32") == 494e12 * 0.2 * 3600
    assert v100.flop_per_hour("bfloat16") == v100.flop_per_hour("tf32") == v100.flop_per_hour()
    assert "bfloat16" in h200.assumption("bfloat16")
    assert "float32" in v100.assumption("bfloat16")


def test_no_step_is_shorter_than_the_launch_of_its_kernels(make_tree):
    spec = make_tree("paper").benchmark.experiment(FIRST)
    tiny = spec.model_copy(
        update={"model": spec.model.model_copy(update={"width_multiplier": 0.01})}
    )
    steps = tiny.schedule.total_nimg / 64
    assert training_hours(tiny, get_gpu("H200")) == pytest.approx(steps * 0.02 / 3600)
    assert training_hours(spec, get_gpu("V100")) == pytest.approx(
        run_flops(spec) / get_gpu("V100").flop_per_hour()
    )


def test_the_mini_tier_is_about_a_day_of_one_h200():
    benchmark = load_benchmark(ROOT / "config.yaml", {"tier": "mini"})
    cost = estimate_benchmark(benchmark, None, CostModel.of("mini", "H200"))
    assert len(cost.lines) == 35
    assert 18 < cost.hours < 30


def test_a_growing_training_that_changed_its_device_counts_for_none(make_tree):
    """Who trained the small images says nothing of the large ones."""
    tree = make_tree("paper", tables=("table1",))
    path = tree.train("flowers-progan", device=H100, seconds=36_000) / TRAIN_JSON
    train = json.loads(path.read_text())
    first = {"start_nimg": 0, "end_nimg": 3_000_000, "seconds": 3_600.0, "device": H100}
    second = {
        "start_nimg": 3_000_000,
        "end_nimg": 12_000_000,
        "seconds": 360_000.0,
        "device": "Tesla V100-SXM2-32GB",
    }
    path.write_text(
        json.dumps(
            train | {"attempts": [train["attempts"][0] | first, train["attempts"][0] | second]}
        )
    )
    spec = tree.benchmark.experiment("flowers-progan")
    for gpu in ("H100", "V100"):
        run = CostModel.of("paper", gpu, Measured.read(tree.layout.results)).run(spec)
        assert run.training_basis == "estimated"

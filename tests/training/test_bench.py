"""The benchmark command measures what it says, and the arithmetic it divides by is the profiler's."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from msgbench.bench.forms import shown
from msgbench.bench.processes import bench_processes
from msgbench.bench.record import Measured
from msgbench.bench.steps import bench_run, run_bench
from msgbench.cli import main
from msgbench.config import LossSpec, ModelSpec, load_benchmark
from msgbench.data.pyramid import real_pyramid
from msgbench.errors import ConfigError
from msgbench.losses.adversarial import g_loss
from msgbench.losses.discriminator import discriminator_loss
from msgbench.models.arithmetic import training_flops
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.precision import fuse_upsampling
from msgbench.training.networks import Networks
from msgbench.training.steps import discriminator_step, frozen, generator_step

from .conftest import tiny_run

ROOT = Path(__file__).resolve().parents[2]


class CountFlops(TorchDispatchMode):
    """Sums the profiler's own formulas over all operations (its module tracker cannot do double backward)."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


WGAN_GP = LossSpec(adversarial="wgan")


def counted_flops(resolution: int, fused: bool, loss: LossSpec = WGAN_GP) -> tuple[float, float]:
    """FLOP of training on one image, by the profiler's formulas and by ours."""
    model = ModelSpec(family="progan", resolution=resolution)
    with torch.device("meta"):
        G, D = build_generator(model), build_discriminator(model)
        fuse_upsampling(G, fused)
        z = torch.empty(4, 512)
        reals = [torch.empty(4, 3, r, r) for r in model.scales]
        u = torch.empty(4)
    with CountFlops() as counter:
        with torch.no_grad():
            fakes = G(z)
        chain = real_pyramid(reals[-1].requires_grad_())
        discriminator_loss(D, chain, fakes, u, loss).total.backward()
        reals = [real.detach() for real in reals]
        with frozen(D):
            beside = D(reals) if loss.relativistic else None
            g_loss(loss.adversarial, D(G(z)), beside).backward()
    return counter.flops / 4, training_flops(model, loss)


@pytest.mark.parametrize("resolution", [32, 256])
def test_the_analytic_count_is_the_profiler_s(resolution: int) -> None:
    counted, analytic = counted_flops(resolution, fused=False)
    # The analytic count also has the input gradients of the first layers, which nobody asks for.
    assert counted == pytest.approx(analytic, rel=0.01)


@pytest.mark.parametrize("adversarial", ["non_saturating", "ra_hinge"])
def test_the_count_of_other_recipes_is_the_profiler_s(adversarial: str) -> None:
    counted, analytic = counted_flops(32, fused=False, loss=LossSpec.published(adversarial))
    assert counted == pytest.approx(analytic, rel=0.01)


def test_fused_upsampling_does_less_than_the_published_arithmetic() -> None:
    counted, analytic = counted_flops(32, fused=True)
    assert 0.9 < counted / analytic < 0.95  # 5/9 of one convolution in two, of G's share of 4 in 18


def test_bench_prints_and_writes_one_row_a_case(tmp_path: Path) -> None:
    benchmark = load_benchmark(ROOT / "config.yaml", {"tier": "paper"})
    measured = run_bench(
        benchmark, "msg-progan", resolutions=[8], precisions=["float32", "bfloat16"], batch_size=4,
        width=0.02, threads=1, rounds=2, device="cpu",
    )  # fmt: skip
    measured.write(tmp_path, shown(measured))
    assert Measured.read(tmp_path / "training.json") == measured
    assert "host" not in measured.provenance
    assert (tmp_path / "training.md").read_text() == "\n".join(shown(measured)) + "\n"
    rows = list(csv.DictReader((tmp_path / "training.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == ["plain float32", "float32", "bfloat16"]
    assert float(rows[0]["ratio_to_plain"]) == 1.0
    for row in rows:
        rate, per_step = float(row["images_per_second"]), float(row["seconds_per_step"])
        assert rate * per_step == pytest.approx(4, rel=1e-2)  # rounded to five digits
        ratio = float(rows[0]["seconds_per_step"]) / per_step
        assert float(row["ratio_to_plain"]) == pytest.approx(ratio, rel=2e-2)


def test_bench_refuses_what_it_does_not_know() -> None:
    benchmark = load_benchmark(ROOT / "config.yaml", {"tier": "paper"})
    settings = {
        "resolutions": [8], "batch_size": 4, "width": 0.02, "threads": 1, "rounds": 1,
        "device": "cpu",
    }  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"--method: 'msg-progam' has no experiment; did you mean 'msg-progan'\?"
    ):
        run_bench(benchmark, "msg-progam", precisions=["float32"], **settings)  # type: ignore[arg-type]
    with pytest.raises(
        ConfigError, match=r"--precision: 'fp16' is not allowed; allowed: float32, tf32, bfloat16"
    ):
        run_bench(benchmark, "msg-progan", precisions=["fp16"], **settings)  # type: ignore[arg-type]


REFUSED = [
    ("--resolution", "33", "allowed: a power of two from 8 to 1024"),
    ("--resolution", "2048", "allowed: a power of two from 8 to 1024"),
    ("--resolution", "4", "allowed: a power of two from 8 to 1024"),
    ("--width", "2", "allowed: a number greater than 0 and at most 1"),
    ("--width", "-1", "allowed: a number greater than 0 and at most 1"),
    ("--width", "nan", "allowed: a number greater than 0 and at most 1"),
    ("--threads", "0", "allowed: a whole number of at least 1"),
    ("--batch-size", "0", "allowed: a whole number of at least 1"),
    ("--batch-size", "6", "allowed: 1 to 3, or multiples of 4 (model.mbstd_group_size)"),
    ("--rounds", "0", "allowed: a whole number of at least 1"),
]


@pytest.mark.parametrize(("option", "value", "allowed"), REFUSED)
def test_bench_refuses_numbers_that_nothing_can_be_timed_with(
    option: str, value: str, allowed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = f"msgbench: error: {option}: {value} is not allowed; {allowed}\n"
    assert bench_command(capsys, option, value) == (2, expected)


def test_bench_refuses_a_batch_longer_than_the_training_and_a_file_for_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = bench_command(capsys, "--batch-size", "400000000")
    assert (code, said.count("\n")) == (2, 1)
    assert said.endswith("is 12000000 images, less than one batch of 400000000\n")
    (tmp_path / "file").touch()
    code, said = bench_command(capsys, "--out", str(tmp_path / "file"))
    assert (code, said) == (
        2,
        f"msgbench: error: --out: {str(tmp_path / 'file')!r} is not allowed; allowed: a folder, or a new one\n",
    )


def bench_command(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[object, str]:
    """Exit code and standard error of `msgbench bench` with `options`, in this process."""
    small = ["--resolution", "8"] if "--resolution" not in options else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [
            "msgbench", "bench", "--config", str(ROOT / "config.yaml"), "--device", "cpu", *small, *options,
        ])  # fmt: skip
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # main would leave it set
        before = signal.getsignal(signal.SIGPIPE)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.signal(signal.SIGPIPE, before)
    return ended.value.code, capsys.readouterr().err


def test_the_plain_step_does_the_same_mathematics() -> None:
    from msgbench.training.bench import _plain_step

    run = tiny_run()
    plain = Networks.build(run, torch.device("cpu"), plain=True)
    ours = Networks.build(run, torch.device("cpu"))
    reals = [torch.rand(4, 3, r, r, generator=torch.Generator().manual_seed(r)) for r in (4, 8)]
    _plain_step(plain, reals, run)
    discriminator_step(ours, reals, run, 0)
    generator_step(ours, run, 4, 0)
    for a, b in zip(plain.G.parameters(), ours.G.parameters(), strict=True):
        # Another memory format sums in another order; Adam's first step is lr times a sign, so a
        # gradient near 0 may flip: nearly all parameters must agree.
        assert (a - b).abs().le(1e-6).float().mean() > 0.99


def test_bench_refuses_to_compare_other_networks_with_the_authors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = bench_command(capsys, "--beside", str(tmp_path))
    assert code == 2
    assert "networks of model.variant bmsg at full width, not those of msg-progan" in said
    code, said = bench_command(capsys, "--beside", str(tmp_path), "--method", "msg-gan-v1")
    assert code == 2
    assert f"--beside: {str(tmp_path)!r} is not allowed; allowed: a checkout of BMSG-GAN" in said


@pytest.mark.slow
def test_two_processes_are_timed_against_one() -> None:
    benchmark = load_benchmark(ROOT / "config.yaml", {"tier": "paper"})
    run = bench_run(benchmark, "msg-progan", 8, "float32", 8, 0.02)
    measured = bench_processes(run, 2, 1)
    assert [row["processes"] for row in measured.rows] == [1, 2]
    assert [row["times_one"] == 1.0 for row in measured.rows] == [True, False]
    with pytest.raises(ConfigError, match=r"--processes: 3 processes are not allowed"):
        bench_processes(run, 3, 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler, of itself
def test_compiled_steps_are_timed() -> None:
    benchmark = load_benchmark(ROOT / "config.yaml", {"tier": "paper"})
    rows = run_bench(
        benchmark, "msg-progan", resolutions=[8], precisions=["float32"], batch_size=4, width=0.02, threads=1,
        rounds=1, device="cpu", compiled=True,
    ).rows  # fmt: skip
    assert [row["label"] for row in rows] == ["plain float32", "float32", "float32 compiled"]
    first, later = (float(rows[2][key] or 0) for key in ("first_seconds", "seconds_per_step"))
    assert first > later > 0
    assert rows[2]["traffic_seconds"] is None

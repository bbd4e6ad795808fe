"""What nothing can be timed with is refused in one sentence, before anything is timed."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest

from msgbench.bench.steps import run_bench
from msgbench.cli import main
from msgbench.config import Benchmark
from msgbench.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def test_bench_refuses_what_it_does_not_know(paper: Benchmark) -> None:
    bench = partial(
        run_bench,
        paper,
        resolutions=[8],
        batch_size=4,
        width=0.02,
        threads=1,
        rounds=1,
        device="cpu",
    )
    with pytest.raises(
        ConfigError, match=r"--method: 'msg-progam' has no experiment; did you mean 'msg-progan'\?"
    ):
        bench(method="msg-progam", precisions=["float32"])
    with pytest.raises(
        ConfigError, match=r"--precision: 'fp16' is not allowed; allowed: float32, tf32, bfloat16"
    ):
        bench(method="msg-progan", precisions=["fp16"])


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


OTHER_KINDS = [
    (("weather",), "bench: 'weather' is not allowed; allowed: training, processes, feed, precision, metrics, results"),
    (("metrics", "--threads", "0"), "--threads: 0 is not allowed; allowed: a whole number of at least 1"),
    (("precision",), "--out: bench precision needs a folder for its runs"),
    (
        ("precision", "--precision", "fp16", "--out", "runs"),
        "--precision: 'fp16' is not allowed; allowed: float32, tf32, bfloat16",
    ),
    (("processes", "--processes", "3"), "--processes: 3 processes are not allowed; batches of 16 images"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), OTHER_KINDS, ids=lambda value: "-".join(value)[:20])
def test_other_kinds_refuse_in_one_sentence(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, error = bench_command(capsys, *words)
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith(f"msgbench: error: {said}")
    assert list(tmp_path.iterdir()) == []


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


def test_bench_refuses_to_compare_other_networks_with_the_authors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = bench_command(capsys, "--beside", str(tmp_path))
    assert code == 2
    assert "networks of model.variant bmsg at full width, not those of msg-progan" in said
    code, said = bench_command(capsys, "--beside", str(tmp_path), "--method", "msg-gan-v1")
    assert code == 2
    assert f"--beside: {str(tmp_path)!r} is not allowed; allowed: a checkout of BMSG-GAN" in said

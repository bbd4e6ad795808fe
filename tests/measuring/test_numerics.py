"""FID by symmetric eigenvalues: the closed form, torch-fidelity and pytorch-fid's formula, rank-deficient cases too."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from msgbench.errors import MeasurementError
from msgbench.metrics import scores
from msgbench.metrics.fidelity import torch_fidelity
from msgbench.metrics.scores import (
    Statistics,
    confirmed_distance,
    frechet_distance,
    precision_and_recall,
    statistics,
)
from msgbench.metrics.torchvision_stub import import_torchvision


def normal(count: int, size: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    """Correlated normal vectors float32 [count, size] with a falling spectrum, as features have."""
    rng = np.random.default_rng(seed)
    spectrum = scale / np.sqrt(np.arange(1, size + 1))
    basis, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((size, size)))
    x = (rng.standard_normal((count, size)) * spectrum) @ basis + 0.1 * seed
    return torch.from_numpy(x.astype(np.float32))


CASES = [
    # (fakes, reals, features): full rank, then fewer images than features on one or both sides
    (800, 900, 96),
    (50, 900, 96),
    (800, 50, 96),
    (40, 60, 128),
    (2, 2, 16),
]


@pytest.mark.parametrize(("fakes", "reals", "size"), CASES)
def test_symmetric_form_equals_torch_fidelity(fakes: int, reals: int, size: int) -> None:
    a, b = statistics(normal(fakes, size, 2, 1.3)), statistics(normal(reals, size, 3))
    ours, theirs = frechet_distance(a, b).value, confirmed_distance(a, b).value
    assert ours > 0.01
    # Rounding alone: roots of zero eigenvalues (+-1e-17 here) are some 1e-8 each, of at most 128.
    assert ours == pytest.approx(theirs, abs=2e-6)
    # The distance is symmetric, its computation is not.
    assert frechet_distance(b, a).value == pytest.approx(ours, abs=2e-6)


def test_symmetric_form_with_fewer_images_than_features() -> None:
    """The shape of 1,000 images at 2,048 features, where a root of the product gives 0.9 % too little."""
    rng = np.random.default_rng(0)
    a, b = (
        statistics(torch.from_numpy(rng.standard_normal((count, 512), dtype=np.float32)))
        for count in (250, 240)
    )
    assert frechet_distance(a, b).value == pytest.approx(confirmed_distance(a, b).value, abs=1e-3)


@pytest.mark.parametrize(("fakes", "reals", "size"), CASES[:1])
def test_formula_of_pytorch_fid(fakes: int, reals: int, size: int) -> None:
    """pytorch-fid defines FID as ||mu1 - mu2||^2 + Tr(C1 + C2 - 2 sqrtm(C1 C2)), with np.cov; here by an eigenbasis of
    the product, because SciPy's sqrtm lost the argument that it calls."""
    x, y = (normal(n, size, s).numpy().astype(np.float64) for n, s in ((fakes, 2), (reals, 3)))
    c1, c2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eig(c1 @ c2)
    root = (vectors * np.sqrt(values.astype(complex))) @ np.linalg.inv(vectors)
    difference = x.mean(axis=0) - y.mean(axis=0)
    expected = difference @ difference + np.trace(c1 + c2 - 2 * root.real)
    found = frechet_distance(statistics(torch.from_numpy(x)), statistics(torch.from_numpy(y)))
    assert found.value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("fakes", "reals", "size"), [(800, 900, 96), (60, 900, 96)])
def test_pytorch_fid_itself(fakes: int, reals: int, size: int) -> None:
    """Runs where somebody installed it: `pip install pytorch-fid 'scipy<1.18'`."""
    import_torchvision()
    fid_score = pytest.importorskip("pytorch_fid.fid_score", reason="pytorch-fid is not installed")
    a, b = statistics(normal(fakes, size, 2)), statistics(normal(reals, size, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy's about the argument that it will drop
        theirs = fid_score.calculate_frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    # Its sqrtm is off by some 1e-7 where a covariance is singular.
    assert frechet_distance(a, b).value == pytest.approx(theirs, rel=1e-6, abs=1e-5)


def test_statistics_in_chunks_are_those_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal(1003, 24, 5)
    whole = statistics(x)
    monkeypatch.setattr(scores, "_CHUNK", 100)
    parts = statistics(x)
    # Sums of 1,003 float64 terms of order 1 in another order.
    np.testing.assert_allclose(parts.covariance, whole.covariance, atol=1e-13)
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-14)
    np.testing.assert_allclose(
        whole.covariance, np.cov(x.double().numpy(), rowvar=False), atol=1e-13
    )


def test_statistics_far_from_zero_lose_no_digits() -> None:
    """Sums of squares minus squared sums would lose seven digits here."""
    x = normal(500, 8, 0).double() + 1e4
    np.testing.assert_allclose(
        statistics(x).covariance, statistics(x - 1e4).covariance, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("apart", [0.1, 10.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_digits_that_are_shown_have_to_agree(
    monkeypatch: pytest.MonkeyPatch, apart: float, sign: int
) -> None:
    """A thousandth of the distance, and of 1 below that; whichever of the two forms says more."""
    a = statistics(normal(100, 8, 2))
    b = Statistics(a.mean + apart, a.covariance, a.count)
    ours = frechet_distance(a, b).value
    assert ours == pytest.approx(8 * apart**2)
    bound = sign * 1e-3 * max(1.0, ours)
    metric = torch_fidelity().metric_fid
    for part, agrees in ((0.9, True), (1.1, False)):
        monkeypatch.setattr(
            metric,
            "fid_statistics_to_metric",
            lambda *_, said=ours + part * bound: {metric.KEY_METRIC_FID: said},
        )
        if agrees:
            assert confirmed_distance(a, b).value == ours + part * bound
        else:
            with pytest.raises(MeasurementError, match="ill-conditioned"):
                confirmed_distance(a, b)


def test_a_disagreement_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = statistics(normal(100, 8, 2)), statistics(normal(100, 8, 3))
    ours = frechet_distance(a, b).value
    metric = torch_fidelity().metric_fid
    monkeypatch.setattr(
        metric, "fid_statistics_to_metric", lambda *_: {metric.KEY_METRIC_FID: ours + 0.01}
    )
    with pytest.raises(MeasurementError) as caught:
        confirmed_distance(a, b)
    assert str(caught.value) == (
        f"FID is {ours:.6g} by symmetric eigenvalues and {ours + 0.01:.6g} by torch-fidelity; the statistics are too "
        "ill-conditioned for either number to be trusted"
    )


def test_the_root_of_the_real_side_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    eigh = np.linalg.eigh

    def counted(matrix: np.ndarray) -> object:
        calls.append(len(matrix))
        return eigh(matrix)

    monkeypatch.setattr(np.linalg, "eigh", counted)
    real = statistics(normal(100, 8, 1))
    for seed in (2, 3, 4):
        frechet_distance(statistics(normal(100, 8, seed)), real)
    assert calls == [8]


def test_gaussians_against_the_closed_form() -> None:
    """Diagonal covariances: |m|^2 + sum of (sqrt a - sqrt b)^2; a tenth of the features have no variance."""
    rng = np.random.default_rng(3)
    a, b = rng.uniform(0.1, 2, 512), rng.uniform(0.1, 2, 512)
    a[::10] = 0
    mean = rng.standard_normal(512) / 10
    fake, real = Statistics(mean, np.diag(a), 10), Statistics(np.zeros(512), np.diag(b), 10)
    expected = mean @ mean + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(fake, real).value == pytest.approx(expected, rel=1e-9)


def test_mode_collapse_lowers_recall_and_not_precision() -> None:
    rng = np.random.default_rng(0)
    real = torch.from_numpy(rng.standard_normal((600, 8)).astype(np.float32))
    collapsed = torch.from_numpy((0.05 * rng.standard_normal((600, 8))).astype(np.float32))
    score = precision_and_recall(collapsed, real, 3)
    assert score.parts is not None
    assert score.parts["precision"] > 0.95
    assert score.parts["recall"] < 0.05
    # Too much variety is the other way round.
    scattered = precision_and_recall(5 * real.flip(0) + 0.01, real, 3)
    assert scattered.parts is not None
    assert scattered.parts["recall"] > scattered.parts["precision"] + 0.3
    same = precision_and_recall(real, real, 3)
    assert same.parts == {"precision": 1.0, "recall": 1.0}
    assert same.value == pytest.approx(1.0, abs=1e-6)


def slow_precision(fake: np.ndarray, real: np.ndarray, k: int) -> float:
    """The part of `fake` within some real's ball, by loops (Kynkaanniemi et al., equation 1)."""
    inside = 0
    radii = [sorted(np.linalg.norm(real - y, axis=1))[k] for y in real]
    for x in fake:
        inside += any(np.linalg.norm(x - y) <= r for y, r in zip(real, radii, strict=True))
    return inside / len(fake)


def test_precision_and_recall_equal_their_slow_twin() -> None:
    rng = np.random.default_rng(1)
    fake = rng.standard_normal((60, 3)).astype(np.float32) * 1.5
    real = rng.standard_normal((50, 3)).astype(np.float32)
    score = precision_and_recall(torch.from_numpy(fake), torch.from_numpy(real), 3)
    precision, recall = slow_precision(fake, real, 3), slow_precision(real, fake, 3)
    assert 0.2 < precision < recall  # the fakes are scattered, and the test can tell the two apart
    assert score.parts == pytest.approx({"precision": precision, "recall": recall}, abs=1e-6)
    assert score.value == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-6)


def test_too_few_images_for_a_neighbour() -> None:
    with pytest.raises(MeasurementError) as caught:
        precision_and_recall(torch.zeros(3, 2), torch.zeros(9, 2), 3)
    assert str(caught.value) == (
        "precision and recall with neighbour 3 needs at least 4 images, the set has 3"
    )
    # Just enough: every image is in every ball.
    enough = precision_and_recall(torch.eye(4), torch.eye(4), 3)
    assert enough.parts == {"precision": 1.0, "recall": 1.0}

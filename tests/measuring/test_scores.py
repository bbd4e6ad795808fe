"""FID, IS and KID against closed forms and slow twins, on features that need no network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from msgbench.errors import MeasurementError
from msgbench.metrics.scores import (
    Statistics,
    frechet_distance,
    inception_score,
    kernel_distance,
    statistics,
)


def gaussian(mean: np.ndarray, covariance: np.ndarray, count: int = 200) -> Tensor:
    """A sample whose own mean and covariance are exactly the given ones (whitened, then coloured)."""
    x = np.random.default_rng(7).standard_normal((count, len(mean)))
    x -= x.mean(axis=0)
    x @= np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return torch.from_numpy(x @ np.linalg.cholesky(covariance).T + mean)


def test_statistics_are_float64_mean_and_unbiased_covariance() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]])
    found = statistics(features)
    assert found.mean.dtype == found.covariance.dtype == np.float64
    assert found.count == 3
    # Exact: halves and thirds of small whole numbers.
    np.testing.assert_allclose(found.mean, [3.0, 3.0], atol=1e-14)
    np.testing.assert_allclose(found.covariance, [[4.0, -1.0], [-1.0, 7.0]], atol=1e-14)


def test_fid_of_gaussians_with_commuting_covariances() -> None:
    a, b = np.array([4.0, 1.0, 0.25]), np.array([1.0, 9.0, 0.25])
    fake = statistics(gaussian(np.array([0.0, 1.0, 2.0]), np.diag(a)))
    real = statistics(gaussian(np.array([1.0, 1.0, 0.0]), np.diag(b)))
    closed_form = 1 + 4 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    # The samples have the wanted moments up to float64 rounding; 1e-9 leaves room for the eigenvalue solver.
    assert frechet_distance(fake, real).value == pytest.approx(closed_form, abs=1e-9)
    assert frechet_distance(fake, real).std is None


def test_fid_of_gaussians_that_do_not_commute() -> None:
    a, b = np.array([[2.0, 1.5], [1.5, 3.0]]), np.array([[1.0, -0.8], [-0.8, 4.0]])
    product = a @ b
    # For 2x2 matrices trace(sqrt(M)) = sqrt(trace(M) + 2 sqrt(det(M))).
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    closed_form = np.trace(a) + np.trace(b) - 2 * root
    zero = np.zeros(2)
    assert frechet_distance(Statistics(zero, a, 2), Statistics(zero, b, 2)).value == pytest.approx(
        closed_form, abs=1e-9
    )


def test_fid_with_fewer_images_than_features() -> None:
    x = torch.randn(20, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    # cov(1.5 x) = 2.25 cov(x) commutes with cov(x): FID = (1 - 1.5)^2 (|mean|^2 + trace).
    moments = statistics(x)
    closed_form = 0.25 * (moments.mean @ moments.mean + np.trace(moments.covariance))
    # 45 of 64 eigenvalues are zero; the root of their rounding noise (1e-16) is 1e-8 each.
    assert frechet_distance(moments, statistics(1.5 * x)).value == pytest.approx(
        closed_form, abs=1e-5
    )


def test_fid_of_a_set_with_itself_is_zero() -> None:
    moments = statistics(torch.randn(500, 32, generator=torch.Generator().manual_seed(2)))
    assert frechet_distance(moments, moments).value == pytest.approx(0.0, abs=1e-6)


def slow_inception_score(logits: np.ndarray, splits: int, order: np.ndarray) -> tuple[float, float]:
    """Salimans et al. 2016 by loops, in the order that `order` gives."""
    count = len(logits)
    scores = []
    for k in range(splits):
        rows = order[k * count // splits : (k + 1) * count // splits]
        p = [np.exp(logits[i]) / np.exp(logits[i]).sum() for i in rows]
        marginal = sum(p) / len(p)
        scores.append(np.exp(np.mean([(q * (np.log(q) - np.log(marginal))).sum() for q in p])))
    return float(np.mean(scores)), float(np.std(scores))


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_inception_score_equals_slow_twin(splits: int) -> None:
    logits = 3 * torch.randn(64, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    order = np.random.RandomState(2020).permutation(64)
    value, std = slow_inception_score(logits.numpy(), splits, order)
    found = inception_score(logits, splits)
    assert found.value == pytest.approx(value, rel=1e-12)
    assert found.std == pytest.approx(std, abs=1e-12)


def test_inception_score_of_uniform_answers_is_one() -> None:
    assert inception_score(torch.zeros(100, 10), 10).value == pytest.approx(1.0, abs=1e-12)


def test_inception_score_of_sure_and_even_answers_is_the_number_of_classes() -> None:
    logits = 60 * torch.eye(10).repeat(20, 1)
    # The wrong classes keep exp(-60): 1 - 1e-25.
    assert inception_score(logits, 1).value == pytest.approx(10.0, abs=1e-9)


def test_one_split_scores_higher_than_ten() -> None:
    logits = 3 * torch.randn(500, 10, generator=torch.Generator().manual_seed(4))
    one, ten = inception_score(logits, 1).value, inception_score(logits, 10).value
    # Each split's own marginal is closer to its 50 answers: a known bias of some percent at this size.
    assert 1.01 < one / ten < 1.15


def test_order_of_the_classes_does_not_matter() -> None:
    in_order = 60 * torch.eye(10).repeat_interleave(100, dim=0)
    # Unshuffled, each of ten splits would hold one class and score exactly 1. Shuffled splits of 100 have an uneven
    # marginal, which costs about (classes - 1) / (2 * 100) = 4.5 %.
    assert inception_score(in_order, 10).value == pytest.approx(9.55, abs=0.2)
    other = in_order[torch.randperm(1000, generator=torch.Generator().manual_seed(5))]
    assert inception_score(other, 1).value == pytest.approx(
        inception_score(in_order, 1).value, rel=1e-9
    )


def test_kid_of_constant_features_has_a_closed_form() -> None:
    fake, real = torch.full([40, 8], 0.5), torch.full([30, 8], -1.0)
    # k(x, y) = (x.y / 8 + 1)^3: 1.25^3 + 2^3 - 2 * 0.5^3, with all subsets alike.
    found = kernel_distance(fake, real, subsets=5, subset_size=20)
    assert found.value == pytest.approx(1.25**3 + 8 - 2 * 0.125, abs=1e-5)
    assert found.std == pytest.approx(0.0, abs=1e-6)


def test_kid_of_one_distribution_is_zero_within_its_error() -> None:
    x = torch.randn(1200, 16, generator=torch.Generator().manual_seed(6))
    same = kernel_distance(x[:600], x[600:], subsets=50, subset_size=300)
    shifted = kernel_distance(x[:600] + 0.3, x[600:], subsets=50, subset_size=300)
    assert same.std is not None
    # Unbiased: zero up to the deviation over subsets, on either side.
    assert -3 * same.std < same.value < 3 * same.std
    assert shifted.value > 20 * abs(same.value) + same.std


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics(torch.zeros(1, 4)), "FID needs at least 2 images, the set has 1"),
        (
            lambda: inception_score(torch.zeros(9, 4), 10),
            "the Inception Score at 10 splits needs at least 10 images, the set has 9",
        ),
        (
            lambda: kernel_distance(torch.zeros(50, 4), torch.zeros(30, 4), 10, 40),
            "KID with subsets of 40 needs at least 40 images, the set has 30",
        ),
        (
            lambda: inception_score(torch.full([10, 4], float("nan")), 2),
            "the Inception Score is nan, which is not a finite number",
        ),
    ],
)
def test_sets_that_cannot_be_scored(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(MeasurementError) as caught:
        call()
    assert str(caught.value) == message

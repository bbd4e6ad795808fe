"""From features to scores: FID, Inception Score, KID, precision and recall.

IS, KID, precision and recall are torch-fidelity's own functions with its own shuffling. FID has two forms of the same
formula: ours, in float64 with symmetric matrices alone and the root of the real side made once, for every snapshot of
a curve; and torch-fidelity's, for the numbers of tables. `confirmed_distance` holds the two together.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from msgbench.errors import MeasurementError
from msgbench.metrics.fidelity import torch_fidelity

# Seed of torch-fidelity's own shuffling (IS) and subsets (KID): its default, so that numbers can be compared.
FIDELITY_SEED = 2020
# The two forms of FID differ by rounding alone. Zero eigenvalues come out as +-1e-16 of the largest, and the roots of
# 2,048 of them can add up to some 1e-4 in either form.
LARGEST_DIFFERENCE = 1e-3
# Feature vectors that are float64 in memory at a time: 80 MB at 2,048 values.
_CHUNK = 5_000
# Vectors compared with all others at a time in precision and recall: 200 MB at 50,000 of them.
_PRC_BATCH = 1_000


@dataclass(frozen=True)
class Statistics:
    """Mean float64 [F] and covariance float64 [F, F] (denominator count - 1) of `count` feature vectors."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    count: int

    @functools.cached_property
    def root(self) -> NDArray[np.float64]:
        """The symmetric root of the covariance, float64 [F, F]; made when it is first asked for."""
        values, vectors = np.linalg.eigh(self.covariance)
        root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
        return root


@dataclass(frozen=True)
class Score:
    """A measured value; `std` over splits (IS) or subsets (KID), `parts` its precision and recall (PRC)."""

    value: float
    std: float | None = None
    parts: dict[str, float] | None = None


def statistics(features: Tensor) -> Statistics:
    """Mean and covariance of `features` [N, F], accumulated in float64 around the mean."""
    count = len(features)
    _need("FID", count, 2)
    parts = [part.numpy(force=True) for part in features.split(_CHUNK)]
    mean = np.sum([part.sum(axis=0, dtype=np.float64) for part in parts], axis=0) / count
    total = np.zeros((len(mean), len(mean)))
    for part in parts:
        centred = part.astype(np.float64) - mean
        # NumPy knows this product for symmetric and does half the work.
        total += centred.T @ centred
    return Statistics(mean, total / (count - 1), count)


def frechet_distance(fake: Statistics, real: Statistics) -> Score:
    """FID: |mean difference|^2 + trace(A) + trace(B) - 2 trace(sqrt(A B)) (Heusel et al., 2017, equation 6).

    The eigenvalues of A B are those of sqrt(B) A sqrt(B), which is symmetric and has no negative ones: no complex
    numbers, no root of a product that has none when there are fewer images than features. Rounding can leave a value
    slightly below zero when both statistics agree; it is not clipped.
    """
    between = real.root @ fake.covariance @ real.root
    eigenvalues = np.linalg.eigvalsh((between + between.T) / 2)
    return _finite("FID", _distance(fake, real, np.sqrt(np.clip(eigenvalues, 0, None)).sum()))


def confirmed_distance(fake: Statistics, real: Statistics) -> Score:
    """FID by torch-fidelity's own function; MeasurementError when it and ours differ by more than rounding."""
    metric_fid = torch_fidelity().metric_fid
    pair = [{"mu": s.mean, "sigma": s.covariance} for s in (fake, real)]
    result = metric_fid.fid_statistics_to_metric(pair[0], pair[1], False)
    score = _finite("FID", result[metric_fid.KEY_METRIC_FID])
    ours = frechet_distance(fake, real).value
    if abs(score.value - ours) > LARGEST_DIFFERENCE * max(1.0, abs(ours)):
        raise MeasurementError(
            f"FID is {ours:.6g} by symmetric eigenvalues and {score.value:.6g} by torch-fidelity; the statistics are "
            "too ill-conditioned for either number to be trusted"
        )
    return score


def _distance(fake: Statistics, real: Statistics, trace_of_root: float) -> float:
    difference = fake.mean - real.mean
    return float(
        difference @ difference
        + np.trace(fake.covariance)
        + np.trace(real.covariance)
        - 2 * trace_of_root
    )


def inception_score(logits: Tensor, splits: int) -> Score:
    """IS: exp of the mean KL divergence of p(y|x) from p(y), mean and deviation over `splits` parts.

    Salimans et al., 2016. `logits` [N, C] are shuffled first with torch-fidelity's seed, so that images in the order of
    their classes score as any others.
    """
    _need(f"the Inception Score at {splits} splits", len(logits), splits)
    metric_isc = torch_fidelity().metric_isc
    result = metric_isc.isc_features_to_metric(
        logits.cpu(), splits=splits, shuffle=True, rng_seed=FIDELITY_SEED
    )
    return _finite(
        "the Inception Score",
        result[metric_isc.KEY_METRIC_ISC_MEAN],
        result[metric_isc.KEY_METRIC_ISC_STD],
    )


def kernel_distance(fake: Tensor, real: Tensor, subsets: int, subset_size: int) -> Score:
    """KID: unbiased squared MMD with the cubic polynomial kernel, mean and deviation over random subsets.

    Binkowski et al., 2018. `fake` [N, F] and `real` [M, F]; values slightly below zero are right for equal
    distributions.
    """
    _need(f"KID with subsets of {subset_size}", min(len(fake), len(real)), subset_size)
    metric_kid = torch_fidelity().metric_kid
    result = metric_kid.kid_features_to_metric(
        fake,
        real,
        kid_subsets=subsets,
        kid_subset_size=subset_size,
        rng_seed=FIDELITY_SEED,
        verbose=False,
    )
    return _finite(
        "KID", result[metric_kid.KEY_METRIC_KID_MEAN], result[metric_kid.KEY_METRIC_KID_STD]
    )


def precision_and_recall(fake: Tensor, real: Tensor, neighborhood: int) -> Score:
    """Precision and recall of `fake` [N, F] against `real` [M, F] by balls around images; the value is their F-score.

    Kynkaanniemi et al., 2019: precision is the part of the fakes within some real's ball, recall the part of the reals
    within some fake's; a ball reaches to the image's neighbour number `neighborhood` in its own set.
    """
    _need(
        f"precision and recall with neighbour {neighborhood}",
        min(len(fake), len(real)),
        neighborhood + 1,
    )
    metric_prc = torch_fidelity().metric_prc
    result = metric_prc.prc_features_to_metric(
        fake,
        real,
        prc_neighborhood=neighborhood,
        prc_batch_size=_PRC_BATCH,
        save_cpu_ram=True,
        verbose=False,
    )
    precision, recall = (
        float(result[key])
        for key in (metric_prc.KEY_METRIC_PRECISION, metric_prc.KEY_METRIC_RECALL)
    )
    score = _finite("the F-score of precision and recall", result[metric_prc.KEY_METRIC_F_SCORE])
    return Score(score.value, parts={"precision": precision, "recall": recall})


def _need(what: str, count: int, least: int) -> None:
    if count < least:
        raise MeasurementError(f"{what} needs at least {least} images, the set has {count}")


def _finite(what: str, value: float, std: float | None = None) -> Score:
    if not np.isfinite(value):
        raise MeasurementError(f"{what} is {value}, which is not a finite number")
    return Score(float(value), None if std is None else float(std))

"""The measuring instrument: torch-fidelity's extractors and its FID, IS and KID. The only user of that library.

Features of an image set are extracted once and all scores are computed from them, by torch-fidelity's own functions,
with its own shuffling. What is ours: no cache by name (torch-fidelity's knows neither the number of images nor their
content; real_statistics.py has one that does), statistics in float64, TF32 and autocast off, one sentence instead of an
assertion when a set is too small.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msgbench.errors import MeasurementError
from msgbench.metrics.extractors.weights import INCEPTION_SOURCE, ExtractorWeights, resolve_weights
from msgbench.metrics.torchvision_stub import import_torchvision
from msgbench.protocols import INCEPTION, SMALL, Metric

# Seed of torch-fidelity's own shuffling (IS) and subsets (KID): its default, so that numbers can be compared.
FIDELITY_SEED = 2020
# Our metric names -> torch-fidelity's.
_FIDELITY_METRIC: dict[Metric, str] = {"fid": "fid", "is": "isc", "kid": "kid"}


@functools.cache
def torch_fidelity() -> ModuleType:
    """The library, imported on first use, with our small extractor registered in it."""
    import_torchvision()
    import torch_fidelity

    from msgbench.metrics.extractors.small import load_small_net

    class SmallExtractor(torch_fidelity.FeatureExtractorBase):
        """`small-cifar10-v1` in torch-fidelity's form."""

        # torch-fidelity hands all of a call's options to every extractor, hence the open signature.
        def __init__(
            self,
            name: str,
            features_list: list[str],
            feature_extractor_weights_path: str | None = None,
            **_options: Any,
        ) -> None:
            super().__init__(name, features_list)
            self.net = load_small_net(
                Path(feature_extractor_weights_path or resolve_weights(SMALL).path)
            )

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            features, logits = self.net(images)
            provided = {"features": features, "logits": logits}
            return tuple(provided[layer] for layer in self.features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return "features", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "features"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        @staticmethod
        def get_dummy_input_for_compile() -> Tensor:
            return torch.zeros([1, 3, 32, 32], dtype=torch.uint8)

    torch_fidelity.register_feature_extractor(SMALL, SmallExtractor)
    return torch_fidelity


@dataclass(frozen=True)
class Features:
    """What one extractor saw in one image set: layer name -> float32 [N, C], rows in the order of the images."""

    layers: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.layers.values())))


class Extractor:
    """One of torch-fidelity's registered extractors with checked weights on a device."""

    def __init__(
        self,
        weights: ExtractorWeights,
        metrics: Iterable[Metric] = ("fid", "is", "kid"),
        device: str | torch.device = "cpu",
        layers: Sequence[str] | None = None,
    ) -> None:
        """`metrics` decides which layers are computed; `layers` names them instead (lower Inception features)."""
        fidelity = torch_fidelity()
        self.weights = weights
        self.device = torch.device(device)
        self._class = fidelity.registry.FEATURE_EXTRACTORS_REGISTRY[weights.name]
        if weights.name == INCEPTION:
            _require_plain_tensors(weights.path)
        if layers is None:
            layers = sorted({self.layer_for(metric) for metric in metrics})
        # torch-fidelity's own `cuda=True` knows no device index; the module is moved afterwards instead.
        self._module = fidelity.utils.create_feature_extractor(
            weights.name,
            list(layers),
            cuda=False,
            feature_extractor_weights_path=str(weights.path),
            verbose=False,
        ).to(self.device)

    def layer_for(self, metric: Metric) -> str:
        """The layer that torch-fidelity computes `metric` from."""
        return str(self._class.get_default_feature_layer_for_metric(_FIDELITY_METRIC[metric]))

    def features(self, batches: Iterable[Tensor]) -> Features:
        """Features of the uint8 images [n, 3, H, W] in `batches`; MeasurementError when a feature is not finite."""
        parts: dict[str, list[Tensor]] = {}
        for images in batches:
            with torch.inference_mode(), _exact_float32(self.device):
                computed = self._module(images.to(self.device))
            for layer, values in self._module.convert_features_tuple_to_dict(computed).items():
                parts.setdefault(layer, []).append(values.float().cpu())
        layers = {layer: torch.cat(values) for layer, values in parts.items()}
        for layer, values in layers.items():
            if not bool(torch.isfinite(values).all()):
                raise MeasurementError(
                    f"{self.weights.name}: feature layer {layer} has values that are not finite"
                )
        return Features(layers)


def _require_plain_tensors(path: Path) -> None:
    """Refuses a weights file that the restricted reader refuses: torch-fidelity itself would unpickle anything."""
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise MeasurementError(
            f"{path}: does not hold plain tensors only; {INCEPTION_SOURCE}"
        ) from None


@contextlib.contextmanager
def _exact_float32(device: torch.device) -> Iterator[None]:
    """Plain IEEE float32 arithmetic: no TF32, no autocast, no choice of convolution algorithm by timing."""
    matmul = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with (
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
            torch.autocast(device.type, enabled=False),
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul


@dataclass(frozen=True)
class Statistics:
    """Mean float64 [F] and covariance float64 [F, F] (denominator count - 1) of `count` feature vectors."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    count: int


@dataclass(frozen=True)
class Score:
    """A measured value; `std` over splits (IS) or subsets (KID), None for FID."""

    value: float
    std: float | None


def statistics(features: Tensor) -> Statistics:
    """Mean and covariance of `features` [N, F], accumulated in float64."""
    _need("FID", len(features), 2)
    computed = torch_fidelity().metric_fid.fid_features_to_statistics(features.double().cpu())
    return Statistics(computed["mu"], np.atleast_2d(computed["sigma"]), len(features))


def frechet_distance(fake: Statistics, real: Statistics) -> Score:
    """FID: |mean difference|^2 + trace(A + B - 2 sqrt(A B)) (Heusel et al., 2017, equation 6).

    Rounding can leave a value slightly below zero when both statistics agree; it is not clipped.
    """
    metric_fid = torch_fidelity().metric_fid
    pair = [{"mu": s.mean, "sigma": s.covariance} for s in (fake, real)]
    result = metric_fid.fid_statistics_to_metric(pair[0], pair[1], False)
    return _finite("FID", result[metric_fid.KEY_METRIC_FID], None)


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


def _need(what: str, count: int, least: int) -> None:
    if count < least:
        raise MeasurementError(f"{what} needs at least {least} images, the set has {count}")


def _finite(what: str, value: float, std: float | None) -> Score:
    if not np.isfinite([value, std or 0.0]).all():
        raise MeasurementError(f"{what} is {value}, which is not a finite number")
    return Score(float(value), None if std is None else float(std))

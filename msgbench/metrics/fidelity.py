"""The measuring instrument: torch-fidelity's extractors. Only this room uses that library, and only through here.

Features of an image set are extracted once and all scores (scores.py) are computed from them. What is ours: no cache by
name (torch-fidelity's knows neither the number of images nor their content; real_statistics.py has one that does), TF32
and autocast off, one sentence instead of an assertion when a set or a weights file is unfit.
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

import torch
from torch import Tensor

from msgbench.errors import MeasurementError
from msgbench.metrics.extractors.weights import PUBLISHED, ExtractorWeights, resolve_weights
from msgbench.metrics.torchvision_stub import import_torchvision
from msgbench.protocols import SMALL, Metric

# Our metric names -> torch-fidelity's.
_FIDELITY_METRIC: dict[Metric, str] = {"fid": "fid", "is": "isc", "kid": "kid", "prc": "prc"}


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
        if weights.name in PUBLISHED:
            _require_plain_tensors(weights)
        if layers is None:
            layers = sorted({self.layer_for(metric) for metric in metrics})
        self.layers = tuple(layers)
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


def _require_plain_tensors(weights: ExtractorWeights) -> None:
    """Refuses a weights file that the restricted reader refuses: torch-fidelity itself would unpickle anything."""
    try:
        torch.load(weights.path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise MeasurementError(
            f"{weights.path}: does not hold plain tensors only; {PUBLISHED[weights.name].source}"
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

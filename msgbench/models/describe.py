"""Layer tables and parameter counts of built networks, in the form of the paper's Tables 6 and 7.

The rows are what a forward pass really does, recorded by hooks, not a second description that could
drift from the code. The pass runs on the meta device: shapes only, no memory, no arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from msgbench.config import ModelSpec
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.combine import CombineFunction, PhiCatLin, PhiLinCat
from msgbench.models.generator import draw_noise
from msgbench.models.layers import (
    Blur,
    ConvDownsample2d,
    EqualizedConv2d,
    EqualizedLinear,
    LatentConv4x4,
    MinibatchStdDev,
    PixelNorm,
    UpsampleConv2d,
)
from msgbench.models.stylegan import AdaIN, Constant, NoiseBias

# Layers with layers inside that are one operation (or one group of rows) in a table.
_WHOLE = (CombineFunction, AdaIN)


@dataclass(frozen=True)
class LayerRow:
    """One row of Table 6 or 7; `normalisation` and `parameters` are not printed there."""

    block: int
    operation: str
    activation: str
    shape: tuple[int, ...]
    normalisation: str = "-"
    parameters: int = 0


def generator_table(spec: ModelSpec) -> list[LayerRow]:
    """The rows of Table 6 for `spec`, with a ToRGB row after every block."""
    with torch.device("meta"):
        G = build_generator(spec)
        noise = draw_noise(G, 1, torch.Generator("cpu"), "meta")
        return layer_table(G, torch.empty(1, spec.latent_size), noise)


def discriminator_table(spec: ModelSpec) -> list[LayerRow]:
    """The rows of Table 7 for `spec`. (The paper calls the 4x4 images 7; they are 8, as here.)"""
    with torch.device("meta"):
        shown = spec.scales[-1:] if spec.growing else spec.scales
        images = [torch.empty(1, 3, scale, scale) for scale in shown]
        return layer_table(build_discriminator(spec), images)


def layer_table(module: nn.Module, *inputs: Tensor | Sequence[Tensor]) -> list[LayerRow]:
    """The operations of `module(*inputs)` in the order in which they run.

    `module` is a G or D of this package, and `inputs` are on its device. Raises TypeError when a
    layer of a kind that this table cannot name takes part.
    """
    table = _Table()
    handles = [
        layer.register_forward_hook(partial(table.record, name))
        for name, layer in _operations(module)
    ]
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return table.rows


def count_parameters(module: nn.Module) -> int:
    """How many numbers `module` trains."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _operations(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers of `module` that do something by themselves, with their names."""
    if isinstance(module, _WHOLE) or not list(module.children()):
        yield name, module
        return
    for part, child in module.named_children():
        yield from _operations(child, f"{name}.{part}" if name else part)


_OPERATION: dict[type[nn.Module], str] = {
    Constant: "Constant",
    NoiseBias: "Noise and bias",
    AdaIN: "AdaIN",
    MinibatchStdDev: "MinBatchStd",
    Blur: "Blur 3 x 3",
}


class _Table:
    """Rows so far; blocks are numbered by the order in which their resolutions appear."""

    def __init__(self) -> None:
        self.rows: list[LayerRow] = []
        self.resolutions: list[int] = []

    def record(self, name: str, layer: nn.Module, inputs: tuple[Any, ...], out: Tensor) -> None:
        """Add the row(s) of one layer; activations and norms belong to the row before them."""
        match layer:
            case nn.Identity():
                pass
            case nn.LeakyReLU():
                self.rows[-1] = replace(self.rows[-1], activation="LReLU")
            case nn.Tanh():
                self.rows[-1] = replace(self.rows[-1], activation="Tanh")
            case PixelNorm() if self.rows:
                self.rows[-1] = replace(self.rows[-1], normalisation="PixNorm")
            case PixelNorm():
                # Table 6 starts with the latents, which stand in block 1 with the 4x4 layer.
                self.rows.append(LayerRow(1, "Latent Vector", "Norm", _image_shape(out)))
            case CombineFunction():
                self._add_combined(layer, inputs[0], inputs[1], out)
            case UpsampleConv2d():
                # One layer of ours, two rows of the paper's.
                self._add_shape(self._block(out), "Upsample", (inputs[0].shape[1], *out.shape[2:]))
                self._add("Conv 3 x 3", layer, out)
            case ConvDownsample2d():
                block = self._block(inputs[0])
                convolved = (out.shape[1], *inputs[0].shape[2:])
                self._add_shape(block, "Conv 3 x 3", convolved, count_parameters(layer))
                self._add_shape(block, "AvgPool", out.shape[1:])
            case EqualizedConv2d() if name.partition(".")[0] == "from_rgb":
                self._add_raw_images(inputs[0])
                self._add(f"FromRGB {self._block(out) - 1}", layer, out)
            case EqualizedConv2d() if name.startswith("to_rgb."):
                self._add("ToRGB", layer, out)
            case EqualizedConv2d():
                kernel = layer.kernel_size
                # A valid convolution leaves its block's resolution, so the input's counts.
                self._add(f"Conv {kernel} x {kernel}", layer, out, block=self._block(inputs[0]))
            case LatentConv4x4():
                self._add("Conv 4 x 4", layer, out)
            case nn.AvgPool2d():
                self._add("AvgPool", layer, out, block=self._block(inputs[0]))
            case EqualizedLinear() if name.startswith("mapping."):
                self._add("Fully Connected", layer, out, block=1)
            case EqualizedLinear():
                self._add("Fully Connected", layer, out, "Linear", block=len(self.resolutions))
            case Constant() | NoiseBias() | AdaIN() | MinibatchStdDev() | Blur():
                self._add(_OPERATION[type(layer)], layer, out)
            case _:
                raise TypeError(f"layer {name} ({type(layer).__name__}) has no row in layer tables")

    def _add_combined(
        self, phi: CombineFunction, image: Tensor, activation: Tensor, out: Tensor
    ) -> None:
        """Images, then the concatenation and the 1x1 convolution in the order of this phi."""
        self._add_raw_images(image)
        block, concatenation, parameters = (
            self._block(out),
            f"Concat/{phi.name}",
            count_parameters(phi),
        )
        size = out.shape[2:]
        match phi:
            case PhiLinCat():
                features = out.shape[1] - activation.shape[1]
                self._add_shape(block, "Conv 1 x 1", (features, *size), parameters)
                if isinstance(phi.act, nn.LeakyReLU):
                    self.rows[-1] = replace(self.rows[-1], activation="LReLU")
                self._add_shape(block, concatenation, out.shape[1:])
            case PhiCatLin():
                both = image.shape[1] + activation.shape[1]
                self._add_shape(block, concatenation, (both, *size))
                self._add_shape(block, "Conv 1 x 1", out.shape[1:], parameters)
            case _:
                self._add_shape(block, concatenation, out.shape[1:], parameters)

    def _add_shape(
        self, block: int, operation: str, shape: Sequence[int], parameters: int = 0
    ) -> None:
        self.rows.append(LayerRow(block, operation, "-", tuple(shape), parameters=parameters))

    def _add_raw_images(self, images: Tensor) -> None:
        block = self._block(images)
        self.rows.append(LayerRow(block, f"Raw RGB images {block - 1}", "-", _image_shape(images)))

    def _add(
        self,
        operation: str,
        layer: nn.Module,
        out: Tensor,
        activation: str = "-",
        *,
        block: int | None = None,
    ) -> None:
        number = self._block(out) if block is None else block
        row = LayerRow(
            number,
            operation,
            activation,
            _image_shape(out),
            parameters=count_parameters(layer),
        )
        self.rows.append(row)

    def _block(self, x: Tensor) -> int:
        resolution = x.shape[-1]
        if resolution not in self.resolutions:
            self.resolutions.append(resolution)
        return self.resolutions.index(resolution) + 1


def _image_shape(x: Tensor) -> tuple[int, ...]:
    """[N, C] and [N, C, H, W] as the paper prints them: (C, 1, 1) and (C, H, W)."""
    return tuple(x.shape[1:]) if x.dim() == 4 else (x.shape[1], 1, 1)

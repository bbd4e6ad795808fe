"""A trained generator in plain PyTorch: this file, generator.safetensors and generator.json are all it needs.

    python generator.py --count 16 --seed 0 --out samples.png

or from your own code:

    from generator import Generator
    G = Generator("folder of this file")
    z = torch.randn(4, G.latent_size)
    images = G(z, G.noise(4))          # a list of [4, 3, R, R] in about [-1, 1], smallest R first

Weights are stored as they are used: the factors of the equalised learning rate are already in them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor


def pixel_norm(x: Tensor) -> Tensor:
    """Feature vectors of mean square 1 (ProGAN, section 4.2)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Generator:
    """z [N, latent_size] (and noise) -> images of all scales; of a growing generator one image."""

    def __init__(self, folder: str | Path = Path(__file__).parent, device: str = "cpu") -> None:
        folder = Path(folder)
        self.about = json.loads((folder / "generator.json").read_text(encoding="utf-8"))
        self.weights = load_file(folder / "generator.safetensors", device=device)
        self.latent_size: int = self.about["latent_size"]
        self.scales: list[int] = self.about["scales"]
        self.styled: bool = self.about["family"] == "stylegan"
        self.device = device

    def noise(self, count: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Standard normal noise for `count` images, two [count, 1, R, R] a scale; none without styles."""
        sides = [side for side in self.scales for _ in range(2)] if self.styled else []
        return [
            torch.randn(count, 1, side, side, generator=generator).to(self.device) for side in sides
        ]

    @torch.inference_mode()
    def __call__(self, z: Tensor, noise: list[Tensor] | None = None) -> list[Tensor]:
        noise = self.noise(len(z)) if noise is None else noise
        w = self._mapping(z) if self.styled else pixel_norm(z)
        images: list[Tensor] = []
        a: Tensor | None = None
        for place, side in enumerate(self.scales):
            if self.styled:
                a = self._styled_block(side, a, w, noise[2 * place], noise[2 * place + 1])
            else:
                a = self._block(side, w if a is None else a)
            images.append(self._to_rgb(side, a))
        fade = self.about["fade"]
        if fade is None:  # MSG-GAN: an image a scale
            return images
        image = images[-1]  # it grows: the last scale, faded with the one before
        return [torch.lerp(image, upsample(images[-2]), fade) if fade > 0 else image]

    def _conv(self, name: str, x: Tensor, padding: int = 1) -> Tensor:
        return F.conv2d(
            x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"), padding=padding
        )

    def _to_rgb(self, side: int, a: Tensor) -> Tensor:
        image = self._conv(f"to_rgb.{side}", a, padding=0)
        return image.tanh() if self.about["to_rgb_activation"] == "tanh" else image

    def _block(self, side: int, a: Tensor) -> Tensor:
        """A block of ProGAN; the first takes the latents, the others upsample."""
        name, normalised = f"blocks.{side}", self.about["pixel_norm"]
        if side == self.scales[0]:
            weight, bias = self.weights[f"{name}.conv0.weight"], self.weights[f"{name}.conv0.bias"]
            a = lrelu((a @ weight.flatten(1)).unflatten(1, weight.shape[1:]) + bias.view(-1, 1, 1))
            a = pixel_norm(a) if normalised == "after_all" else a
        else:
            a = lrelu(self._conv(f"{name}.conv0", upsample(a)))
            a = pixel_norm(a) if normalised != "off" else a
        a = lrelu(self._conv(f"{name}.conv1", a))
        return pixel_norm(a) if normalised != "off" else a

    def _mapping(self, z: Tensor) -> Tensor:
        """z -> w by eight dense layers."""
        w = pixel_norm(z)
        for layer in range(0, 16, 2):
            name = f"mapping.layers.{layer}"
            w = lrelu(F.linear(w, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]))
        return w

    def _styled_block(
        self, side: int, a: Tensor | None, w: Tensor, first: Tensor, second: Tensor
    ) -> Tensor:
        """A block of StyleGAN; the first starts from the learned constant, the others upsample and blur."""
        name = f"blocks.{side}"
        if a is None:
            a = self.weights[f"{name}.constant.weight"].expand(len(w), -1, -1, -1)
        else:
            a = self._conv(f"{name}.conv0", upsample(a))
            # The binomial filter [1, 2, 1] x [1, 2, 1] / 16.
            a = F.avg_pool2d(F.avg_pool2d(a, 2, stride=1, padding=1), 2, stride=1)
        a = self._styled(f"{name}.epilogue0", a, w, first)
        return self._styled(f"{name}.epilogue1", self._conv(f"{name}.conv1", a), w, second)

    def _styled(self, name: str, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """Noise, bias, activation, instance norm, and scale and shift by w."""
        weight, bias = (self.weights[f"{name}.noise_bias.{k}"] for k in ("noise_weight", "bias"))
        x = lrelu(x + noise * weight.view(-1, 1, 1) + bias.view(-1, 1, 1))
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x * torch.rsqrt(x.square().mean(dim=(2, 3), keepdim=True) + 1e-8)
        affine = f"{name}.adain.affine"
        style = F.linear(w, self.weights[f"{affine}.weight"], self.weights[f"{affine}.bias"])
        scale, shift = style.unflatten(1, (2, -1))[..., None, None].unbind(1)
        return x * (scale + 1) + shift


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] -> 0 to 255, as the images were measured: * 127.5 + 128, clamped, fraction dropped."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write samples of this generator as one PNG.")
    parser.add_argument("--count", type=int, default=16, help="how many, in lines of 4")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("samples.png"))
    given = parser.parse_args()
    if given.count < 1:
        parser.error(f"--count: {given.count} is not allowed; allowed: a number from 1")
    if not given.out.absolute().parent.is_dir():
        parser.error(f"--out: {str(given.out.parent)!r} is no folder")
    from PIL import Image

    G = Generator()
    drawn = torch.Generator().manual_seed(given.seed)
    z = torch.randn(given.count, G.latent_size, generator=drawn)
    images = to_uint8(G(z, G.noise(given.count, drawn))[-1])
    lines = [torch.cat(list(part), dim=2) for part in images.split(4)]
    width = max(line.shape[2] for line in lines)
    sheet = torch.cat([F.pad(line, (0, width - line.shape[2])) for line in lines], dim=1)
    Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(given.out)


if __name__ == "__main__":
    main()

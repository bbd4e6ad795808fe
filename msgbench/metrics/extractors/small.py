"""The extractor `small-cifar10-v1`: a compact 10-class network trained on CIFAR-10, shipped inside the package.

It lets the whole benchmark be measured anywhere, offline, in seconds. Its scores are its own: they order images of one
protocol, they say nothing beside a number that the Inception network gave. `train_small.py` made its weights; the
model card beside them says how. What it is not: a classifier worth using, or a substitute for the published protocol.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

RESOLUTION = 32
NUM_FEATURES = 128
NUM_CLASSES = 10


class ConvBlock(nn.Module):
    """3x3 convolution, batch normalisation, ReLU; with `residual` the input is added before the ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, residual: bool = False
    ) -> None:
        super().__init__()
        assert not residual or (in_channels == out_channels and stride == 1)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return F.relu(y + x if self.residual else y)


class SmallNet(nn.Module):
    """Five 3x3 convolutions, 32 to 8 pixels, global average pooling to 128 features, a linear layer to 10 logits."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Channel statistics of the training images in the scale 0..255; train_small.py fills them.
        self.register_buffer("mean", torch.full([1, 3, 1, 1], 127.5))
        self.register_buffer("std", torch.full([1, 3, 1, 1], 127.5))
        self.body = nn.Sequential(
            ConvBlock(3, 32),
            ConvBlock(32, 64, stride=2),
            ConvBlock(64, 64, residual=True),
            ConvBlock(64, NUM_FEATURES, stride=2),
            ConvBlock(NUM_FEATURES, NUM_FEATURES, residual=True),
        )
        self.head = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, 3, H, W] -> features [N, 128] and logits [N, 10], float32; each image alone decides its row."""
        # Channels last is a quarter faster on a CPU and decides nothing.
        x = self.normalise(images).contiguous(memory_format=torch.channels_last)
        return self.features_and_logits(x)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] -> float32 [N, 3, 32, 32] with zero mean and unit deviation over CIFAR-10.

        The resize rule is a part of the extractor: images of another size go through the antialiased bilinear filter
        (align_corners False) in float32, without rounding back to 8 bits; 32x32 images are not touched.
        """
        x = images.to(torch.float32)
        if x.shape[2:] != (RESOLUTION, RESOLUTION):
            x = F.interpolate(
                x,
                size=(RESOLUTION, RESOLUTION),
                mode="bilinear",
                align_corners=False,
                antialias=True,
            )
        return (x - self.mean) / self.std

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images [N, 3, 32, 32] -> (features [N, 128], logits [N, 10])."""
        features = self.body(x).mean(dim=(2, 3))
        return features, self.head(features)


def load_small_net(path: Path) -> SmallNet:
    """The network with the weights of `path` (checked before by weights.resolve_weights), in eval mode."""
    net = SmallNet()
    net.load_state_dict(load_file(path))
    # torch documents this form; its stubs leave it out.
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net.requires_grad_(False).eval()

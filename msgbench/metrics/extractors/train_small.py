"""Trains the small extractor on CIFAR-10 and writes its weights and model card.

    python -m msgbench.metrics.extractors.train_small --data FOLDER --out FOLDER

`--data` is CIFAR-10 in any form that `msgbench prepare` reads. The script is run by hand, once for a version of the
extractor, never by the benchmark: other weights are another name. The test images are looked at once, after the last
step; nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from msgbench.config import DatasetSpec
from msgbench.console import say
from msgbench.data.sources import open_source
from msgbench.device import make_reproducible
from msgbench.metrics.extractors.small import SmallNet
from msgbench.metrics.extractors.weights import SMALL_CARD, SMALL_FILE
from msgbench.protocols import SMALL
from msgbench.records import atomic_file, provenance, write_text

CARD = """\
# {name}

A classifier of 32x32 images used as a feature extractor: 128 features (FID, KID) and 10 logits (Inception Score).
Scores made with it carry its name and are comparable only with scores made with it, never with an Inception number.

| | |
|---|---|
| file | {file}, {bytes:,} bytes |
| sha256 | {sha256} |
| parameters | {parameters:,} |
| input | uint8 RGB; other sizes than 32x32 go through an antialiased bilinear filter in float32 |
| training data | CIFAR-10 (Krizhevsky, 2009), {train_count:,} training images |
| test accuracy | {accuracy:.4f} on {test_count:,} test images that nothing was chosen by |
| training time | {seconds:.0f} s with {threads} threads on {cpu}, {cpu_seconds:.0f} s of CPU time |
| made by | python -m msgbench.metrics.extractors.train_small, torch {torch} |

Recipe: SGD with Nesterov momentum {recipe.momentum}, {recipe.epochs} epochs of batch {recipe.batch_size}, one-cycle
learning rate with peak {recipe.peak_lr}, weight decay {recipe.weight_decay}, random shifts by up to
{recipe.crop_padding} pixels and mirroring, convolutions in bfloat16, moving average of the weights with beta
{recipe.ema_beta}, seed {recipe.seed}. No label smoothing and no mixing of images: both flatten the answers that the
Inception Score is made of.

The weights are under msgbench's MIT licence. CIFAR-10 is published by its authors for research without a stated
licence; no image of it is in this package.
"""


@dataclass(frozen=True)
class Recipe:
    """Every constant of the training; the model card prints it."""

    seed: int = 0
    epochs: int = 24
    batch_size: int = 128
    peak_lr: float = 0.2
    warmup_fraction: float = 0.15
    momentum: float = 0.9
    weight_decay: float = 5e-4
    ema_beta: float = 0.995
    crop_padding: int = 4
    num_threads: int = 2


def read_split(data: Path, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, 3, 32, 32] and labels int64 [N] of one split; DatasetError when `data` is not CIFAR-10."""
    spec = DatasetSpec(
        name="cifar10", source="cifar10", path=str(data), resolution=32, split=split, mirror=False
    )
    images = list(open_source(spec))
    pixels = torch.from_numpy(np.stack([image.pixels for image in images]))
    return pixels.permute(0, 3, 1, 2).contiguous(), torch.tensor([image.label for image in images])


class AugmentedBatches:
    """Shuffled batches of randomly shifted (reflected border) and mirrored training images, from one generator."""

    def __init__(
        self, images: Tensor, labels: Tensor, recipe: Recipe, generator: torch.Generator
    ) -> None:
        pad = recipe.crop_padding
        padded = F.pad(images.float(), (pad, pad, pad, pad), mode="reflect").to(torch.uint8)
        # A view [N, 3, 2 pad + 1, 2 pad + 1, 32, 32]: every possible crop, none of them copied.
        self.crops = padded.unfold(2, 32, 1).unfold(3, 32, 1)
        self.labels = labels
        self.recipe = recipe
        self.generator = generator
        self.batches_per_epoch = len(images) // recipe.batch_size

    def epoch(self) -> list[tuple[Tensor, Tensor]]:
        """One epoch of (uint8 [B, 3, 32, 32], labels [B]); the remainder that fills no batch is left out."""
        size, g = self.recipe.batch_size, self.generator
        order = torch.randperm(len(self.labels), generator=g)[: self.batches_per_epoch * size]
        batches = []
        for index in order.split(size):
            dy, dx = torch.randint(2 * self.recipe.crop_padding + 1, [2, size], generator=g)
            images = self.crops[index, :, dy, dx]
            mirror = torch.rand(size, generator=g) < 0.5
            images[mirror] = images[mirror].flip(-1)
            batches.append((images, self.labels[index]))
        return batches


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """One cycle: linear rise to the peak, cosine fall to zero."""
    warmup = recipe.warmup_fraction * steps
    if step < warmup:
        return recipe.peak_lr * (step + 1) / warmup
    return recipe.peak_lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def initialise(net: nn.Module, generator: torch.Generator) -> None:
    """He initialisation from an explicit generator; residual branches start at half strength."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            gain = 2.0 if isinstance(module, nn.Conv2d) else 1.0
            module.weight.data.normal_(0.0, math.sqrt(gain / fan_in), generator=generator)
            if module.bias is not None:
                module.bias.data.zero_()


@torch.no_grad()
def update_ema(ema: nn.Module, net: nn.Module, beta: float) -> None:
    """Moving average of parameters and of the normalisation's running statistics."""
    for average, value in zip(ema.state_dict().values(), net.state_dict().values(), strict=True):
        if average.dtype.is_floating_point:
            average.lerp_(value, 1 - beta)
        else:
            average.copy_(value)


def train(images: Tensor, labels: Tensor, recipe: Recipe) -> SmallNet:
    """Trains with SGD (Nesterov), convolutions in bfloat16, and returns the averaged network in eval mode."""
    generator = torch.Generator().manual_seed(recipe.seed)
    net = SmallNet()
    initialise(net, generator)
    net.mean.copy_(images.float().mean(dim=(0, 2, 3), keepdim=True))
    net.std.copy_(images.float().std(dim=(0, 2, 3), keepdim=True))
    ema = copy.deepcopy(net)
    batches = AugmentedBatches(images, labels, recipe, generator)
    steps = recipe.epochs * batches.batches_per_epoch
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=recipe.momentum, nesterov=True)
    step, start = 0, time.monotonic()
    net.train()
    for epoch in range(recipe.epochs):
        total = 0.0
        for batch, targets in batches.epoch():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, recipe)
            with torch.autocast("cpu", torch.bfloat16):
                _, logits = net.features_and_logits(net.normalise(batch))
            loss = F.cross_entropy(logits.float(), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            update_ema(ema, net, min(recipe.ema_beta, (step + 1) / (step + 10)))
            total += float(loss.detach())
            step += 1
        say(
            f"epoch {epoch + 1}/{recipe.epochs}, loss {total / batches.batches_per_epoch:.4f}, "
            f"{time.monotonic() - start:.0f} s"
        )
    return ema.eval()


@torch.no_grad()
def accuracy(net: SmallNet, images: Tensor, labels: Tensor, batch_size: int = 250) -> float:
    """Fraction of right answers, in float32."""
    right = 0
    pairs = zip(images.split(batch_size), labels.split(batch_size), strict=True)
    for batch, targets in pairs:
        right += int((net(batch)[1].argmax(dim=1) == targets).sum())
    return right / len(labels)


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Trains the small extractor on CIFAR-10.")
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10, any published form")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the weights and the model card"
    )
    args = parser.parse_args()
    recipe = Recipe()
    make_reproducible(recipe.num_threads)
    train_images, train_labels = read_split(args.data, "train")
    test_images, test_labels = read_split(args.data, "test")
    start, cpu_start = time.monotonic(), time.process_time()
    net = train(train_images, train_labels, recipe)
    seconds, cpu_seconds = time.monotonic() - start, time.process_time() - cpu_start
    score = accuracy(net, test_images, test_labels)
    blob = save_safetensors(net.state_dict(), metadata={"name": SMALL})
    card = CARD.format(
        name=SMALL,
        file=SMALL_FILE,
        bytes=len(blob),
        sha256=hashlib.sha256(blob).hexdigest(),
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        train_count=len(train_labels),
        test_count=len(test_labels),
        accuracy=score,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        threads=recipe.num_threads,
        cpu=provenance()["cpu"],
        torch=torch.__version__,
        recipe=recipe,
    )
    with atomic_file(args.out / SMALL_FILE) as file:
        file.write(blob)
    write_text(args.out / SMALL_CARD, card)
    say(f"accuracy {score:.4f} on {len(test_labels):,} test images; {args.out / SMALL_FILE}")


if __name__ == "__main__":
    main()

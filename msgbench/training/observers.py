"""Observing a training: how far the images of fixed latents move from epoch to epoch, and how well the scales agree.

Figure 6 of the paper: 36 fixed latents, images of G_ema after the first step of every epoch (one pass over the
dataset), the mean squared change of each scale since the epoch before. Beside it the mean squared difference between
each scale and the next larger one, pooled: whether the scales show the same image (Figure 5). Raw float32 in the
networks' range, nothing normalised.

What it asks of a training is small enough for networks that grow: a function that gives the images of the fixed latents
as they are now, one tensor a resolution, lowest first. A resolution has a change once it was there twice in a row.

Numbers go to observations.jsonl of the run. Of images only the previous epoch's are kept, and those that a resume from
a kept training state would need as its previous ones.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn

from msgbench.layout import OBSERVATIONS_JSONL, OBSERVED, STATES, observed_file
from msgbench.models.generator import MultiScaleGenerator, draw_noise
from msgbench.records import atomic_file, write_text
from msgbench.training.networks import seeded

COUNT = 36
# Of images that are made at a time: all up to 256 px.
_MOST_PIXELS = COUNT * 256**2

ImagesNow = Callable[[], Sequence[Tensor]]


def fixed_images(G_ema: nn.Module, seed: int, latent_size: int) -> Sequence[Tensor]:
    """Images [36, 3, R, R] of every scale for the latents and noise of the run's grids, raw float.

    Large ones are made a few at a time, so that looking at them takes no more memory than training does.
    """
    assert isinstance(G_ema, MultiScaleGenerator)
    device = next(G_ema.parameters()).device
    z = torch.randn(COUNT, latent_size, generator=seeded(seed, 0, "grid-latents")).to(device)
    noise = draw_noise(G_ema, COUNT, seeded(seed, 0, "grid-noise"), device)
    at_once = max(1, _MOST_PIXELS // G_ema.active_scales[-1] ** 2)
    if at_once >= COUNT:
        whole: Sequence[Tensor] = G_ema(z, noise)
        return whole
    pieces = zip(z.split(at_once), *(one.split(at_once) for one in noise), strict=True)
    made = [G_ema(some, list(own)) for some, *own in pieces]
    return [torch.cat(scale) for scale in zip(*made, strict=True)]


def epoch_begun(cur_nimg: int, batch_size: int, epoch_nimg: int) -> int | None:
    """The epoch whose first image was in the batch that ends at `cur_nimg`; None when no epoch began there."""
    epoch = -(-(cur_nimg - batch_size) // epoch_nimg)
    # A batch larger than the dataset begins several: the last counts.
    last = (cur_nimg - 1) // epoch_nimg
    return last if epoch * epoch_nimg < cur_nimg else None


class Observer:
    """Watches one run; `start` is the number of images shown when the training (re)starts."""

    def __init__(self, run_dir: Path, epoch_nimg: int, start: int) -> None:
        assert epoch_nimg > 0
        self.run_dir, self.epoch_nimg = run_dir, epoch_nimg
        _drop_lines_after(run_dir / OBSERVATIONS_JSONL, start)
        for nimg in _observed(run_dir):
            if nimg > start:
                (run_dir / observed_file(nimg)).unlink()

    def after_step(self, cur_nimg: int, batch_size: int, images_now: ImagesNow) -> None:
        """Call after each step that ends at `cur_nimg`; looks at the images when it was the first of an epoch."""
        epoch = epoch_begun(cur_nimg, batch_size, self.epoch_nimg)
        if epoch is not None:
            self._observe(cur_nimg, epoch, images_now)

    @torch.no_grad()
    def _observe(self, cur_nimg: int, epoch: int, images_now: ImagesNow) -> None:
        began = time.monotonic()
        images = {x.shape[-1]: x.float() for x in images_now()}
        previous = self._previous(cur_nimg)
        line: dict[str, Any] = {
            "cur_nimg": cur_nimg,
            "epoch": epoch,
            "previous_nimg": None if previous is None else previous[0],
            "change": changes(images, {} if previous is None else previous[1]),
            "synchronisation": synchronisation(images),
            **synchronisation_parts(images),
        }
        self._keep(cur_nimg, images)
        line["seconds"] = round(time.monotonic() - began, 3)
        self._write(line)

    def _previous(self, cur_nimg: int) -> tuple[int, dict[int, Tensor]] | None:
        """The images of the epoch before, with the length at which they were taken; None without a whole file."""
        earlier = [nimg for nimg in _observed(self.run_dir) if nimg < cur_nimg]
        if not earlier:
            return None
        try:
            kept = load_file(self.run_dir / observed_file(earlier[-1]))
            return earlier[-1], {int(side): images for side, images in kept.items()}
        except (OSError, SafetensorError):
            return None

    def _keep(self, cur_nimg: int, images: dict[int, Tensor]) -> None:
        blob = serialise({str(side): x.cpu().contiguous() for side, x in images.items()})
        with atomic_file(self.run_dir / observed_file(cur_nimg)) as file:
            file.write(blob)
        needed = {cur_nimg, *_before_states(self.run_dir)}
        for nimg in _observed(self.run_dir):
            if nimg not in needed:
                (self.run_dir / observed_file(nimg)).unlink()

    def _write(self, line: dict[str, Any]) -> None:
        with (self.run_dir / OBSERVATIONS_JSONL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def changes(images: dict[int, Tensor], previous: dict[int, Tensor]) -> dict[str, float]:
    """Mean squared change of each resolution that was there before, by resolution."""
    both = [side for side in images if side in previous]
    return {
        str(side): F.mse_loss(images[side], previous[side].to(images[side].device)).item()
        for side in both
    }


def synchronisation(images: dict[int, Tensor]) -> dict[str, float]:
    """Mean squared difference of each resolution from the next larger one, pooled by 2x2 means; by resolution."""
    return {
        str(side): F.mse_loss(images[side], F.avg_pool2d(images[2 * side], 2)).item()
        for side in images
        if 2 * side in images
    }


# Of red, green and blue in brightness (ITU-R BT.601).
_BRIGHTNESS = (0.299, 0.587, 0.114)


def synchronisation_parts(images: dict[int, Tensor]) -> dict[str, dict[str, float]]:
    """What of `synchronisation` is a difference in brightness, and what one in colour alone (v1, Figure 6).

    The difference in brightness, the weighted sum of a pixel's three differences, is taken from each of them; what is
    left is the difference in colour. Mean squares over the three channels, by resolution.
    """
    found: dict[str, dict[str, float]] = {
        "synchronisation_brightness": {},
        "synchronisation_colour": {},
    }
    for side in images:
        if 2 * side not in images:
            continue
        apart = images[side] - F.avg_pool2d(images[2 * side], 2)
        weights = torch.tensor(_BRIGHTNESS, device=apart.device)[:, None, None]
        brightness = (apart * weights).sum(1, keepdim=True)
        found["synchronisation_brightness"][str(side)] = brightness.square().mean().item()
        found["synchronisation_colour"][str(side)] = (apart - brightness).square().mean().item()
    return found


def _observed(run_dir: Path) -> list[int]:
    """Lengths whose images are kept, in order."""
    return sorted(int(path.stem.split("-")[1]) for path in (run_dir / OBSERVED).glob("observed-*"))


def _before_states(run_dir: Path) -> set[int]:
    """For each kept training state the last observation before it: what a resume from there compares with."""
    lengths = [int(path.stem.split("-")[2]) for path in (run_dir / STATES).glob("*.pt")]
    there = _observed(run_dir)
    return {max((nimg for nimg in there if nimg <= length), default=-1) for length in lengths}


def _drop_lines_after(path: Path, cur_nimg: int) -> None:
    """Leaves out what an earlier attempt saw after the state that this one resumes from."""
    if not path.exists():
        return
    kept = []
    for text in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if text.endswith("\n") and json.loads(text)["cur_nimg"] <= cur_nimg:
                kept.append(text)
        except ValueError:
            break  # the last line of a killed writer
    write_text(path, "".join(kept))

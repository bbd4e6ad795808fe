"""Grids of images from fixed latents at every scale: what a person looks at during a training.

Raw output of G_ema by the 8-bit rule that measuring uses; no normalisation per image.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from msgbench.config import RunSpec
from msgbench.data.pixels import to_uint8
from msgbench.layout import grid_file
from msgbench.records import atomic_file
from msgbench.training.observers import fixed_images

COLUMNS = 6
ROWS = 6


@torch.no_grad()
def write_grids(run_dir: Path, run: RunSpec, G_ema: nn.Module, cur_nimg: int) -> None:
    """One PNG a scale: 36 images (6 x 6) of the same latents and noise at all times."""
    for images in fixed_images(G_ema, run.seed, run.spec.model.latent_size):
        tiles = to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
        buffer = io.BytesIO()
        Image.fromarray(tile(tiles, ROWS, COLUMNS)).save(buffer, format="PNG")
        with atomic_file(run_dir / grid_file(cur_nimg, images.shape[-1])) as file:
            file.write(buffer.getbuffer())


def tile(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """uint8 [rows * columns, H, W, 3] -> one picture [rows * H, columns * W, 3], row by row."""
    _, height, width, channels = images.shape
    grid = images.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)

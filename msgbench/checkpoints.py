"""Checkpoints of other projects as snapshots: the weights are read, no code of theirs is run.

A form is how a project lays its networks out in a file. `bmsg-generator` is a generator as the authors'
PyTorch code of the first version saves it: a plain state dict, for one device or wrapped for several.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from msgbench.config import ModelSpec
from msgbench.errors import ConfigError, SnapshotError
from msgbench.models.build import build_generator
from msgbench.records import sha256_file
from msgbench.snapshots import SnapshotMeta, require_fit, save_snapshot
from msgbench.units import LOWEST_RESOLUTION

BMSG_GENERATOR = "bmsg-generator"
FORMS = (BMSG_GENERATOR,)

# Names of the layers of block i of that generator, and what they are here at resolution 4 * 2^i.
_BMSG_LAYERS = (
    ("layers.{i}.conv_1", "blocks.{r}.conv0"),
    ("layers.{i}.conv_2", "blocks.{r}.conv1"),
    ("rgb_converters.{i}", "to_rgb.{r}"),
)
_RGB_WEIGHT = re.compile(r"rgb_converters\.(\d+)\.weight")


def import_checkpoint(file: Path, form: str, out: Path) -> SnapshotMeta:
    """Read the checkpoint `file`, laid out as `form`, and write it as the snapshot `out`; returns its metadata.

    Raises ConfigError for an unknown form, SnapshotError when the file is missing, damaged or of another form.
    """
    if form not in FORMS:
        raise ConfigError(f"--as: {form!r} is not allowed; allowed: {', '.join(FORMS)}")
    model, tensors = _bmsg_generator(file, _read(file))
    G = build_generator(model)
    require_fit(file, tensors, G.state_dict())
    G.load_state_dict(tensors)
    digest = sha256_file(file)
    meta = SnapshotMeta(
        model=model,
        run=f"imported/{digest[:8]}",
        experiment="imported",
        seed=0,
        cur_nimg=0,
        run_fingerprint=digest,
        dataset_fingerprint="unknown",
        ema=None,
        imported=f"{file.name} ({form})",
    )
    save_snapshot(out, G, meta)
    return meta


def _read(file: Path) -> dict[str, Tensor]:
    """The state dict in `file`; only tensors are taken from it."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SnapshotError(f"{file}: no such file") from None
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
        raise SnapshotError(
            f"{file}: is not a state dict of torch (or holds more than tensors, which is never run)"
        ) from None
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise SnapshotError(
            f"{file}: holds no plain state dict; a mapping of names to tensors is needed"
        )
    return content


def _bmsg_generator(file: Path, state: dict[str, Tensor]) -> tuple[ModelSpec, dict[str, Tensor]]:
    """The spec that the shapes in `state` tell, and its tensors under our names.

    The code's default, equalised learning rate, is assumed: names and shapes are the same without it.
    """
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    depth = sum(_RGB_WEIGHT.fullmatch(name) is not None for name in state)
    first = state.get("layers.0.conv_1.weight")
    if depth < 2 or first is None or first.dim() != 4:
        raise SnapshotError(
            f"{file}: is no generator of form {BMSG_GENERATOR} (layers.0.conv_1 and rgb_converters are looked for)"
        )
    latent_size = first.shape[0]
    try:
        model = ModelSpec(
            family="progan",
            variant="bmsg",
            resolution=LOWEST_RESOLUTION * 2 ** (depth - 1),
            latent_size=latent_size,
            fmap_max=latent_size,
            fmap_base=16 * latent_size,
        )
    except ValidationError as error:
        raise SnapshotError(f"{file}: {error.errors()[0]['msg']}") from None
    names = {
        f"{theirs.format(i=i)}.{kind}": f"{ours.format(r=LOWEST_RESOLUTION * 2**i)}.{kind}"
        for i in range(depth)
        for theirs, ours in _BMSG_LAYERS
        for kind in ("weight", "bias")
    }
    for name in state:
        if name not in names:
            raise SnapshotError(
                f"{file}: tensor {name} has no place in a generator of form {BMSG_GENERATOR}"
            )
    return model, {names[name]: tensor.float() for name, tensor in state.items()}

"""The treaty between training and measuring: the averaged generator G_ema as a safetensors file.

The file's metadata says everything that is needed to rebuild the network and to know where it comes from; there is no
code in it. It is not a training state: optimizer, discriminator and the raw generator live in training/state.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from msgbench.config import EmaSpec, ModelSpec
from msgbench.config.base import Spec
from msgbench.errors import SnapshotError
from msgbench.models.build import build_generator
from msgbench.models.generator import MultiScaleGenerator
from msgbench.models.growing import set_lod
from msgbench.records import atomic_file

SNAPSHOT_SCHEMA: Literal["msgbench.snapshot/1"] = "msgbench.snapshot/1"
# The one key of the safetensors metadata; its value is a SnapshotMeta as JSON.
METADATA_KEY = "msgbench"


class SnapshotMeta(Spec):
    """What a snapshot says about itself."""

    schema_: Literal["msgbench.snapshot/1"] = Field(default=SNAPSHOT_SCHEMA, alias="schema")
    model: ModelSpec
    run: str = Field(description="RunSpec.run_id of the run that made it")
    experiment: str
    seed: int = Field(ge=0)
    cur_nimg: int = Field(ge=0, description="real images shown when it was taken")
    run_fingerprint: str
    dataset_fingerprint: str = Field(
        description="fingerprint of the store's manifest that the run trained on"
    )
    ema: EmaSpec | None = Field(
        description="the moving average that made these parameters; null where nobody knows"
    )
    lod: float | None = Field(
        default=None,
        ge=0,
        description="level of detail that a growing generator has not grown to yet, 0 = full resolution; null for "
        "generators of all scales at once",
    )
    imported: str | None = Field(
        default=None,
        description="file and form of another project's checkpoint that this was read from; seed and cur_nimg are "
        "then 0 and run_fingerprint is the file's sha256",
    )


def save_snapshot(path: Path, G_ema: nn.Module, meta: SnapshotMeta) -> None:
    """Writes `G_ema` with `meta` to `path`, atomically; equal parameters and meta give equal bytes."""
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in G_ema.state_dict().items()
    }
    blob = serialise(tensors, metadata={METADATA_KEY: meta.model_dump_json(by_alias=True)})
    with atomic_file(path) as file:
        file.write(blob)


def read_meta(path: Path) -> SnapshotMeta:
    """The metadata of the snapshot at `path`, without its tensors; SnapshotError as load_snapshot."""
    return _read(path, with_tensors=False)[0]


def load_snapshot(
    path: Path, device: str | torch.device = "cpu"
) -> tuple[MultiScaleGenerator, SnapshotMeta]:
    """The generator at `path` on `device`, in eval mode and without gradients, and its metadata.

    Raises SnapshotError when the file is missing, truncated, of another program, or its tensors do not fit the model
    that its metadata describes.
    """
    meta, tensors = _read(path, with_tensors=True)
    if meta.model.growing != (meta.lod is not None):
        raise SnapshotError(
            f"{path}: lod is {'null' if meta.lod is None else f'{meta.lod:g}'}, its generator "
            f"{'grows and needs a number' if meta.model.growing else 'does not grow and has none'}"
        )
    G = build_generator(meta.model)
    require_fit(path, tensors, G.state_dict())
    G.load_state_dict(tensors)
    if meta.lod is not None:
        try:
            set_lod(G, meta.lod)
        except ValueError as error:
            raise SnapshotError(f"{path}: {error}") from None
    return G.to(device).eval().requires_grad_(False), meta


def _read(path: Path, with_tensors: bool) -> tuple[SnapshotMeta, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()} if with_tensors else {}  # noqa: SIM118
    except FileNotFoundError:
        raise SnapshotError(f"{path}: no such snapshot") from None
    except (OSError, SafetensorError):
        raise SnapshotError(f"{path}: is truncated or not a safetensors file") from None
    if METADATA_KEY not in metadata:
        raise SnapshotError(
            f"{path}: is a safetensors file of another program, not a snapshot of msgbench"
        )
    try:
        return SnapshotMeta.model_validate_json(metadata[METADATA_KEY]), tensors
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"]) or "metadata"
        raise SnapshotError(
            f"{path}: its metadata does not follow {SNAPSHOT_SCHEMA} ({field}: {error.errors()[0]['msg']})"
        ) from None


def require_fit(path: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise SnapshotError, naming `path` and the tensor, unless `tensors` have the names and forms of `expected`."""
    for name in sorted(expected.keys() - tensors.keys()):
        raise SnapshotError(
            f"{path}: tensor {name} is missing, the generator of its metadata needs it"
        )
    for name in sorted(tensors.keys() - expected.keys()):
        raise SnapshotError(f"{path}: tensor {name} has no place in the generator of its metadata")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise SnapshotError(
                f"{path}: tensor {name} is {_describe(tensor)}, the generator of its metadata needs "
                f"{_describe(expected[name])}"
            )


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"

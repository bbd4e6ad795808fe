"""Checkpoints of the first version's code become snapshots; every other file has its sentence and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.checkpoints import import_checkpoint
from msgbench.config import ModelSpec
from msgbench.errors import ConfigError, SnapshotError
from msgbench.models.build import build_generator
from msgbench.records import sha256_file
from msgbench.snapshots import load_snapshot, read_meta

MODEL = ModelSpec(
    family="progan", variant="bmsg", resolution=64, latent_size=16, fmap_max=16, fmap_base=256
)
State = dict[str, Any]


def their_state(prefix: str = "") -> State:
    """A generator's parameters under the names of the authors' code, written down from its layers."""
    ours = build_generator(MODEL, torch.Generator().manual_seed(4)).state_dict()
    names = {}
    for block, resolution in enumerate((4, 8, 16, 32, 64)):
        for kind in ("weight", "bias"):
            names[f"layers.{block}.conv_1.{kind}"] = f"blocks.{resolution}.conv0.{kind}"
            names[f"layers.{block}.conv_2.{kind}"] = f"blocks.{resolution}.conv1.{kind}"
            names[f"rgb_converters.{block}.{kind}"] = f"to_rgb.{resolution}.{kind}"
    assert set(names.values()) == set(ours)
    return {prefix + name: ours[own].clone() for name, own in names.items()}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_generator_becomes_a_snapshot(tmp_path: Path, prefix: str) -> None:
    file, out = tmp_path / "GAN_GEN_SHADOW_5.pth", tmp_path / "imported.safetensors"
    torch.save(their_state(prefix), file)
    done = subprocess.run(
        [sys.executable, "-m", "msgbench.cli", "import", str(file), "--as", "bmsg-generator", "--out", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        f"{out}: generator of 64 px, 16 latent dimensions, from GAN_GEN_SHADOW_5.pth (bmsg-generator)\n"
    )
    G, meta = load_snapshot(out)
    assert meta == read_meta(out)
    assert meta.model == MODEL
    assert meta.run_fingerprint == sha256_file(file)
    assert (meta.ema, meta.imported) == (None, "GAN_GEN_SHADOW_5.pth (bmsg-generator)")
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    expected = build_generator(MODEL, torch.Generator().manual_seed(4))(z)
    for image, twin in zip(G(z), expected, strict=True):
        # The very same operations on the same numbers.
        assert torch.equal(image, twin)


def without(name: str) -> Callable[[State], object]:
    return lambda state: {key: value for key, value in state.items() if key != name}


class Harmful:
    """Runs when it is unpickled: a file with it must be refused unread."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("touched-by-a-checkpoint"),))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without("layers.2.conv_2.bias"),
         "tensor blocks.16.conv1.bias is missing, the generator of its metadata needs it"),
        (lambda s: s | {"layers.0.extra": torch.zeros(1)},
         "tensor layers.0.extra has no place in a generator of form bmsg-generator"),
        (lambda s: s | {"layers.1.conv_1.weight": torch.zeros(2, 2, 3, 3)},
         "tensor blocks.8.conv0.weight is float32 [2, 2, 3, 3], the generator of its metadata needs "
         "float32 [16, 16, 3, 3]"),
        (lambda s: {"rgb_to_features.0.weight": torch.zeros(8, 3, 1, 1)},
         "is no generator of form bmsg-generator (layers.0.conv_1 and rgb_converters are looked for)"),
        (lambda s: {"state": s}, "holds no plain state dict; a mapping of names to tensors is needed"),
        (lambda s: [1, 2], "holds no plain state dict; a mapping of names to tensors is needed"),
        (lambda s: {"x": Harmful()},
         "is not a state dict of torch (or holds more than tensors, which is never run)"),
    ],
)  # fmt: skip
def test_other_files_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[State], object],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    file, out = tmp_path / "given.pth", tmp_path / "out.safetensors"
    torch.save(change(their_state()), file)
    with pytest.raises(SnapshotError) as error:
        import_checkpoint(file, "bmsg-generator", out)
    assert str(error.value) == f"{file}: {sentence}"
    assert [path.name for path in tmp_path.iterdir()] == ["given.pth"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x89PNG\r\n" + bytes(100)])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "given.pth"
    file.write_bytes(content)
    with pytest.raises(SnapshotError, match="is not a state dict of torch"):
        import_checkpoint(file, "bmsg-generator", tmp_path / "out.safetensors")


def test_a_missing_file_and_an_unknown_form(tmp_path: Path) -> None:
    file, out = tmp_path / "given.pth", tmp_path / "out.safetensors"
    with pytest.raises(SnapshotError, match=r"given\.pth: no such file"):
        import_checkpoint(file, "bmsg-generator", out)
    with pytest.raises(
        ConfigError, match="--as: 'stylegan' is not allowed; allowed: bmsg-generator"
    ):
        import_checkpoint(file, "stylegan", out)
